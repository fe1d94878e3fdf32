"""Check the network addresses behind URLs that users supply: only global addresses are allowed.

IPv6 has several notations for an IPv4 address. Each is unwrapped before the check, otherwise `::ffff:127.0.0.1`
would be accepted although `127.0.0.1` is refused.
"""

import socket
from collections.abc import Collection
from concurrent.futures import Future
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from threading import Thread
from urllib.parse import urlsplit

import httpx

NAT64 = (IPv6Network("64:ff9b::/96"), IPv6Network("64:ff9b:1::/48"))  # RFC 6052, RFC 8215
COMPATIBLE = IPv6Network("::/96")  # RFC 4291, 2.5.5.1, deprecated
ISATAP = (0x0000_5EFE, 0x0200_5EFE)  # RFC 5214, 6.1: the upper half of the interface identifier
NOT_GLOBAL = (IPv4Network("192.88.99.0/24"), IPv6Network("3fff::/20"))  # RFC 7526, RFC 9637; Python calls them global
LOW_32_BITS = 0xFFFFFFFF
WEB_PORTS = frozenset({80, 443})
PRIVATE_NAMES = frozenset({"localhost", "local", "internal", "alt", "onion", "test"})
LOOKUP_SECONDS = 5.0


class Forbidden(ValueError):
    """The service must not call this URL; the message says why."""


def is_global(address: IPv4Address | IPv6Address | str) -> bool:
    """Whether the address, and every IPv4 address that it wraps, is on the public Internet."""
    ip = ip_address(address) if isinstance(address, str) else address
    if isinstance(ip, IPv6Address):
        if any(not is_global(inner) for inner in _wrapped(ip)):
            return False
        if ip.ipv4_mapped is not None or ip in NAT64[0]:
            return True
        if ip.is_site_local or ip.scope_id is not None:
            return False
    if any(ip in network for network in NOT_GLOBAL):
        return False
    return ip.is_global and not ip.is_multicast and not ip.is_reserved


def normal_url(url: str) -> str:
    """The URL in ASCII: the host in IDNA, path and query percent-encoded, without a fragment. Raises Forbidden."""
    try:
        normal = str(httpx.URL(url).copy_with(fragment=None))
    except (httpx.InvalidURL, UnicodeError, ValueError) as error:
        raise Forbidden(f"the URL cannot be parsed: {error}") from error
    if not normal.isascii():
        raise Forbidden("the URL cannot be written in ASCII")
    return normal


def check(url: str, *, allow_private: bool = False, ports: Collection[int] = WEB_PORTS) -> None:
    """Raise Forbidden for an http(s) URL that may not be called, as far as one sees without a name server.

    A program without a way out checks a URL so, and the one that calls it resolves the host. An address in any
    notation is checked here, and a name that never has a public address.
    """
    host, port = _host_and_port(url)
    try:
        addresses = _numeric(host, port)
    except OSError:  # a name
        _check_port(port, allow_private, ports)
        _check_name(host, allow_private)
    else:
        _check_addresses(host, addresses, port, allow_private, ports)


def resolve(url: str, *, allow_private: bool = False, ports: Collection[int] = WEB_PORTS) -> tuple[str, ...]:
    """Resolve the host of an http(s) URL. Connect to these addresses only: a second look-up may answer differently.

    Raises Forbidden for another scheme, for credentials in the URL, and for a host without an address. Unless private
    networks are allowed, it also refuses a port that is not listed, and a host with an address that is not global.
    """
    host, port = _host_and_port(url)
    try:
        addresses = _look_up(host, port)
    except TimeoutError as error:
        raise Forbidden(f"the name server did not answer for the host {host!r}") from error
    except (OSError, UnicodeError, ValueError) as error:
        raise Forbidden(f"the host {host!r} has no address") from error
    _check_addresses(host, addresses, port, allow_private, ports)
    return addresses


def _host_and_port(url: str) -> tuple[str, int]:
    try:
        parts = urlsplit(normal_url(url))
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise Forbidden(f"the URL cannot be parsed: {error}") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise Forbidden("the URL must start with http:// or https:// and name a host")
    if parts.username is not None or parts.password is not None:
        raise Forbidden("the URL must not carry a user name or a password")
    return parts.hostname, port


def _check_addresses(
    host: str, addresses: Collection[str], port: int, allow_private: bool, ports: Collection[int]
) -> None:
    if not allow_private and not all(is_global(address) for address in addresses):
        raise Forbidden(f"the host {host!r} is not on the public Internet")
    _check_port(port, allow_private, ports)


def _check_port(port: int, allow_private: bool, ports: Collection[int]) -> None:
    if not allow_private and port not in ports:
        raise Forbidden(f"the port {port} is none of {', '.join(map(str, sorted(ports)))}")


def _check_name(host: str, allow_private: bool) -> None:
    """Refuse names that no public name server has (RFC 6761, RFC 6762, RFC 9476)."""
    last = host.rstrip(".").rpartition(".")[2]
    if last == "invalid":
        raise Forbidden(f"the host {host!r} has no address")
    if not allow_private and (last in PRIVATE_NAMES or "." not in host.rstrip(".")):
        raise Forbidden(f"the host {host!r} is not on the public Internet")


def _numeric(host: str, port: int) -> tuple[str, ...]:
    """The addresses that the host names without a name server, in any notation. Raises OSError for a name."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except UnicodeError as error:
        raise Forbidden(f"the host {host!r} has no address") from error
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def _look_up(host: str, port: int) -> tuple[str, ...]:
    """The addresses of the host. Raises TimeoutError after LOOKUP_SECONDS, and OSError."""
    future: Future[tuple[str, ...]] = Future()

    def look_up() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            future.set_result(tuple(dict.fromkeys(str(entry[4][0]) for entry in found)))
        except Exception as error:
            future.set_exception(error)

    Thread(target=look_up, daemon=True).start()  # `getaddrinfo` has no deadline of its own
    return future.result(LOOKUP_SECONDS)


def _wrapped(ip: IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address contains."""
    inner = [ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())]
    low = IPv4Address(int(ip) & LOW_32_BITS)
    if any(ip in network for network in NAT64) or ip in COMPATIBLE or int(ip) >> 32 & LOW_32_BITS in ISATAP:
        inner.append(low)
    return [address for address in inner if address is not None]
