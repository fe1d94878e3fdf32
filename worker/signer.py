"""The signer of results that the settings name. It imports no torch: the program checks it before it starts."""

from pathlib import Path

from ledger.settings import Settings
from provenance.certificates import InvalidCertificates
from provenance.signing import Signer, load_signer


def result_signer(settings: Settings) -> Signer | None:
    """The signer that the settings name. None: results are not signed. Raises InvalidCertificates."""
    if not settings.signs_results:
        return None
    if not settings.credentials_chain_file:
        raise InvalidCertificates("LIPE_CREDENTIALS_CHAIN_FILE is not set, the certificates of the signer")
    key_file = Path(settings.credentials_key_file) if settings.credentials_key_file else None
    return load_signer(Path(settings.credentials_chain_file), key_file, settings.credentials_sign_command)
