"""Subjects: who or what is learnt."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from client.call import Call, Listing, at, create, filters, id_of, nothing
from client.models import Category, Image, Subject
from client.operations import listing, verb


class Subjects:
    """The calls on subjects."""

    @verb
    def create_subject(
        self,
        *,
        name: str,
        class_noun: str,
        references: Sequence[Image | str],
        captions: Sequence[str | None] | None = None,
        token: str | None = None,
        category: Category | None = None,
        consent: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Subject]:
        """Name a subject and its 3 to 5 reference pictures; a person needs `consent`.

        Prompts will call it by `token` and `class_noun`: "sks dog", unless another token is given.
        """
        asked = {
            "name": name,
            "class_noun": class_noun,
            "references": [id_of(reference) for reference in references],
            "captions": list(captions) if captions is not None else None,
            "token": token,
            "category": category,
            "consent": consent,
            "metadata": metadata,
        }
        return create(at("subjects"), Subject.model_validate_json, asked, idempotency_key=idempotency_key)

    @verb
    def subject(self, subject: Subject | str) -> Call[Subject]:
        """One subject."""
        return Call("GET", at("subjects", subject), Subject.model_validate_json)

    @listing
    def subjects(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Subject]:
        """All subjects, newest first."""
        query = filters(metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(at("subjects"), Subject, query)

    @verb
    def delete_subject(self, subject: Subject | str) -> Call[None]:
        """Erase a subject and everything derived from it."""
        return Call("DELETE", at("subjects", subject), nothing)
