"""The URLs of a service for each `--host`."""

import ipaddress

import pytest

from cli.embedded.address import local_url, public_url
from ledger.setting_values import is_loopback


@pytest.mark.parametrize(
    ("host", "local", "public"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("127.9.9.9", "http://127.9.9.9:8000", "http://127.9.9.9:8000"),
        ("localhost", "http://localhost:8000", "http://localhost:8000"),
        ("::1", "http://[::1]:8000", "http://[::1]:8000"),
        ("192.0.2.7", "http://192.0.2.7:8000", "http://192.0.2.7:8000"),
        ("lipe.example.com", "http://lipe.example.com:8000", "http://lipe.example.com:8000"),
        ("fd00::2", "http://[fd00::2]:8000", "http://[fd00::2]:8000"),
    ],
)
def test_a_host_is_its_own_address(host: str, local: str, public: str) -> None:
    assert (local_url(host, 8000), public_url(host, 8000)) == (local, public)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_a_service_on_loopback_answers_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "lipe.example.com"])
def test_a_service_elsewhere_answers_other_machines(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.enable_socket
@pytest.mark.parametrize(("host", "local"), [("0.0.0.0", "http://127.0.0.1:1"), ("::", "http://[::1]:1")])
def test_all_addresses_are_reached_by_one_of_them(host: str, local: str) -> None:
    assert local_url(host, 1) == local
    own = public_url(host, 1).removeprefix("http://").removesuffix(":1").strip("[]")
    assert not ipaddress.ip_address(own).is_unspecified
