"""PgBouncer in front of a Postgres: it lends its connections by transaction."""

import os
import pwd
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import psycopg
from sqlalchemy import make_url

from cli.embedded.process import on_free_port, private_folder, running

POOL_SIZE = 20
UNPRIVILEGED = pwd.getpwuid(65534).pw_name


@contextmanager
def serve(folder: Path, database_url: str, program: str) -> Iterator[str]:
    """Run it for the database of the URL, for all of its users; yield the URL that leads through it."""
    private_folder(folder)
    url = make_url(database_url)
    users = folder / "users.txt"
    users.write_text(f'"{url.username}" "{url.password}"\n')

    def start(port: int) -> AbstractContextManager[object]:
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n{url.database} = host={url.host} port={url.port}\n[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = scram-sha-256\n"
            f"auth_file = {users}\nauth_user = {url.username}\npool_mode = transaction\n"
            f"default_pool_size = {POOL_SIZE}\nmax_client_conn = 2000\n"
            + (f"user = {UNPRIVILEGED}\n" if os.geteuid() == 0 else "")
        )
        through = url.set(drivername="postgresql", port=port).render_as_string(hide_password=False)
        return running([program, str(settings)], folder, is_ready=lambda: _answers(through))

    with on_free_port(start) as port:
        through = url.set(port=port).update_query_dict({"prepared_statements": "false"})
        yield through.render_as_string(hide_password=False)


def _answers(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=5).close()
        return True
    return False
