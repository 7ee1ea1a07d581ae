"""The places in a manifest for messages: file, line, table and key. All mistakes are reported together."""

from __future__ import annotations

from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.base.printable import is_printable
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.positions import lines_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_airssys_wasm.runtime.manifest.positions import Keys

_MOST_TOLD = 50
"""The most mistakes of a manifest that are looked for and told. A hostile one has hundreds of thousands."""
_PARTS = {"args": "argument", "imports": "import", "steps": "step", "when": "when"}
"""The words for an element of the arrays inside an entry."""


class InvalidManifest(InvalidConfiguration):
    """A manifest is wrong in one place or in several. The fields describe the first mistake."""

    others: tuple[InvalidConfiguration, ...] = ()
    """The other mistakes, in the order of the file."""

    def __str__(self) -> str:
        return "\n".join([super().__str__(), *map(str, self.others)])


class Place:
    """The path and the text of a manifest, for the positions in messages."""

    def __init__(self, path: Path, text: str, raw: Mapping[str, Any]) -> None:
        self.path = path
        self._text = text
        self._raw = raw

    def name(self, *keys: str | int) -> str:
        """Return the file, the line, the table and the key: `Component.toml:5: [resources.memory] max_bytes`.

        A key that is missing has the line of its table. Keys and indices in arrays, from 0, lead to the place.
        """
        line = self.line(keys)
        return f"{self.path}{f':{line}' if line else ''}: {self._words(keys)}"

    def error(self, keys: Keys, given: object, wanted: str) -> InvalidConfiguration:
        """Return the error for a value at a place."""
        return InvalidConfiguration(self.name(*keys), given, wanted)

    def line(self, keys: Keys) -> int | None:
        """Return the line of a place, or of the closest table around it; `None` if not even that is in the file."""
        return next((self._lines[keys[:n]] for n in range(len(keys), 0, -1) if keys[:n] in self._lines), None)

    @cached_property
    def _lines(self) -> dict[Keys, int]:
        return lines_of(self._text)

    def _words(self, keys: Keys) -> str:
        match keys:
            case (str(array), int(number), *inner):
                parts = [f"[[{array}]] {self._label(array, number)}"]
                while len(inner) > 1 and isinstance(inner[1], int):
                    parts.append(f"{_PARTS.get(str(inner[0]), inner[0])} {inner[1] + 1}")
                    inner = inner[2:]
                rest = ".".join(map(str, inner))
                return ", ".join(parts) + (f": {rest}" if rest else "")
            case (*tables, key) if tables:
                return f"[{'.'.join(map(str, tables))}] {key}"
        return ".".join(map(str, keys))

    def _label(self, array: str, number: int) -> str:
        """Return the name of an entry, or its number where it has no name that can be printed."""
        entries = self._raw.get(array)
        entry = entries[number] if isinstance(entries, list) and number < len(entries) else None
        name = entry.get("name") if isinstance(entry, dict) else None
        is_fit = isinstance(name, str) and name.strip() and is_printable(name)
        return repr(name) if is_fit else f"entry {number + 1}"


class Problems:
    """The mistakes found in a manifest so far."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self._found: list[tuple[int, InvalidConfiguration]] = []

    def __len__(self) -> int:
        return len(self._found)

    @property
    def are_enough(self) -> bool:
        """Whether so many mistakes are known that no more are to be looked for."""
        return len(self._found) >= _MOST_TOLD

    def add(self, keys: Keys, given: object, wanted: str) -> None:
        """Add a wrong value at a place."""
        if self.are_enough:
            return
        self._add(self.place.line(keys), self.place.error(keys, given, wanted))

    @contextmanager
    def collected(self, *keys: str | int) -> Iterator[None]:
        """Add the `InvalidConfiguration` that is raised inside of the block, which is about this place."""
        try:
            yield
        except InvalidConfiguration as error:
            self._add(self.place.line(keys), error)

    def _add(self, line: int | None, error: InvalidConfiguration) -> None:
        if self.are_enough:
            return
        self._found.append((0 if line is None else line, error))

    def raise_all(self) -> None:
        """Raise an `InvalidManifest` with all mistakes in the order of the file, if there are any."""
        if not self._found:
            return
        first, *others = (error for _, error in sorted(self._found, key=lambda found: found[0]))
        whole = InvalidManifest(first.where, first.given, first.wanted)
        whole.others = tuple(others)
        raise whole from None
