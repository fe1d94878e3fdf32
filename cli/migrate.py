"""`lipe migrate`: bring the database and the bucket to the state that this version needs."""

from pathlib import Path

from rich.console import Console

from ledger import database, roles, schema
from ledger.settings import Settings
from ledger.storage import CorsUnsupported, Storage


def run_migrate(roles_folder: Path | None = None) -> None:
    """Migrate the database, create the bucket, and let the settings' origins use signed URLs.

    With a folder of `roles.read_urls`, give each program's database role its rights. A storage without CORS rules is a
    warning. Raises InvalidRole, and what `cli.server_errors` prints.
    """
    settings = Settings()
    urls = roles.read_urls(roles_folder) if roles_folder else {}
    schema.migrate(settings)
    if urls:
        engine = database.make_engine(settings.database_url, pool_size=1)
        with database.unit_of_work(engine)() as session:
            roles.grant(session, urls)
        engine.dispose()
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
