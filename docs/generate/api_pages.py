"""The pages of the API: one table of all requests, and a page for each group of them, from docs/openapi.json."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from docs.generate.markdown import page, table

CONTRACT = Path(__file__).parents[1] / "openapi.json"
INTRODUCTION = """
The API is REST with JSON bodies. The service's own page `/docs` has the same reference, with a form for each request;
it needs no internet access. `docs/openapi.json` is the contract, from which generators make clients.

Each request has the header `Authorization: Bearer lipe_...`, except those of the group *health*. An error is a
[problem document](problems.md). Requests that create something take an `Idempotency-Key`.
"""
GROUPS = """
The pages of the groups, with all fields, are part of the documentation site (`make docs`) and of `/docs`.
"""
ANSWERS = "Answers: {}."


def render() -> str:
    """The text of docs/api.md."""
    contract = json.loads(CONTRACT.read_text())
    parts = [INTRODUCTION, GROUPS]
    for tag in contract["tags"]:
        rows = [
            (f"`{method} {path}`", _first_line(operation["description"]))
            for method, path, operation in _operations(contract, tag["name"])
        ]
        parts += [f"## {tag['name'].capitalize()}", tag["description"], table(("request", "effect"), rows)]
    return page("API", *parts)


def render_groups() -> dict[str, str]:
    """The text of the page of each group, by the name of its file."""
    contract = json.loads(CONTRACT.read_text())
    return {
        f"api-{tag['name']}.md": page(
            tag["name"].capitalize(),
            tag["description"],
            *(
                part
                for method, path, operation in _operations(contract, tag["name"])
                for part in _section(contract, method, path, operation)
            ),
        )
        for tag in contract["tags"]
    }


def _operations(contract: Mapping[str, Any], tag: str) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, methods in contract["paths"].items():
        for method, operation in methods.items():
            if tag in operation["tags"]:
                yield method.upper(), path, operation


def _section(contract: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"## {operation['summary']}"
    yield f"```http\n{method} {path}\n```"
    yield operation["description"]
    if parameters := operation.get("parameters"):
        rows = [(f"`{one['name']}`", one["in"], one.get("description", "")) for one in parameters]
        yield table(("parameter", "in", "meaning"), rows)
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        yield from _fields(contract, f"Body, `{media}`:", content.get("schema", {}))
        yield from _example(content)
    statuses = sorted(operation["responses"])
    yield ANSWERS.format(
        ", ".join(f"{status} ({operation['responses'][status]['description']})" for status in statuses)
    )
    for status in statuses:
        for media, content in operation["responses"][status].get("content", {}).items():
            if status.startswith("2") and media == "application/json":
                yield from _fields(contract, f"The answer {status}:", content.get("schema", {}))
                yield from _example(content)


def _answer(status: str, answer: Mapping[str, Any]) -> str:
    """A status with its problem codes, which are the description of a refusal."""
    return status if status.startswith("2") else f"{status} ({answer['description']})"


def _fields(contract: Mapping[str, Any], title: str, schema: Mapping[str, Any]) -> Iterator[str]:
    """The title and the table of the fields of an object; nothing for another schema."""
    body = _resolve(contract, schema)
    if fields := body.get("properties"):
        required = body.get("required", ())
        rows = [
            (f"`{name}`", _kind(contract, field), "yes" if name in required else "", _meaning(contract, field))
            for name, field in fields.items()
        ]
        yield title
        yield table(("field", "type", "required", "meaning"), rows)


def _example(content: Mapping[str, Any]) -> Iterator[str]:
    if "example" in content:
        yield f'??? example "Example"\n\n{_indented(json.dumps(content["example"], indent=2, ensure_ascii=False))}'


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" for line in ["```json", *text.splitlines(), "```"])


def _resolve(contract: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    if reference := schema.get("$ref"):
        resolved: Mapping[str, Any] = contract["components"]["schemas"][reference.rpartition("/")[2]]
        return resolved
    return schema


def _kind(contract: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """The type of a field in words: "string or null", "list of integers"."""
    schema = _resolve(contract, schema)
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        kinds = [_kind(contract, option) for option in options]
        return " or ".join(dict.fromkeys(kinds))
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"list of {_kind(contract, schema.get('items', {}))}"
    return str(schema.get("format") or schema.get("type") or "any")


def _meaning(contract: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    return str(schema.get("description") or _resolve(contract, schema).get("description", ""))


def _first_line(text: str) -> str:
    return text.strip().partition("\n\n")[0]
