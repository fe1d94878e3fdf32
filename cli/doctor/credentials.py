"""The check of the signer of results."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from cli.doctor.finding import Finding, failed, fine, one_line, unchecked
from cli.doctor.partial_settings import PartialSettings
from provenance.certificates import InvalidCertificates, read_chain
from provenance.signing import load_signer

PART = "credentials"
RENEWAL = timedelta(days=30)
OFF = (
    "results carry no Content Credentials, because LIPE_CREDENTIALS_CHAIN_FILE is not set: run "
    "`lipe keys content-credentials create`; docs/content-credentials.md says when marking is a duty"
)


def check_credentials(partial: PartialSettings) -> Finding:
    """Whether the certificates and the key that sign results fit and are valid. A command is not run."""
    settings = partial.settings
    if not settings.signs_results:
        return unchecked(PART, OFF)
    if not settings.credentials_chain_file:
        return failed(PART, "LIPE_CREDENTIALS_CHAIN_FILE is not set, the certificates of the signer")
    key_file = Path(settings.credentials_key_file) if settings.credentials_key_file else None
    try:
        chain = load_signer(Path(settings.credentials_chain_file), key_file, settings.credentials_sign_command).chain
    except InvalidCertificates as error:
        return failed(PART, one_line(error))
    end = read_chain(chain)[0].not_valid_after_utc
    if end - datetime.now(UTC) < RENEWAL:
        return failed(PART, f"the certificate of the signer expires on {end:%Y-%m-%d}: renew it")
    return fine(PART, f"results are signed, until {end:%Y-%m-%d}")
