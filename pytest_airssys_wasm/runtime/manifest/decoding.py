"""The decoding of the tables of a manifest. Every key is decoded by itself, so that each mistake is found."""

from __future__ import annotations

import difflib
import re
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_origin

import msgspec

from pytest_airssys_wasm.runtime.base.originals import allocate_lock
from pytest_airssys_wasm.runtime.errors import NOTHING, Described
from pytest_airssys_wasm.runtime.manifest.model import ComponentTable, Document, ResourcesTable

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.manifest.messages import Problems
    from pytest_airssys_wasm.runtime.manifest.positions import Keys

S = TypeVar("S", bound=msgspec.Struct)

_WORDS = {
    "int": "a whole number",
    "str": "a string",
    "float": "a number",
    "object": "a table",
    "array": "an array",
    "bool": "true or false",
}
_UNITS = {
    "max_bytes": "a size in bytes such as 1048576, or '1 MiB'",
    "max_growth": "a size in bytes such as 65536, or '64 KiB'",
    "timeout_ms": "a number of milliseconds such as 100, or a duration such as '2 s'",
}
"""The values of keys that may be written with units."""
_IN_PARTS = (Document, ComponentTable, ResourcesTable)
"""The tables of which the parts are checked although others are wrong, which are `None` then."""


def decode_document(raw: dict[str, Any], problems: Problems) -> Document:
    """Return the decoded content of a manifest, in which tables that are missing or wrong are `None`."""
    with _INSPECTING:
        _inspect()
    document = decode_table(raw, Document, (), problems)
    assert document is not None
    return document


_INSPECTING = allocate_lock()


@cache
def _inspect() -> None:
    """Have msgspec inspect all tables, which it does when they are first needed.

    It crashes when two threads need it at once.
    """
    msgspec.json.Decoder(Document)


def decode_table(raw: Any, model: type[S], keys: Keys, problems: Problems) -> S | None:
    """Return the table at `keys` as a `model`; `None` if anything in it is wrong, which is added to the problems."""
    before = len(problems)
    if not isinstance(raw, dict):
        problems.add(keys, raw, "a table")
        return None
    fields = _fields(model)
    meant: set[str] = set()
    for key in raw:
        if key in fields or problems.are_enough:
            continue
        near = difflib.get_close_matches(key, fields, n=1)
        meant.update(near)
        known = [] if near == [*fields] else [", ".join(fields)]
        known += [f"did you mean {one}?" for one in near]
        given = Described("a table") if isinstance(raw[key], dict) else raw[key]
        problems.add((*keys, key), given, f"a known key ({'; '.join(known)})")
    values = {}
    for name, field in fields.items():
        if name in raw:
            values[name] = _decode(raw[name], field.type, (*keys, name), problems)
        elif field.required and name not in meant:
            _add_missing((*keys, name), problems)
    if model in _IN_PARTS:
        return model(**{name: None for name, field in fields.items() if field.required} | values)
    return model(**values) if len(problems) == before else None


@cache
def _fields(model: type[msgspec.Struct]) -> dict[str, msgspec.structs.FieldInfo]:
    """Return the keys of a table with their types. msgspec takes a fifth of a millisecond to find them."""
    return {field.name: field for field in msgspec.structs.fields(model)}


def _add_missing(keys: Keys, problems: Problems) -> None:
    if keys in (("resources",), ("resources", "memory")):
        keys = ("resources", "memory", "max_bytes")
    why = ": memory has no default" if keys[-1] == "max_bytes" else ""
    problems.add((*keys, keys[0]) if len(keys) == 1 else keys, NOTHING, f"a value (the key is required{why})")


def _decode(raw: Any, type_: Any, keys: Keys, problems: Problems) -> Any:
    for alternative in (type_, *get_args(type_)):
        if isinstance(alternative, type) and issubclass(alternative, msgspec.Struct):
            if get_origin(type_) is not list:
                return decode_table(raw, alternative, keys, problems)
            if isinstance(raw, list):
                return [
                    None if problems.are_enough else decode_table(one, alternative, (*keys, n), problems)
                    for n, one in enumerate(raw)
                ]
            problems.add(keys, raw, "an array of tables")
            return None
    try:
        return msgspec.convert(raw, type_)
    except msgspec.ValidationError as error:
        _add(error, raw, keys, problems)
        return None


def _add(error: msgspec.ValidationError, raw: Any, keys: Keys, problems: Problems) -> None:
    """Add the mistake that msgspec tells: `Expected `str`, got `int` - at `$[1]``."""
    what, _, at = str(error).partition(" - at `$")
    for step in re.findall(r"\[(\d+)\]", at):
        keys, raw = (*keys, int(step)), raw[int(step)]
    quoted = re.findall(r"`([^`]+)`", what)
    names = (name for name in quoted[0].split(" | ") if name != "null") if quoted else [what]
    problems.add(keys, raw, _UNITS.get(str(keys[-1])) or " or ".join(_WORDS.get(name, name) for name in names))
