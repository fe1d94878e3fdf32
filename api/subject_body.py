"""The body of a subject in answers."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from api.consent import ConsentBody, newest_consent
from api.fields import Moment, ResponseModel
from ledger.categories import Category


class ReferenceBody(ResponseModel):
    """One reference image."""

    image_id: str
    """Id of the reference image."""

    caption: str | None
    """Description of the image; null if the service writes it during the training."""


class SubjectBody(ResponseModel):
    """A subject. Prompts name it by `token` and `class_noun`, such as "sks dog"."""

    id: str
    """Id of the subject."""

    name: str
    """Name for people."""

    class_noun: str
    """Common noun for the subject."""

    token: str
    """Rare word that stands for this subject in prompts."""

    category: Category
    """Kind of subject."""

    consent: Annotated[ConsentBody | None, BeforeValidator(newest_consent), Field(validation_alias="consents")]
    """Newest receipt of the person's consent; null if there is none."""

    not_a_person: bool
    """Whether the request stated that the subject is no person."""

    references: list[ReferenceBody]
    """Reference images, in the order in which they were added."""

    metadata: Annotated[dict[str, str], Field(validation_alias="user_metadata")]
    """Your own pairs."""

    created_at: Moment
    """Time at which the subject was created, in UTC."""
