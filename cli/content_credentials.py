"""`lipe keys content-credentials`: certificates that sign the results."""

from pathlib import Path
from typing import Annotated

import typer

from cli.missing_package import needs_packages

app = typer.Typer(no_args_is_help=True, help="Certificates that sign the results (Content Credentials).")
NEXT = """\
{chain} and {key} are written. Set for the API and the workers:

export LIPE_CREDENTIALS_CHAIN_FILE={chain}
export LIPE_CREDENTIALS_KEY_FILE={key}   # the workers alone need it

This certificate is for trying out: no authority vouches for {organization}, so other programs show its signer as
unknown. For publication, ask an authority on the C2PA trust list for a certificate of your organization, keep its key
in a key service, and set LIPE_CREDENTIALS_SIGN_COMMAND: see docs/content-credentials.md."""


@app.callback()
def content_credentials() -> None:
    """Certificates that sign the results (Content Credentials)."""


@app.command()
def create(
    out: Annotated[Path, typer.Option(help="The folder for chain.pem and key.pem.", file_okay=False)] = Path(
        "credentials"
    ),
    organization: Annotated[str, typer.Option(help="The organization that the certificate names.")] = "LIPE",
) -> None:
    """Create a local authority with one certificate and its key, for trying out. `lipe up` does so by itself."""
    with needs_packages("api"):
        from cli.credential_files import CredentialFiles
    if not 1 <= len(organization) <= 64:
        raise typer.BadParameter("--organization must have 1 to 64 characters")
    files = CredentialFiles(out.absolute())
    try:
        files.create(organization)
    except FileExistsError as error:
        raise typer.BadParameter(f"{files.key} exists: name another folder by --out, or move the files away") from error
    print(NEXT.format(chain=files.chain, key=files.key, organization=organization))
