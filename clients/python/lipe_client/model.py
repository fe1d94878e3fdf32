"""The base of all types of responses."""

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Base of all response types: frozen, and tolerant of unknown fields."""

    model_config = ConfigDict(frozen=True, extra="ignore")
