"""Write PgBouncer's configuration: the database of the owner's URL, and the users of the programs' URLs."""

import os
from pathlib import Path

from sqlalchemy import make_url

SECRETS = Path(os.environ.get("SECRETS_DIR", "/run/secrets"))
FOLDER = Path(os.environ.get("CONFIGURATION_DIR", "/etc/pgbouncer"))


def quoted(text: str) -> str:
    """A word of the file of users."""
    return '"' + text.replace('"', '""') + '"'


owner = make_url((SECRETS / "lipe_database_url").read_text().strip())
if owner.host and owner.host.endswith("-pgbouncer"):
    raise SystemExit(
        "lipe_database_url names PgBouncer itself: it must name Postgres, also because the migration uses it"
    )
lines = []
for program in ("api", "dispatcher", "webhooks", "worker"):
    url = make_url((SECRETS / f"{program}_database_url").read_text().strip())
    if not url.username or not url.password:
        raise SystemExit(f"{program}_database_url names no user or no password")
    lines.append(f"{quoted(url.username)} {quoted(url.password)}\n")
(FOLDER / "users.txt").write_text("".join(lines))
(FOLDER / "pgbouncer.ini").write_text(
    f"""[databases]
{owner.database} = host={owner.host} port={owner.port or 5432}
[pgbouncer]
listen_addr = *
listen_port = {os.environ.get("PORT", "6432")}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {FOLDER / "users.txt"}
pool_mode = transaction
max_db_connections = {os.environ["CONNECTIONS"]}
default_pool_size = {os.environ["CONNECTIONS"]}
max_client_conn = {os.environ["CLIENTS"]}
max_prepared_statements = 200
server_tls_sslmode = {os.environ["SERVER_TLS"]}
"""
)
