"""The translation of msgspec's errors to messages about a manifest, with file, line, table, key, value and the expected
value.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import NOTHING, InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.model import (
    ComponentTable,
    CpuTable,
    Document,
    FuzzTable,
    ManifestTest,
    MemoryTable,
    ResourcesTable,
    WasiTable,
)

if TYPE_CHECKING:
    from pathlib import Path


_HEADER = re.compile(r"\s*\[\[?\s*([^\[\]]+?)\s*\]")


@dataclass(frozen=True, slots=True)
class Place:
    """The path and the text of a manifest, for the position in messages."""

    path: Path
    text: str

    def name(self, table: str, key: str, entry: int | None = None) -> str:
        """Return the file, the line if it can be found, the table and the key.

        `entry` is the index of an entry among the tables of that name, from 0.
        """
        line = self._line(table, key, entry or 0)
        named = f"[[{table}]] entry {entry + 1}: " if entry is not None else f"[{table}] " if table else ""
        return f"{self.path}{f':{line}' if line else ''}: {named}{key}"

    def _line(self, table: str, key: str, entry: int) -> int | None:
        """Return the line number of the key in the table, as far as it can be determined line by line."""
        current, passed = "", -1
        for number, line in enumerate(self.text.split("\n"), 1):
            header = _HEADER.match(line)
            if header:
                current = header[1]
                passed += current == table
                if current == (f"{table}.{key}" if table else key):
                    return number
            elif current == table and entry in (passed, 0) and _assigns(key, line):
                return number
        return None

    def error(self, table: str, key: str, given: object, wanted: str, entry: int | None = None) -> InvalidConfiguration:
        """Return the error for a value at a position."""
        return InvalidConfiguration(self.name(table, key, entry), given, wanted)


_KNOWN: dict[str, tuple[str, ...]] = {
    "": Document.__struct_fields__,
    "component": ComponentTable.__struct_fields__,
    "resources": ResourcesTable.__struct_fields__,
    "resources.memory": MemoryTable.__struct_fields__,
    "resources.cpu": CpuTable.__struct_fields__,
    "wasi": WasiTable.__struct_fields__,
    "tests": ManifestTest.__struct_fields__,
    "fuzz": FuzzTable.__struct_fields__,
}
_WORDS = {
    "int": "a whole number",
    "str": "a string",
    "float": "a number",
    "object": "a table",
    "array": "an array",
    "bool": "true or false",
}


def translate(place: Place, raw: dict[str, Any], message: str) -> InvalidConfiguration:
    """Return the error that corresponds to msgspec's message, with table, key, value and the expected value."""
    what, _, at = message.partition(" - at `$")
    steps = [step for step in re.split(r"[.\[\]`]+", at) if step]
    table = ".".join(step for step in steps if not step.isdigit() and step != "...")
    entry = next((int(step) for step in steps if step.isdigit()), None) if table.startswith("tests") else None
    quoted = re.findall(r"`([^`]+)`", what)
    if what.startswith("Object contains unknown field") and quoted:
        near = difflib.get_close_matches(quoted[0], _KNOWN.get(table, ()), n=1)
        known = ", ".join(_KNOWN.get(table, ())) + (f"; did you mean {near[0]}?" if near else "")
        return place.error(table, quoted[0], _value_at(raw, [*steps, quoted[0]]), f"a known key ({known})", entry)
    if what.startswith("Object missing required field") and quoted:
        if quoted[0] in ("resources", "memory"):
            table, quoted = "resources.memory", ["max_bytes"]
        return InvalidConfiguration(
            f"{place.path}: [{table or quoted[0]}] {quoted[0]}",
            NOTHING,
            "a value: the key is required" + (", because memory has no default" if quoted[0] == "max_bytes" else ""),
        )
    table, _, key = table.rpartition(".")
    value = _value_at(raw, steps)
    wanted = " or ".join(
        _WORDS.get(word, word) for word in (quoted[0].split(" | ") if quoted else [what]) if word != "null"
    )
    return place.error(table, key, value, wanted, entry)


def _value_at(raw: Any, steps: list[str]) -> Any:
    """Return the value at a path of keys and indices in decoded TOML; `None` if there is none."""
    for step in steps:
        if isinstance(raw, dict):
            raw = raw.get(step)
        elif isinstance(raw, list) and step.isdigit() and int(step) < len(raw):
            raw = raw[int(step)]
    return raw


def _assigns(key: str, line: str) -> bool:
    return re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line) is not None
