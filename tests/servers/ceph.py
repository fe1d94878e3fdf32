"""A small Ceph with its S3 gateway on loopback: one monitor, one store in memory, one RGW.

After Ceph's documentation ("Manual Deployment"), but for the authentication between its own parts, which is off: all
of it listens on loopback only, and keeps nothing but what the tests stored.
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
ms_mon_client_mode = crc  ; RGW would insist on encryption, which needs authentication
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
    """Yield the gateway's credentials; all stops, and all objects are gone, when the block ends.

    The bucket is not made. Raises StartError.
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
    """Its parts, each with a folder of its own beside the configuration file."""

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
        """Who knows the cluster."""
        map_file = str(self.folder / "monmap")
        self._run("monmaptool", "--create", "--fsid", self.cluster, "--addv", "a", self.address, map_file)
        self._run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_file)
        return self._running("mon", "ceph-mon", "-i", "a", "-f")

    def store(self) -> AbstractContextManager[object]:
        """The only one."""
        store = str(uuid.uuid4())
        self._run("ceph", "--connect-timeout", "30", "osd", "new", store)
        self._run("ceph-osd", "--mkfs", "-i", "0", "--osd-uuid", store)
        return self._running("osd", "ceph-osd", "-i", "0", "-f")

    def user(self) -> tuple[str, str]:
        """Access key id and secret of the only user. Makes the gateway's pools, too."""
        made = self._run("radosgw-admin", "user", "create", "--uid=lipe", "--display-name=LIPE")
        key = json.loads(made)["keys"][0]
        return key["access_key"], key["secret_key"]

    def gateway(self, port: int) -> AbstractContextManager[object]:
        """S3 on that port."""
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
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
            raise StartError(f"{' '.join(command)} failed: {error.stderr}") from error
        return done.stdout
