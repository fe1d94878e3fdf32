"""A small Ceph with its S3 gateway on loopback: one monitor, one store in memory, one RGW.

It follows Ceph's documentation ("Manual Deployment"), but without authentication between its parts: they listen on
loopback only and store only test data.
"""

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from cli.embedded.process import StartError, free_port, on_free_port, running
from cli.embedded.s3 import S3, answers

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
CONFIGURATION = """
[global]
fsid = {cluster}
mon_host = {address}
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
ms_mon_client_mode = crc  ; RGW would require encryption, which needs authentication
admin_socket =
log_file =
run_dir = {folder}
crash_dir = {folder}
mon_data = {folder}/mon-data
mon_data_avail_crit = 1
mon_data_avail_warn = 2
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 1000
osd_data = {folder}/osd-data
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_crush_chooseleaf_type = 0
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_pool_default_pg_autoscale_mode = off
rgw_data = {folder}/rgw-data
rgw_dynamic_resharding = false
"""


@contextmanager
def serve(folder: Path, *, bucket: str = "lipe") -> Iterator[S3]:
    """Context manager that yields the gateway's credentials. At the end all parts stop and the objects are deleted.

    It does not create the bucket. Raises StartError.
    """
    ceph = Ceph(folder.resolve(), f"[v2:127.0.0.1:{free_port()}]")
    with ExitStack() as stack:
        ceph.configure()
        stack.enter_context(ceph.monitor())
        stack.enter_context(ceph.store())
        access_key_id, secret_access_key = ceph.user()
        port = stack.enter_context(on_free_port(ceph.gateway))
        yield S3(f"http://127.0.0.1:{port}", access_key_id, secret_access_key, bucket)


class Ceph:
    """The parts of the cluster, each with a folder beside the configuration file."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder, self.address, self.cluster = folder, address, str(uuid.uuid4())
        self._environment = {"CEPH_CONF": str(folder / "ceph.conf")}

    def configure(self) -> None:
        """Write the configuration file."""
        for data in ("mon-data", "osd-data", "rgw-data"):
            (self.folder / data).mkdir(parents=True)
        text = CONFIGURATION.format(folder=self.folder, cluster=self.cluster, address=self.address)
        (self.folder / "ceph.conf").write_text(text)

    def monitor(self) -> AbstractContextManager[object]:
        """The monitor, which knows the cluster's members."""
        map_file = str(self.folder / "monmap")
        self._run("monmaptool", "--create", "--fsid", self.cluster, "--addv", "a", self.address, map_file)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file)
        return self._running("mon", "ceph-mon", "-i", "a", "-f")

    def store(self) -> AbstractContextManager[object]:
        """The only object store daemon."""
        store = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", store)
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", store)
        return self._running("osd", "ceph-osd", "-i", "0", "-f")

    def user(self) -> tuple[str, str]:
        """Create the user and the gateway's pools. Returns access key id and secret."""
        made = self._run("radosgw-admin", "user", "create", "--uid=lipe", "--display-name=LIPE")
        key = json.loads(made)["keys"][0]
        return key["access_key"], key["secret_key"]

    def gateway(self, port: int) -> AbstractContextManager[object]:
        """The S3 gateway on that port."""
        frontend = f"--rgw_frontends=beast endpoint=127.0.0.1:{port}"
        return self._running("rgw", "radosgw", "-n", "client.admin", "-f", frontend, ready_at=port)

    def _running(self, part: str, *command: str, ready_at: int | None = None) -> AbstractContextManager[object]:
        return running(
            command,
            self.folder / part,
            environment=self._environment,
            is_ready=lambda: ready_at is None or answers(ready_at),
        )

    def _run(self, *command: str) -> str:
        environment = {**os.environ, **self._environment}
        try:
            done = subprocess.run(command, env=environment, check=True, timeout=120, capture_output=True, text=True)
        except subprocess.CalledProcessError as error:
            raise StartError(f"{' '.join(command)} failed: {error.stderr}") from error
        except subprocess.TimeoutExpired as error:
            raise StartError(f"{' '.join(command)} timed out") from error
        return done.stdout
