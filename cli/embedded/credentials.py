"""The signer of results of `lipe up`: a local authority's certificate, kept in the data folder."""

import os
from datetime import UTC, datetime
from pathlib import Path

from cli.credential_files import CredentialFiles
from cli.embedded.process import StartError
from provenance.certificates import InvalidCertificates, OutOfPeriod
from provenance.signing import load_signer

ORGANIZATION = "LIPE on one machine"
NAMES = ("LIPE_CREDENTIALS_CHAIN_FILE", "LIPE_CREDENTIALS_KEY_FILE", "LIPE_CREDENTIALS_SIGN_COMMAND")


def credentials_settings(folder: Path) -> dict[str, str]:
    """The settings of the signer in the folder, made at the first call and renewed when it has expired.

    None if the environment has one of them, even an empty one, which switches signing off. Raises StartError.
    """
    if any(name in os.environ for name in NAMES):
        return {}
    files = CredentialFiles(folder)
    try:
        if files.key.exists():
            load_signer(files.chain, files.key, "")
        else:
            files.create(ORGANIZATION)
    except OutOfPeriod:  # the chain is kept, so that verification still knows its results
        files.chain.rename(folder / f"chain-{datetime.now(UTC):%Y%m%d-%H%M%S}.pem")
        files.key.unlink()
        files.create(ORGANIZATION)
    except InvalidCertificates as error:
        raise StartError(f"{folder} cannot sign results: {error}; move it away to get a new one") from error
    former = sorted(folder.glob("chain-*.pem"))
    return {
        "LIPE_CREDENTIALS_CHAIN_FILE": str(files.chain),
        "LIPE_CREDENTIALS_KEY_FILE": str(files.key),
        **({"LIPE_CREDENTIALS_FORMER_FILES": ",".join(map(str, former))} if former else {}),
    }
