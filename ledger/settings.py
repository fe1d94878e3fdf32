"""Every setting of the service, read from environment variables with the prefix LIPE_ or from secret files."""

from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationInfo, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ledger.setting_values import is_http, is_loopback, split_list
from ledger.webhook_secrets import is_secret

Erases = Literal["nothing", "priors", "subject"]
SHORTEST_PEPPER = 16
SECRETS_DIR = Path("/run/secrets")
"""The folder of a container's secrets. The file lipe_database_url sets LIPE_DATABASE_URL, unless that is set."""


class Settings(BaseSettings):
    """The settings; frozen. `.env.example` lists all of them, and a test compares the two.

    Raises pydantic.ValidationError if a required setting is missing or a value contradicts its description.
    """

    model_config = SettingsConfigDict(
        env_prefix="LIPE_",
        frozen=True,
        env_file=None,
        secrets_dir=SECRETS_DIR if SECRETS_DIR.is_dir() else None,  # pydantic warns if it is missing
        extra="ignore",
        hide_input_in_errors=True,
        use_attribute_docstrings=True,  # docs/settings.md shows them
    )

    database_url: str
    """SQLAlchemy URL: postgresql+psycopg://user:password@host/database. Behind a pooler that lends connections by
    transaction and is older than PgBouncer 1.21, add ?prepared_statements=false."""
    broker_url: str
    """Redis protocol: redis://:password@host:port/0, rediss:// with TLS, or a group that Sentinel watches:
    sentinel://:password@host:26379,host:26379/0?primary=mymaster, with &sentinel_password= if they have one."""
    s3_endpoint_url: str
    """The object storage, as this service reaches it."""
    s3_public_endpoint_url: str = ""
    """The object storage, as users reach it (signed URLs); empty: the same as s3_endpoint_url."""
    s3_region: str = "us-east-1"
    """The region that requests to the object storage name."""
    s3_bucket: str = "lipe"
    """The bucket. It belongs to this service: the dispatcher deletes objects that no row references."""
    s3_access_key_id: str = ""
    """The access key of the object storage. Empty, together with the secret key: boto3 finds temporary credentials by
    itself, such as those of a container's or a machine's role."""
    s3_secret_access_key: SecretStr = Field(SecretStr(""), validate_default=True)
    """The secret key of the object storage."""

    public_url: str = ""
    """The base URL of the API as users reach it. If it is set, files pass through the API, and signed URLs begin with
    it. Empty: signed URLs lead to the object storage."""
    cors_origins: str = ""
    """The origins of web pages that may call the API from a browser, separated by commas; empty: none."""

    key_pepper: SecretStr
    """HMAC key of the API keys and of the links of studies. A new pepper makes every key and link invalid."""
    file_url_secret: SecretStr = SecretStr("")
    """HMAC key of the URLs of files with public_url, the same for all programs; empty: derived from key_pepper."""
    base_model: str = ""
    """Checkpoint folder or hub id. The workers require it."""
    base_model_revision: str = ""
    """The revision of a hub id; empty: the newest."""
    base_model_bits: int = Field(16, ge=8, le=16, multiple_of=8)
    """16, or 8 to keep the linear layers of the base model as 8-bit integers, for GPUs of little memory: docs/gpus.md.
    Not yet measured on a GPU. Full attention and Imagic need 16."""
    default_base_model: str = ""
    """Name or fingerprint of the base model of trainings, imports and edits without a prior whose request names none.
    Only the API uses it. Empty: any worker takes them, which is right with one base model."""
    allow_distilled: bool = False
    """Whether the workers load a distilled FLUX.2 [klein], too, which neither trains nor inverts well."""
    recipe: str = ""
    """The settings of jobs that give none: a file in the layout of `lipe.json`, whose values replace those of the base
    model's recipe, or sdxl-base, sdxl-fine-tune, miniature or flux2-klein-base; empty: by the base model."""
    device: str = "auto"
    """auto, cpu or cuda."""
    workers_per_gpu: int = Field(0, ge=0)
    """The most workers of one machine that use the same GPU. Each takes one that fewer use, by locks in data_dir, which
    they must share. 0: the first GPU that the worker sees."""
    captioner: str = ""
    """Checkpoint folder or hub id of a vision-language model; empty: captions only name the subject."""
    captioner_revision: str = ""
    """The revision of a hub id; empty: the newest."""
    captioner_bits: int = Field(16, ge=8, le=16, multiple_of=8)
    """16, or 8 to keep the weights of the captioner as 8-bit integers: half of the memory, a little slower."""
    caption_checker: str = ""
    """Checkpoint folder or hub id of a CLIP that compares each phrase of a caption with its image; empty: none."""
    caption_checker_revision: str = ""
    """The revision of a hub id; empty: the newest."""
    segmenter: str = ""
    """Checkpoint folder or hub id of a SAM 2, which finds the outlines of subjects in photos; empty: attention and
    colors find them."""
    segmenter_revision: str = ""
    """The revision of a hub id; empty: the newest."""
    prompt_writer_url: str = ""
    """OpenAI-compatible URL up to /v1 of the model that writes the class prompts; empty: a built-in list of prompts."""
    prompt_writer_model: str = ""
    """The name of that model. Users see it."""
    prompt_writer_key: SecretStr = SecretStr("")
    """The API key of that server; empty: none."""
    prompt_writer_timeout_seconds: float = Field(60.0, gt=0)
    """The time limit of one request."""
    kept_source_bytes: int = Field(4 * 1024**3, ge=0)
    """Memory of each worker's device for inverted images, from which further edits of an image start: 1.2 GB for an
    image with SDXL. A GPU gives at most a tenth of its memory, and none during a training. 0: none."""
    prefetch_bytes: int = Field(512 * 1024**2, ge=0)
    """Main memory of each worker for the images and the prior of the job that it will probably do next. It fetches them
    while a job runs. 0: each job fetches its own."""
    cuda_graphs: Literal["auto", "off"] = "off"
    """auto: trainings and edits by NIMA are recorded as CUDA graphs, and run as they are where recording fails. Not yet
    measured on a GPU: docs/speed.md. off: no graphs."""
    compile: Literal["auto", "off"] = "off"
    """auto: a worker compiles parts of the network by torch.compile before its first job, which takes minutes once and
    needs a C++ compiler. Without one it works as it is, and with LIPE_CUDA_GRAPHS=auto on a GPU, too. Not yet measured
    on a GPU: docs/speed.md. off: nothing is compiled."""
    data_dir: Path = Path("data")
    """The folder of the workers' caches and checkpoints; it may be lost."""
    heartbeat_file: str = ""
    """The file that dispatcher and workers touch for health checks; empty: none."""
    allow_private_urls: bool = False
    """Allow webhooks and image URLs to private networks and to all ports. For local use only."""
    webhook_ports: str = "80,443"
    """The ports that webhooks may use, separated by commas."""

    policy_url: str = ""
    """The operator's policy server, which may refuse prompts, references and results; empty: none."""
    policy_secret: SecretStr = SecretStr("")
    """The secret that signs the questions to the policy: whsec_ and the base64 of 24 to 64 random bytes."""
    policy_timeout_seconds: float = Field(5.0, gt=0, le=60)
    """The time limit of one question to the policy."""
    policy_fails: Literal["closed", "open"] = "closed"
    """What follows if the policy does not answer: closed refuses for now, open lets the request through."""

    consent_end_erases: Erases = "priors"
    """What the end of a person's consent erases: nothing; the priors of the subject; or subject, which is all of it."""
    find_faces: bool = True
    """Look for faces in uploaded images: a subject with a face in its references needs consent."""
    other_people: Literal["warn", "consent"] = "warn"
    """What follows if the image of an edit shows more faces than the subject has: its job has a warning, or the request
    must state the consent of the others."""
    credentials_chain_file: str = ""
    """PEM file of the certificates that sign results (Content Credentials): the signer's first, then its issuers'.
    Empty: results are not signed."""
    credentials_key_file: str = ""
    """PEM file of the signer's private key. Only the workers of edits need it."""
    credentials_sign_command: str = ""
    """Command that signs in place of a key file: bytes on its standard input, their signature on its standard
    output."""
    credentials_former_files: str = ""
    """Chains that signed results before, as PEM files separated by commas. Verification knows their results as own."""
    credentials_trust_file: str = ""
    """PEM file of the authorities whose signatures verification trusts, beside this installation's own; empty: none."""

    watermark_key: SecretStr = SecretStr("")
    """Key of the invisible watermark of published results. Empty: no result can be published. With a new key, the
    marks of older results are not found any more."""

    metrics_port: int = Field(0, ge=0, le=65_535)
    """The port at which a program serves its metrics for Prometheus; 0: none. Programs of one machine need one each."""
    metrics_host: str = "127.0.0.1"
    """The address of that port. Any other than this machine's own needs metrics_token."""
    metrics_token: SecretStr = SecretStr("")
    """The token that Prometheus sends to read metrics; it also opens /metrics of the API. Empty: that is closed."""

    lease_seconds: float = 60.0
    """A worker process that does not answer for this time loses its job."""
    stuck_seconds: float = Field(1800.0, gt=0)
    """A job fails as stuck if its worker is alive but reports no progress for this time."""
    max_attempts: int = 3
    """A job fails as worker_lost after this many lost workers."""
    stranded_seconds: float = 15.0
    """The dispatcher notifies the webhook workers again of a delivery that none attempted in this time."""
    queue_deadline_seconds: float = Field(604_800.0, gt=0)
    """A job that stays queued for longer than this expires."""
    signed_url_seconds: int = 900
    """The lifetime of a signed URL."""
    webhook_file_seconds: int = Field(3600, ge=60, le=604_800)
    """The lifetime of the signed URLs in webhooks. They do not change when a webhook is sent again."""
    idempotency_hours: int = 24
    """The lifetime of an idempotency key."""
    max_queued_jobs: int = Field(100, ge=1)
    """The most queued jobs of one project."""
    max_running_jobs: int = Field(8, ge=1)
    """The most running jobs of one project. Further jobs stay queued, even if workers are idle."""
    max_subjects: int = Field(1000, ge=1)
    """The most subjects of one project."""
    max_gpu_seconds_per_day: int = Field(86_400, ge=1)
    """The most seconds of one UTC day in which jobs of one project hold a worker. Then new jobs are refused."""
    max_pending_uploads: int = Field(100, ge=1)
    """The most uploads by signed URL of one project that have not become images or priors."""
    max_images: int = Field(20_000, ge=1)
    """The most images of one project."""
    max_image_bytes: int = Field(100 * 1024**3, ge=1)
    """The most bytes of the images of one project, as they are stored."""
    max_webhook_endpoints: int = Field(20, ge=1)
    """The most webhook endpoints of one project. Each gets a delivery of every event."""
    max_studies: int = Field(100, ge=1)
    """The most studies of one project."""
    rate_per_key: float = Field(10.0, ge=0)
    """The most requests a second with one API key, for each API process, on average of 20 seconds; 0: no limit."""
    rate_per_address: float = Field(400.0, ge=0)
    """The same for one network address. Behind a proxy that does not forward addresses, all users share one."""
    max_event_streams: int = Field(100, ge=1)
    """The most streams of events that one project may follow at once, for each API process."""
    max_connections: int = Field(1000, ge=1)
    """The most connections to one API process. Further requests are answered 503 at once."""
    max_job_seconds: float = Field(86_400.0, gt=0)
    """A job fails as over_time if one of its attempts runs for longer than this."""
    drain_seconds: float = Field(0.0, ge=0)
    """A worker that stops lets a running edit go on for this time. Then the edit returns to the queue; a training does
    so at its next step. 0: an edit, too. The worker must have half a minute more before it is killed."""
    max_upload_bytes: int = 32 * 1024 * 1024
    """The largest accepted image file."""
    max_import_bytes: int = Field(512 * 1024 * 1024, ge=1, le=2**31 - 1)
    """The largest accepted LoRA file. A worker needs about five times as much memory to import one."""
    min_image_side: int = 64
    """In pixels; smaller uploads are refused. SDXL learns little from images below 256 pixels."""
    delete_orphans: bool = True
    """Whether the dispatcher deletes objects that no row references. `lipe orphans` lists them."""
    retention_edit_days: float = Field(0.0, ge=0, le=36_500)
    """Edits whose newest job ended longer ago are erased with their results; 0: never."""
    retention_image_days: float = Field(0.0, ge=0, le=36_500)
    """Images that are older, and that no subject, no edit and no study uses, are erased; 0: never."""
    retention_failed_prior_days: float = Field(0.0, ge=0, le=36_500)
    """Priors whose newest job ended longer ago without success are erased; 0: never."""
    retention_study_days: float = Field(0.0, ge=0, le=36_500)
    """Studies that were closed longer ago are erased with their answers; 0: never. Until then they keep their images
    and edits."""

    @field_validator("database_url")
    @classmethod
    def _names_the_driver(cls, url: str) -> str:
        scheme, colon, rest = url.partition("://")
        if scheme not in {"postgres", "postgresql", "postgresql+psycopg"} or not colon:
            raise ValueError("must be a PostgreSQL URL: postgresql+psycopg://user:password@host/database")
        return f"postgresql+psycopg://{rest}"

    @field_validator("s3_secret_access_key")
    @classmethod
    def _has_both_keys(cls, secret: SecretStr, others: ValidationInfo) -> SecretStr:
        if bool(secret.get_secret_value()) != bool(others.data.get("s3_access_key_id")):
            raise ValueError("set both s3_access_key_id and s3_secret_access_key, or none of them")
        return secret

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
            raise ValueError("prompt_writer_url must begin with http:// or https://, and needs prompt_writer_model")
        return self

    @model_validator(mode="after")
    def _signs_questions(self) -> Self:
        if self.policy_url and not is_http(self.policy_url, with_path=True):
            raise ValueError("policy_url must be a URL without query, such as https://policy.internal:9000/decide")
        if self.policy_url and not is_secret(self.policy_secret.get_secret_value()):
            raise ValueError("policy_url needs policy_secret: whsec_ and the base64 of 24 to 64 random bytes")
        return self

    @model_validator(mode="after")
    def _guards_metrics(self) -> Self:
        token = self.metrics_token.get_secret_value()
        if token and len(token) < SHORTEST_PEPPER:
            raise ValueError(f"metrics_token must have at least {SHORTEST_PEPPER} characters")
        if self.metrics_port and not token and not is_loopback(self.metrics_host):
            raise ValueError(
                f"metrics_host {self.metrics_host} is open to other machines: set metrics_token, or use 127.0.0.1"
            )
        return self

    @field_validator("webhook_ports")
    @classmethod
    def _lists_ports(cls, ports: str) -> str:
        if not all(port.strip().isdecimal() and 0 < int(port) < 65536 for port in ports.split(",")):
            raise ValueError("must be port numbers separated by commas, such as 80,443,8443")
        return ports

    @field_validator("public_url")
    @classmethod
    def _is_a_base_url(cls, url: str) -> str:
        if url and not is_http(url, with_path=True):
            raise ValueError("must be a URL without query, such as https://lipe.example.com")
        return url.rstrip("/")

    @field_validator("cors_origins")
    @classmethod
    def _lists_origins(cls, origins: str) -> str:
        wrong = [origin for origin in split_list(origins) if not is_http(origin, with_path=False)]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no origin: list each as scheme, host and port, such as https://app.example.com, "
                "without a path and without *"
            )
        return origins

    @property
    def compiled_dir(self) -> Path:
        """The folder of compiled code, which workers of one machine share."""
        return self.data_dir.resolve() / "compiled"

    @property
    def signs_results(self) -> bool:
        """Whether the settings name a signer: anything of it, so that an incomplete one is an error."""
        return bool(self.credentials_chain_file or self.credentials_key_file or self.credentials_sign_command)

    @property
    def credentials_chains(self) -> list[str]:
        """The files of the chains that sign results, or did so before."""
        return [name for name in (self.credentials_chain_file, *split_list(self.credentials_former_files)) if name]

    @property
    def allowed_origins(self) -> list[str]:
        """The origins in `cors_origins`."""
        return split_list(self.cors_origins)

    @property
    def allowed_webhook_ports(self) -> frozenset[int]:
        """The numbers in `webhook_ports`."""
        return frozenset(int(port) for port in self.webhook_ports.split(","))

    @property
    def public_endpoint_url(self) -> str:
        """The address of the object storage as users reach it."""
        return self.s3_public_endpoint_url or self.s3_endpoint_url
