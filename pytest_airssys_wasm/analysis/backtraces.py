"""The source lines of a guest's backtrace, from DWARF or from a source map."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from pytest_airssys_wasm.isolation.source_lines import MOST_BYTES, UnknownLines, read_lines
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.code_modules import CodeFunction, CodeModule, code_modules
from pytest_airssys_wasm.runtime.errors import UnfitHost
from pytest_airssys_wasm.runtime.store.repetition import repetition_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.base.outcome import Frame
    from pytest_airssys_wasm.runtime.errors import WasmError
    from pytest_airssys_wasm.runtime.guest.component import Component

MOST_S = 5.0
"""The time in seconds that reading the debugging information of one module may take."""
READING_S = 2 * MOST_S
"""The time in seconds for all modules together, unless less is given."""
_MAP_BYTES = 16 * 2**20
_SOURCE_MAP = "sourceMappingURL"


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLine:
    """A line of a source file. Its `str()` is `file:line`, printable in one line."""

    file: str
    """The path as the compiler recorded it; relative if the file is in the folder of the compilation."""
    line: int
    """The number of the line, from 1."""
    inlined_at: tuple[SourceLine, ...] = ()
    """The calls through which the line got into the function, if the compiler inlined them, innermost first."""

    def __str__(self) -> str:
        return printable(f"{self.file}:{self.line}")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceLines:
    """The source lines of a backtrace."""

    lines: tuple[SourceLine | None, ...]
    """The line of each frame of the error, innermost first; `None` where it is not known."""
    obstacle: str | None = None
    """The reason why debugging information that the guest has cannot be read; `None` if there is none."""


class SourceLineReader:
    """A reader of source lines that remembers what it has read of each guest.

    Reading is limited to `MOST_S` seconds for each module, and to `time_s` seconds for all of them together.
    """

    def __init__(self, time_s: float = READING_S) -> None:
        self._left_s = time_s
        self._known: WeakKeyDictionary[Component, dict[int, SourceLine | None]] = WeakKeyDictionary()
        self._obstacles: WeakKeyDictionary[Component, str] = WeakKeyDictionary()

    def lines_of(self, error: WasmError) -> SourceLines:
        """Return the source lines of the frames of an error.

        All are `None` if the error is a copy, or if the guest has no debugging information.
        """
        repetition = repetition_of(error.call)
        if repetition is None:
            return SourceLines(lines=(None,) * len(error.frames))
        return self.lines_in(repetition.component, error.frames)

    def lines_in(self, component: Component, frames: Sequence[Frame]) -> SourceLines:
        """Return the source lines of frames of a guest. All are `None` if it has no debugging information."""
        known = self._known.setdefault(component, {})
        unknown = [frame for frame in frames if frame.offset not in known]
        if unknown and component not in self._obstacles:
            try:
                known.update(self._read(component, unknown))
            except UnknownLines as obstacle:
                self._obstacles[component] = str(obstacle)
            except UnfitHost as obstacle:
                self._obstacles[component] = f"no process can be started to read it ({obstacle})"
        return SourceLines(
            lines=tuple(known.get(frame.offset) for frame in frames), obstacle=self._obstacles.get(component)
        )

    def _read(self, component: Component, frames: Sequence[Frame]) -> dict[int, SourceLine | None]:
        found: dict[int, SourceLine | None] = {frame.offset: None for frame in frames}
        for module in code_modules(_binary_of(component)):
            if not any(module.contains(frame.offset) for frame in frames):
                continue
            for sections, start in _debugging_information(module, component):
                offsets = _starts_of_functions(module, frames)
                if not offsets:
                    break
                if self._left_s <= 0:
                    raise UnknownLines("reading debugging information has taken too long in this session")
                began = monotonic()
                try:
                    addresses = {offset - start: function_start - start for offset, function_start in offsets.items()}
                    lines = read_lines(sections, addresses, time_s=min(MOST_S, self._left_s))
                finally:
                    self._left_s -= monotonic() - began
                for address, places in lines.items():
                    first, *others = (SourceLine(file=file, line=line) for file, line in places)
                    found[address + start] = replace(first, inlined_at=tuple(others))
        return found


def source_lines(error: WasmError) -> SourceLines:
    """Return the source lines of the frames of an error, from the DWARF sections of its guest or from the source map
    beside its file, as far as there are any.

    A separate process reads them, for at most five seconds.
    """
    return SourceLineReader().lines_of(error)


def _binary_of(component: Component) -> bytes:
    """Return the binary of a guest; empty if its file cannot be read any more."""
    if component.binary is not None or component.path is None:
        return component.binary or b""
    try:
        return read_regular(component.path, GUEST_BYTES)
    except OSError:
        return b""


def _starts_of_functions(module: CodeModule, frames: Sequence[Frame]) -> dict[int, int]:
    """Return the positions at which the functions of frames begin, by the positions of the frames.

    A file may have been replaced since it was loaded, and frames of functions that wasmtime generates belong to no
    module. Then the function at the position of a frame is another one, or has another name, and is left out.
    """
    try:
        functions = module.functions_at(frame.offset for frame in frames)
    except (Malformed, IndexError):
        return {}
    return {
        frame.offset: functions[frame.offset].start
        for frame in frames
        if frame.offset in functions and _is_in(frame, functions[frame.offset])
    }


def _is_in(frame: Frame, function: CodeFunction) -> bool:
    if frame.symbol is None:
        return frame.function == f"<function {function.index}>"
    name = "" if function.name is None else function.name.decode("utf-8", "replace")
    return name.startswith(frame.symbol.removesuffix("…"))


def _debugging_information(
    module: CodeModule, component: Component
) -> Iterator[tuple[Mapping[str, memoryview | bytes], int]]:
    """Yield DWARF sections or a source map, with the position in the binary from which their addresses count."""
    sections = {name: section for name, section in module.custom.items() if name.startswith(".debug_")}
    if ".debug_line" in sections:
        yield sections, module.code_start
        return
    source_map = _source_map(module, component)
    if source_map is not None:
        yield {"source map": source_map}, module.start


def _source_map(module: CodeModule, component: Component) -> bytes | None:
    """Return the source map that a module names, if it is a file in the folder of the guest.

    Other addresses are not followed, because the guest has chosen them.
    """
    section = module.custom.get(_SOURCE_MAP)
    if section is None or component.path is None:
        return None
    try:
        name = Reader(section).name()
    except (Malformed, IndexError, UnicodeDecodeError):
        return None
    path = PurePosixPath(name)
    if path.name != str(path) or path.name in ("", ".."):
        return None
    try:
        return read_regular(component.path.parent / path.name, min(_MAP_BYTES, MOST_BYTES))
    except OSError:
        return None
