"""The API key of `lipe up`: made once, and kept in the data folder as a file that only its owner can read."""

from pathlib import Path
from typing import Literal, NamedTuple

from cli.embedded.process import write_private
from ledger import keys, projects
from ledger.database import make_engine, unit_of_work
from ledger.settings import Settings

FILE = "api-key"
NAME, PROJECT = "lipe up", "default"


class AccessKey(NamedTuple):
    """A valid key, and its file. `origin`: made now, kept from an earlier start, or made for one that is invalid."""

    token: str
    file: Path
    origin: Literal["new", "kept", "replaced"]


def ensure_key(data_dir: Path, settings: Settings) -> AccessKey:
    """The key in the data folder. A new key replaces it if it is missing, revoked, or unknown to the database."""
    file, pepper = data_dir / FILE, settings.key_pepper.get_secret_value()
    engine = make_engine(settings.database_url, pool_size=1)
    try:
        with unit_of_work(engine)() as session:
            is_first = not file.exists()
            token = "" if is_first else file.read_text(errors="replace").strip()
            if keys.authenticate(session, pepper, token):
                return AccessKey(token, file, "kept")
            owner = projects.by_name(session, PROJECT) or projects.create(session, PROJECT)
            _, token = keys.create(session, pepper, owner.id, NAME, scope="operator")
            write_private(file, f"{token}\n")  # before the commit: no key is valid that no file holds
    finally:
        engine.dispose()
    return AccessKey(token, file, "new" if is_first else "replaced")
