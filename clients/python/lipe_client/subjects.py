"""Operations on subjects: create one from its references, change it, delete it."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from lipe_client.call import Call, Listing, create, filters, id_of, no_content, path_of, without_none
from lipe_client.consent import NewConsent
from lipe_client.models import Category, Image, Subject
from lipe_client.operations import list_operation, operation


class Subjects:
    """The operations on subjects."""

    @operation
    def create_subject(
        self,
        *,
        name: str,
        class_noun: str,
        references: Sequence[Image | str],
        captions: Sequence[str | None] | None = None,
        token: str | None = None,
        category: Category | None = None,
        consent: NewConsent | None = None,
        not_a_person: bool = False,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Subject]:
        """Create a subject with 3 to 20 reference images.

        A subject that is a person, or may be one, needs the receipt of that person's `consent`; `not_a_person` states
        that it is none.

        Prompts name the subject by `token` and `class_noun`. The default token is "sks", as in "sks dog".
        """
        body = {
            "name": name,
            "class_noun": class_noun,
            "references": [id_of(reference) for reference in references],
            "captions": list(captions) if captions is not None else None,
            "token": token,
            "category": category,
            "consent": consent.body() if consent else None,
            "not_a_person": not_a_person or None,
            "metadata": metadata,
        }
        return create(path_of("subjects"), Subject.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def subject(self, subject: Subject | str) -> Call[Subject]:
        """One subject."""
        return Call("GET", path_of("subjects", subject), Subject.model_validate_json)

    @list_operation
    def subjects(
        self,
        *,
        metadata: Mapping[str, str] | None = None,
        created_after: datetime | None = None,
        created_before: datetime | None = None,
    ) -> Listing[Subject]:
        """All subjects, newest first."""
        query = filters(metadata=metadata, created_after=created_after, created_before=created_before)
        return Listing(path_of("subjects"), Subject, query)

    @operation
    def change_subject(
        self,
        subject: Subject | str,
        *,
        name: str | None = None,
        metadata: Mapping[str, str | None] | None = None,
        captions: Mapping[str, str | None] | None = None,
    ) -> Call[Subject]:
        """Change the given fields. `metadata` is merged into the present pairs, and a value of None removes its key.

        `captions` are those of references, by image id; with None the service writes the caption.
        """
        body = {"name": name, "metadata": metadata, "captions": captions}
        return Call("PATCH", path_of("subjects", subject), Subject.model_validate_json, {"json": without_none(body)})

    @operation
    def give_consent(
        self, subject: Subject | str, consent: NewConsent, *, idempotency_key: str | None = None
    ) -> Call[Subject]:
        """Record a receipt of consent: the first one of the subject, or a new one after the last has ended."""
        path = path_of("subjects", subject, "consent")
        return create(path, Subject.model_validate_json, consent.body(), idempotency_key=idempotency_key)

    @operation
    def revoke_consent(self, subject: Subject | str) -> Call[Subject]:
        """Revoke the consent of the person shown: jobs of the subject stop, and it cannot be used any more.

        What the operator has set is erased then; by default the priors.
        """
        return Call("DELETE", path_of("subjects", subject, "consent"), Subject.model_validate_json)

    @operation
    def add_reference(
        self,
        subject: Subject | str,
        image: Image | str,
        *,
        caption: str | None = None,
        idempotency_key: str | None = None,
    ) -> Call[Subject]:
        """Add an image to the references, for the next training. A subject has at most 20."""
        body = {"image_id": id_of(image), "caption": caption}
        path = path_of("subjects", subject, "references")
        return create(path, Subject.model_validate_json, body, idempotency_key=idempotency_key)

    @operation
    def remove_reference(self, subject: Subject | str, image: Image | str) -> Call[None]:
        """Remove an image from the references, of which at least 3 must remain. The image itself stays."""
        return Call("DELETE", path_of("subjects", subject, "references", image), no_content)

    @operation
    def delete_subject(self, subject: Subject | str) -> Call[None]:
        """Delete a subject and everything derived from it: priors, edits and their files."""
        return Call("DELETE", path_of("subjects", subject), no_content)
