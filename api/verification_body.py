"""The answer of a verification."""

from typing import Literal

from api.fields import ResponseModel
from provenance.reading import Action, Credentials


class RegionBody(ResponseModel):
    """A rectangle of an image in pixels."""

    left: int
    """Distance from the image's left side."""

    top: int
    """Distance from the image's top."""

    width: int
    """Width of the rectangle."""

    height: int
    """Height of the rectangle."""


class ActionBody(ResponseModel):
    """One action that the credentials claim."""

    action: str
    """Name of the action by the C2PA specification, such as `c2pa.edited`."""

    digital_source_type: str | None
    """IPTC term for the origin of the pixels; null if the claim has none. LIPE writes the term for an image with parts
    that a model generated."""

    software: str | None
    """Software that did it; null if the claim names none."""

    regions: list[RegionBody]
    """Changed regions in pixels; empty if the claim names none, which may mean the whole image."""

    @classmethod
    def of(cls, action: Action) -> "ActionBody":
        """The body of a claim's action."""
        regions = [RegionBody.model_validate(region) for region in action.regions]
        return cls(
            action=action.action,
            digital_source_type=action.digital_source_type,
            software=action.software,
            regions=regions,
        )


class SignerBody(ResponseModel):
    """The certificate that signed the credentials. Anyone can create one with any name: see `credentials`."""

    organization: str | None
    """Organization that the certificate names."""

    common_name: str | None
    """Common name that the certificate names."""

    serial_number: str | None
    """Serial number of the certificate, in decimal."""

    algorithm: str | None
    """Signature algorithm, such as `Es256`."""


class VerificationBody(ResponseModel):
    """The claims of an image file about itself."""

    credentials: Literal["absent", "valid", "untrusted", "broken"]
    """State of the Content Credentials. `valid`: signed by this installation or by an authority that its operator
    trusts. `untrusted`: the signature is correct, but its signer is unknown, so anyone may have written the claims.
    `broken`: file or claims were changed after the signature. `absent`: the file has none, which proves nothing."""

    made_here: bool
    """Whether this installation signed the file and it is unchanged."""

    edit_id: str | None
    """Id of the edit that made the file, if it was made here and the key's project has the edit; otherwise null."""

    failures: list[str]
    """Codes of the C2PA checks that failed; empty unless the credentials are `broken`."""

    signer: SignerBody | None
    """Signer of the credentials; null without credentials, or if they are `broken`."""

    software: str | None
    """Software that wrote the claims; null if unknown."""

    actions: list[ActionBody]
    """Actions that the credentials claim, in their order."""

    ingredients: int
    """Number of files from which the image was made, by its claims."""

    watermark: bool | None
    """Whether the image has this service's watermark, which survives most programs that drop the credentials; null if
    the service has none."""

    watermark_edit_id: str | None
    """Id of the edit that the watermark names, if its message can be read and the key's project has the edit; otherwise
    null. A hint and no proof: a watermark can be copied into another image."""

    @classmethod
    def of(
        cls, found: Credentials, watermark: bool | None, edit_id: str | None, watermark_edit_id: str | None
    ) -> "VerificationBody":
        """The body of the credentials and the watermark that were found."""
        return cls(
            credentials=found.state,
            made_here=found.is_own,
            edit_id=edit_id,
            failures=list(found.failures),
            signer=SignerBody.model_validate(found.signer) if found.signer else None,
            software=found.software,
            actions=[ActionBody.of(action) for action in found.actions],
            ingredients=found.ingredients,
            watermark=watermark,
            watermark_edit_id=watermark_edit_id,
        )
