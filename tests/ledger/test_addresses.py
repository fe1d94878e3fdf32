"""Only addresses of the public Internet are allowed, in every notation."""

import socket
from collections.abc import Callable
from threading import Event

import pytest

from ledger import addresses
from ledger.addresses import Forbidden, check, is_global, normal_url, resolve
from tests.support.waiting import PATIENCE_SECONDS

PRIVATE = [
    "127.0.0.1", "127.8.8.8", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "224.0.0.1", "255.255.255.255", "240.0.0.1", "192.0.2.1", "198.18.0.1",
    "::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "2001:db8::1",
    "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",  # v4-mapped
    "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::a00:1",  # NAT64
    "2002:7f00:1::", "2002:a00:1::1", "::127.0.0.1", "::a9fe:a9fe",  # 6to4, v4-compatible
    "2001:0:7f00:1::",  # Teredo
    "192.88.99.1", "3fff::1", "3fff:fff::1",  # relays of 6to4, documentation
    "2a00::5efe:a00:1", "2a00::200:5efe:7f00:1",  # ISATAP
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_not_global(address: str) -> None:
    assert not is_global(address)


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "2606:4700:4700::1111",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
        "2a00::5efe:808:808",
        "192.88.98.1",
    ],
)
def test_a_public_address_is_global(address: str) -> None:
    assert is_global(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/hook", "http://[::1]/hook", "http://[::ffff:127.0.0.1]:8000/", "http://localhost/",
        "http://2130706433/", "http://0x7f000001/", "http://127.1/", "http://0/", "http://169.254.169.254/latest",
    ],
)  # fmt: skip
@pytest.mark.parametrize("refuse", [check, resolve])
def test_a_url_to_this_machine_is_refused_in_every_notation(url: str, refuse: Callable[[str], object]) -> None:
    with pytest.raises(Forbidden):
        refuse(url)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://8.8.8.8/", "file:///etc/passwd", "http://", "//8.8.8.8/", "http://user:password@8.8.8.8/",
        "http://8.8.8.8:99999/", "http://name.invalid/", "",
    ],
)  # fmt: skip
@pytest.mark.parametrize("refuse", [check, resolve])
def test_other_urls_are_refused(url: str, refuse: Callable[..., object]) -> None:
    with pytest.raises(Forbidden):
        refuse(url, allow_private=True)


def test_private_networks_can_be_allowed() -> None:
    assert resolve("http://127.0.0.1:8000/hook", allow_private=True) == ("127.0.0.1",)
    assert resolve("https://8.8.8.8/hook") == ("8.8.8.8",)


@pytest.mark.parametrize(
    ("url", "normal"),
    [
        ("https://M\u00fcnchen.example/\u00e4 b?\u00f6=\u00fc&x=%41#part",
         "https://xn--mnchen-3ya.example/%C3%A4%20b?%C3%B6=%C3%BC&x=%41"),
        ("http://127\u30020\u30020\u30021/", "http://127.0.0.1/"),
        ("https://example.com/hook?key=a%2Fb", "https://example.com/hook?key=a%2Fb"),
    ],
)  # fmt: skip
def test_a_url_is_written_in_ascii(url: str, normal: str) -> None:
    assert normal_url(url) == normal
    assert normal_url(normal) == normal


@pytest.mark.parametrize("url", ["http://\u2603.example/", "http://a:\u00e9/"])
def test_a_url_without_an_ascii_form_is_refused(url: str) -> None:
    with pytest.raises(Forbidden, match="cannot be parsed"):
        normal_url(url)


@pytest.mark.parametrize("url", ["http://8.8.8.8:22/", "https://8.8.8.8:6379/"])
def test_only_the_listed_ports_of_public_addresses_are_allowed(url: str) -> None:
    port = int(url.rpartition(":")[2].partition("/")[0])
    with pytest.raises(Forbidden, match=f"port {port} is none of 80, 443"):
        resolve(url)
    assert resolve(url, ports=(80, port)) == ("8.8.8.8",)
    assert resolve("https://8.8.8.8/") == resolve("http://8.8.8.8/") == ("8.8.8.8",)


def test_a_name_server_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    over = Event()
    monkeypatch.setattr(addresses, "LOOKUP_SECONDS", 0.05)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *arguments, **options: over.wait(PATIENCE_SECONDS))
    with pytest.raises(Forbidden, match="the name server did not answer"):
        resolve("http://slow.example/")
    assert not over.is_set()
    over.set()


def no_name_server(*arguments: object, flags: int = 0, **options: object) -> None:
    """As `getaddrinfo` in a container without a way out."""
    raise socket.gaierror(socket.EAI_NONAME if flags & socket.AI_NUMERICHOST else socket.EAI_AGAIN)


def test_a_url_is_checked_without_a_name_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", no_name_server)
    check("https://hooks.example.com/lipe")
    check("http://receiver.test:8000/", allow_private=True)
    for url, words in (
        ("https://hooks.example.com:22/", "port 22 is none of 80, 443"),
        ("https://name:word@hooks.example.com/", "a user name"),
        ("http://localhost./", "not on the public Internet"),
        ("http://broker/", "not on the public Internet"),
        ("http://metadata.google.internal/", "not on the public Internet"),
        ("http://host.invalid/", "has no address"),
    ):
        with pytest.raises(Forbidden, match=words):
            check(url)
