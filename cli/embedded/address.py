"""The URLs of a service that listens on this machine: the local one, and the one that other machines use."""

import socket

WILDCARDS = {"0.0.0.0": ("127.0.0.1", "192.0.2.1"), "::": ("::1", "2001:db8::1")}  # noqa: S104
"""For each host that means "all addresses": the loopback address, and an address outside (RFC 5737, RFC 3849)."""


def local_url(host: str, port: int) -> str:
    """The URL from this machine itself."""
    return _url(WILDCARDS[host][0] if host in WILDCARDS else host, port)


def public_url(host: str, port: int) -> str:
    """The URL from other machines; that of loopback if only this machine can connect.

    A service that listens on all addresses has the one from which this machine connects to others.
    """
    return _url(_own_address(*WILDCARDS[host]) if host in WILDCARDS else host, port)


def _own_address(loopback: str, outside: str) -> str:
    family = socket.AF_INET6 if ":" in outside else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))  # selects a route and sends nothing
            return str(probe.getsockname()[0])
    except OSError:  # no network
        return loopback


def _url(host: str, port: int) -> str:
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
