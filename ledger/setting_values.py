"""Values of settings: lists, URLs and addresses."""

import ipaddress
from urllib.parse import urlsplit


def split_list(text: str) -> list[str]:
    """The entries of a list that is separated by commas, without spaces and empty ones."""
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def is_http(text: str, *, with_path: bool) -> bool:
    """Whether the text is exactly an origin (RFC 6454) as browsers send it, or one that a path may follow."""
    try:
        url = urlsplit(text)
        origin = f"{url.scheme}://{url.netloc}"
        is_named = bool(url.hostname) and url.username is None and url.port != 0 and "*" not in url.netloc
    except ValueError:
        return False
    rest = text.removeprefix(origin)
    is_whole = not (url.query or url.fragment or "?" in rest or "#" in rest) if with_path else not rest
    is_normal = with_path or url.netloc == url.netloc.lower()
    return url.scheme in {"http", "https"} and is_named and is_whole and is_normal


def is_loopback(host: str) -> bool:
    """Whether a service at this address answers this machine alone."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False
