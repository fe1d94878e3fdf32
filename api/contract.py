"""The API's contract, docs/openapi.json. `python -m api.contract` prints it; `make openapi` writes the file."""

import json

from api.app import make_app
from ledger.settings import Settings


def render() -> str:
    """The OpenAPI document as JSON. It does not depend on the settings."""
    document = make_app(Settings.model_construct()).openapi()
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(render(), end="")
