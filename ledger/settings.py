"""Every setting of the service, read once from environment variables with the prefix LIPE_, or from secret files."""

from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

SHORTEST_PEPPER = 16
SECRETS_DIR = Path("/run/secrets")
"""Where containers get their secrets: the file lipe_database_url is LIPE_DATABASE_URL, unless that is set."""


class Settings(BaseSettings):
    """Frozen. `.env.example` lists all of them; a test keeps the two alike.

    Raises pydantic.ValidationError where a required one is missing or one contradicts its description.
    """

    model_config = SettingsConfigDict(
        env_prefix="LIPE_",
        frozen=True,
        env_file=None,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,  # a missing one is warned of
        extra="ignore",
        hide_input_in_errors=True,
    )

    database_url: str
    """SQLAlchemy URL: postgresql+psycopg://user:password@host/database."""
    broker_url: str
    """Redis protocol: redis://:password@host:port/0."""
    s3_endpoint_url: str
    """Where this service reaches the objects."""
    s3_public_endpoint_url: str = ""
    """Where the users reach them (signed URLs); empty: the same as s3_endpoint_url."""
    s3_region: str = "us-east-1"
    s3_bucket: str = "lipe"
    s3_access_key_id: str
    s3_secret_access_key: SecretStr

    key_pepper: SecretStr
    """HMAC key of the API keys. Another pepper makes every key invalid."""
    base_model: str = ""
    """Checkpoint folder or hub id. The workers need it."""
    base_model_revision: str = ""
    device: str = "auto"
    """auto, cpu or cuda."""
    captioner: str = ""
    """Checkpoint folder or hub id of a vision-language model; empty: captions name the subject and nothing else."""
    captioner_revision: str = ""
    prompt_writer_url: str = ""
    """OpenAI-compatible, up to /v1. Writes the class prompts; empty: they come from the built-in bank."""
    prompt_writer_model: str = ""
    prompt_writer_key: SecretStr = SecretStr("")
    prompt_writer_timeout_seconds: float = Field(60.0, gt=0)
    """For one request."""
    data_dir: Path = Path("data")
    """Caches and checkpoints of the workers; may be lost."""
    heartbeat_file: str = ""
    """Touched by the loops of dispatcher and workers, for a health check to look at; empty: none."""
    allow_private_urls: bool = False
    """Webhooks may go to private networks. For local use only."""

    lease_seconds: float = 60.0
    """A worker that reports no progress for so long loses its job."""
    max_attempts: int = 3
    stranded_seconds: float = 15.0
    """A queued job that nobody claimed for so long is rung for again."""
    signed_url_seconds: int = 900
    idempotency_hours: int = 24
    max_queued_jobs: int = Field(100, ge=1)
    """For each project, as the next three."""
    max_running_jobs: int = Field(8, ge=1)
    """Further ones wait, though workers be idle."""
    max_subjects: int = Field(1000, ge=1)
    max_gpu_seconds_per_day: int = Field(86_400, ge=1)
    """Seconds of its jobs at workers, by UTC days. Afterwards no job is taken; those that wait still run."""
    max_pending_uploads: int = Field(100, ge=1)
    """Of one project: announced for a signed URL, and not yet images."""
    max_upload_bytes: int = 32 * 1024 * 1024
    min_image_side: int = 64
    """Pixels; uploads with a shorter side are refused. SDXL learns little from less than 256."""

    @field_validator("database_url")
    @classmethod
    def _names_the_driver(cls, url: str) -> str:
        scheme, colon, rest = url.partition("://")
        if scheme not in {"postgres", "postgresql", "postgresql+psycopg"} or not colon:
            raise ValueError("must be a PostgreSQL URL: postgresql+psycopg://user:password@host/database")
        return f"postgresql+psycopg://{rest}"

    @field_validator("key_pepper")
    @classmethod
    def _is_long_enough(cls, pepper: SecretStr) -> SecretStr:
        if len(pepper.get_secret_value()) < SHORTEST_PEPPER:
            raise ValueError(f"must have at least {SHORTEST_PEPPER} characters")
        return pepper

    @model_validator(mode="after")
    def _names_a_whole_endpoint(self) -> Self:
        url = urlsplit(self.prompt_writer_url)
        is_url = url.scheme in {"http", "https"} and url.hostname and url.port != 0
        if self.prompt_writer_url and not (is_url and self.prompt_writer_model.strip()):
            raise ValueError("prompt_writer_url must begin with http:// or https://, and prompt_writer_model be given")
        return self

    @property
    def public_endpoint_url(self) -> str:
        """The storage's address as the users see it."""
        return self.s3_public_endpoint_url or self.s3_endpoint_url
