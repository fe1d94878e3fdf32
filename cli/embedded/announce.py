"""The lines that `lipe up` prints when the service is ready."""

import json
from typing import TYPE_CHECKING

from rich.console import Console

if TYPE_CHECKING:
    from cli.embedded.up import Service

MINIATURE_BANNER = (
    "The base model is the miniature, which knows only its drawn world. "
    "For photos, set LIPE_BASE_MODEL to an SDXL checkpoint."
)


def announce(console: Console, service: "Service", *, as_json: bool) -> None:
    """Print the URL and the API key: as one JSON line on stdout, or for people on stderr."""
    key = service.key
    if as_json:
        ready = {
            "url": service.url,
            "public_url": service.public_url,
            "api_key": key.token,
            "api_key_file": str(key.file),
            "settings": str(service.settings_file),
        }
        print(json.dumps(ready), flush=True)
        return
    lines = [f"LIPE is at {service.url} (documentation: {service.url}/docs)"]
    # A browser sends the fragment to no server. Only a terminal shows the key: the output may also be kept in a file.
    key_fragment = f"/#key={key.token}" if console.is_terminal else "/"
    lines.append(f"Studio: {service.url}{key_fragment}")
    if service.public_url != service.url:
        lines.append(f"Other machines use {service.public_url} (set LIPE_PUBLIC_URL if they need another name)")
    if key.origin == "replaced":
        lines.append(f"The API key in {key.file} was not valid any more: there is a new one.")
    if key.origin == "kept":
        lines.append(f"API key: as before, in {key.file}")
    else:
        lines.append(f"API key: {key.token} (kept in {key.file})")
    lines.append(f"Settings for the other lipe commands: . {service.settings_file}")
    if service.has_miniature:
        lines.append(MINIATURE_BANNER)
    for line in (*lines, "Ctrl-C stops it."):
        console.print(line, markup=False, soft_wrap=True)
