"""`lipe migrate`: bring the database and the bucket to the state that this version needs."""

from rich.console import Console

from ledger import database
from ledger.settings import Settings
from ledger.storage import CorsUnsupported, Storage


def run_migrate() -> None:
    """Migrate the database, create the bucket, and let the settings' origins use signed URLs.

    A storage without CORS rules is a warning. Raises what `cli.server_errors` prints.
    """
    settings = Settings()
    database.migrate(settings)
    storage = Storage(settings)
    storage.ensure_bucket()
    try:
        storage.allow_origins()
    except CorsUnsupported as error:
        warning = (
            f"Web pages of {', '.join(settings.allowed_origins)} may be unable to fetch files: the object storage "
            f"does not accept CORS rules ({error}). Allow these origins in its own configuration, or set "
            "LIPE_PUBLIC_URL, so that the API serves the files."
        )
        Console(stderr=True).print(warning, style="yellow", markup=False, highlight=False, soft_wrap=True)
