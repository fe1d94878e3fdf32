"""A silent name server: the delivery is a failed attempt with its reason, before the resolver itself gives up.

The sender runs in a mount namespace whose /etc/resolv.conf names a silent server. Only root can make one, so other
users skip the test.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from ledger import outbox, webhooks
from ledger.database import UnitOfWork
from ledger.models import Delivery, Project
from ledger.roles import Program
from tests.support.checkout import PYTHON_PATH, ROOT
from tests.support.rows import make_job, make_subject

SENDER = """
import sys
from ledger.database import make_engine, unit_of_work
from worker.webhooks import deliver
deliver(unit_of_work(make_engine(sys.argv[1])), sys.argv[2], allow_private=False)
"""
ADDRESS = "127.0.77.53"


def test_a_delivery_does_not_wait_for_a_silent_name_server(
    begin: UnitOfWork, project: Project, program_urls: dict[Program, str], tmp_path: Path
) -> None:
    conf = tmp_path / "resolv.conf"
    conf.write_text(f"nameserver {ADDRESS}\noptions timeout:30 attempts:5\n")
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/resolv.conf && exec "$@"', str(conf)]
    if os.geteuid() != 0 or subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine lets the tests make no mount namespace")
    with begin() as session:
        job = make_job(session, make_subject(session, project.id), webhook_url="http://hooks.example.com/")
        webhooks.create_deliveries(session, project.id, job.id, "prior.succeeded", {"job_id": job.id}, job.webhook_url)
        delivery = session.query(Delivery).one()
    outbox.publish(begin, lambda task, identifier: True)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind((ADDRESS, 53))
        command = [*inside, sys.executable, "-c", SENDER, program_urls["webhooks"], delivery.id]
        environment = {**os.environ, "PYTHONPATH": PYTHON_PATH}
        subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=100)
        silent.settimeout(5)
        assert b"hooks" in silent.recv(512)  # it was asked
    with begin() as session:
        tried = session.get_one(Delivery, delivery.id)
        assert (tried.state, tried.attempts) == ("pending", 1)
        assert tried.last_error == "the name server did not answer for the host 'hooks.example.com'"
        assert tried.next_attempt_at > tried.created_at
