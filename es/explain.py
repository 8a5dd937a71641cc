"""Why data did not become the struct it should have, as a person wants to read it."""

import difflib
import re
from typing import Any, Union, get_args, get_origin, get_type_hints

from msgspec import Struct


def explain(root: type[Struct], raw: dict[str, Any], message: str) -> str:
    """Rephrase msgspec's message as ``field = value: what is allowed``.

    Args:
        root: the struct that ``raw`` should have become.
        raw: plain data.
        message: why it did not.
    """
    reason, _, where = message.partition(" - at `$")
    keys = [
        int(k[1:-1]) if k[0] == "[" else k[1:] for k in re.findall(r"\.[^.\[]+|\[\d+\]", where.rstrip("`"))
    ]
    field = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in keys).lstrip(".")
    value: Any = raw
    for key in keys:
        value = value[key] if isinstance(value, list) or key in value else None
    unknown = re.fullmatch(r"Object contains unknown field `(.+)`", reason)
    if unknown:
        allowed = _fields(root, raw, keys)
        close = difflib.get_close_matches(unknown[1], allowed, 1)
        hint = f"did you mean `{close[0]}`? " if close else ""
        full = f"{field}.{unknown[1]}".lstrip(".")
        return f"{full} = {value[unknown[1]]!r}: unknown field; {hint}allowed: {', '.join(allowed)}"
    if reason.startswith("Invalid"):
        choices = _choices(root, raw, keys)
        return f"{field} = {value!r}: expected one of {', '.join(choices)}"
    missing = re.fullmatch(r"Object missing required field `(.+)`", reason)
    if missing:
        full = f"{field}.{missing[1]}".lstrip(".")
        kinds = _choices(root, raw, [*keys, "kind"]) if missing[1] == "kind" else []
        return f"{full} is missing" + (f"; expected one of {', '.join(kinds)}" if kinds else "")
    if isinstance(value, dict):
        return f"{field}: {reason}".lstrip(": ")
    return f"{field} = {value!r}: {reason[0].lower()}{reason[1:]}"


def _struct(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[Any]:
    """The struct classes that the table at ``keys`` may be, narrowed by each ``kind`` on the way."""
    types: list[Any] = [root]
    table: Any = raw
    for key in keys:
        if isinstance(key, str):
            types = [
                option
                for owner in types
                for option in _options(get_type_hints(owner, include_extras=False).get(key))
                if isinstance(option, type) and issubclass(option, Struct)
            ]
        table = table[key]
        kind = table.get("kind") if isinstance(table, dict) else None
        types = [t for t in types if kind is None or t.__struct_config__.tag == kind] or types
    return types


def _options(annotation: Any) -> tuple[Any, ...]:
    """The types an annotation allows; for a tuple, those of its items."""
    if get_origin(annotation) is tuple:
        return _options(get_args(annotation)[0])
    union = get_origin(annotation) is Union or type(annotation).__name__ == "UnionType"
    return get_args(annotation) if union else (annotation,)


def _fields(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[str]:
    owner = _struct(root, raw, keys)[0]
    tag = ["kind"] if owner.__struct_config__.tag_field else []
    return tag + list(owner.__struct_fields__)


def _choices(root: type[Struct], raw: dict[str, Any], keys: list[str | int]) -> list[str]:
    if keys[-1] == "kind":
        return [repr(option.__struct_config__.tag) for option in _struct(root, raw, keys[:-1])]
    owner = _struct(root, raw, keys[:-1])[0]
    return [repr(choice) for choice in get_args(get_type_hints(owner)[str(keys[-1])])]
