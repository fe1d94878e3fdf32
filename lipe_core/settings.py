"""Settings classes: frozen dataclasses whose fields carry their range and their documentation.

    @dataclass(frozen=True)
    class DdimConfig:
        steps: Annotated[int, Interval(ge=1, le=999)] = 50
        \"\"\"Denoising steps. More steps are slower and reconstruct the source better.\"\"\"

        def __post_init__(self) -> None:
            check_settings(self)

`check_settings` refuses values outside the range or the choices, and those that a rule of the class's `rules` refuses
(`contradictions`). `describe_settings` returns the same facts as a JSON Schema, from which the service builds its
request bodies. This module imports no torch.
"""

import ast
import inspect
import math
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from itertools import pairwise
from numbers import Integral, Real
from textwrap import dedent
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeAlias, Union, cast, get_args, get_origin, get_type_hints

from annotated_types import Interval, Len

from lipe_core.contradictions import Rule
from lipe_core.errors import InvalidRequest

Share: TypeAlias = Annotated[float, Interval(ge=0, le=1)]
Steps: TypeAlias = Annotated[int, Interval(ge=1, le=999)]
GuidanceScale: TypeAlias = Annotated[float, Interval(ge=0, le=100)]
LearningRate: TypeAlias = Annotated[float, Interval(gt=0, le=1)]
Level: TypeAlias = Share | Literal["otsu"]
"""A level in [0, 1] between a map's lowest and highest value, or Otsu's choice for each map."""

_SCALARS: dict[Any, tuple[Any, str, str]] = {
    bool: (bool, "boolean", "true or false"),
    int: (Integral, "integer", "an integer"),
    float: (Real, "number", "a number"),
    str: (str, "string", "a text"),
    NoneType: (NoneType, "null", "null"),
}
"""For each scalar type: the class that its values have, its name in JSON Schema, its name in a message."""


def check_settings(settings: Any) -> None:
    """Raise InvalidRequest for the first field whose value does not fit its type, range or choices, or a rule."""
    kind: Any = type(settings)
    hints = _hints(kind)
    for field in fields(settings):
        value, hint = getattr(settings, field.name), hints[field.name]
        if not _fits(value, hint):
            raise InvalidRequest(f"{field.name} must be {_phrase(hint)}, got {value!r}")
    for rule in _rules(kind):
        if refusal := rule.refusal(vars(settings)):
            raise InvalidRequest(refusal)


def describe_settings(kind: type) -> dict[str, Any]:
    """JSON Schema of a settings class: for each field its type, range or choices, default and documentation.

    `rules` are the rules between the fields; it is no keyword of JSON Schema.
    Raises ValueError for a field without an attribute docstring.
    """
    hints, docs = _hints(kind), _attribute_docs(kind)
    properties = {}
    for field in fields(kind):
        if field.name not in docs:
            raise ValueError(f"{kind.__name__}.{field.name} has no docstring: add one below the field")
        default = {} if field.default is MISSING else {"default": field.default}
        properties[field.name] = {**_schema(hints[field.name]), **default, "description": docs[field.name]}
    description = " ".join((inspect.getdoc(kind) or "").split())
    rules = [rule.describe() for rule in _rules(kind)]
    return {"type": "object", "description": description, "properties": properties, "rules": rules}


def _rules(kind: Any) -> tuple[Rule, ...]:
    return getattr(kind, "rules", ())


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind, include_extras=True)


def _fits(value: Any, hint: Any) -> bool:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _fits(value, parts[0]) and all(_is_within(value, bound) for bound in parts[1:])
    if origin in (Union, UnionType):
        return any(_fits(value, part) for part in parts)
    if origin is Literal:
        return value in parts
    if origin is tuple:
        if not isinstance(value, (tuple, list)):
            return False
        expected = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(value) == len(expected) and all(map(_fits, value, expected))
    return isinstance(value, _SCALARS[hint][0]) and not (hint is float and not math.isfinite(value))


def _is_within(value: Any, bound: Interval | Len) -> bool:
    if isinstance(bound, Len):
        return bound.min_length <= len(value) <= (bound.max_length or math.inf)
    return (
        (bound.ge is None or value >= bound.ge)
        and (bound.gt is None or value > bound.gt)
        and (bound.le is None or value <= bound.le)
        and (bound.lt is None or value < bound.lt)
    )


def _phrase(hint: Any) -> str:
    """The hint in a message: "an integer in [1, 999]"."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        items = "characters" if parts[0] is str else "items"
        return " ".join([_phrase(parts[0]), *(_bound_phrase(bound, items) for bound in parts[1:])])
    if origin in (Union, UnionType):
        return " or ".join(map(_phrase, parts))
    if origin is Literal:
        return ("one of " if len(parts) > 1 else "") + ", ".join(map(repr, parts))
    if origin is tuple:
        return f"{'a list' if parts[-1] is Ellipsis else f'{len(parts)} values'}, each {_phrase(parts[0])},"
    return _SCALARS[hint][2]


def _bound_phrase(bound: Interval | Len, items: str) -> str:
    if isinstance(bound, Len):
        return f"with {bound.min_length} to {bound.max_length} {items}"
    low: Any = bound.ge if bound.gt is None else bound.gt
    high: Any = bound.le if bound.lt is None else bound.lt
    if high is None:
        return f"of at least {low:g}" if bound.gt is None else f"above {low:g}"
    return f"in {'[' if bound.gt is None else '('}{low:g}, {high:g}{']' if bound.lt is None else ')'}"


def _schema(hint: Any) -> dict[str, Any]:
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        schema = _schema(parts[0])
        for bound in parts[1:]:
            schema |= _bound_schema(bound, is_array=schema["type"] == "array")
        return schema
    if origin in (Union, UnionType):
        return {"anyOf": list(map(_schema, parts))}
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is tuple:
        if parts[-1] is Ellipsis:
            return {"type": "array", "items": _schema(parts[0])}
        return {
            "type": "array",
            "prefixItems": list(map(_schema, parts)),
            "minItems": len(parts),
            "maxItems": len(parts),
        }
    return {"type": _SCALARS[hint][1]}


def _bound_schema(bound: Interval | Len, *, is_array: bool) -> dict[str, Any]:
    limits: dict[str, Any]
    if isinstance(bound, Len):
        noun = "Items" if is_array else "Length"
        limits = {f"min{noun}": bound.min_length or None, f"max{noun}": bound.max_length}
    else:
        limits = {
            "minimum": bound.ge, "exclusiveMinimum": bound.gt, "maximum": bound.le, "exclusiveMaximum": bound.lt
        }  # fmt: skip
    return {name: limit for name, limit in limits.items() if limit is not None}


def _attribute_docs(kind: type) -> dict[str, str]:
    """The string below each field, as one line. Python does not keep it: it is read from the source."""
    docs: dict[str, str] = {}
    for base in filter(is_dataclass, reversed(kind.__mro__)):
        body = cast(ast.ClassDef, ast.parse(dedent(inspect.getsource(base))).body[0]).body
        for field, below in pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and _is_text(below):
                docs[field.target.id] = " ".join(ast.literal_eval(below.value).split())  # type: ignore[attr-defined]
    return docs


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
