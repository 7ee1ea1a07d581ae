"""The source lines of positions in the code of a guest, which a separate process reads from debugging information."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from pytest_airssys_wasm.isolation.spawn import ChildLimits, spawn
from pytest_airssys_wasm.protocol.transcript import Transcript
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.base.regular_files import write_new
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder, explained
from pytest_airssys_wasm.runtime.errors import RuntimeDied

if TYPE_CHECKING:
    from collections.abc import Mapping

_MODULE = "pytest_airssys_wasm.isolation.source_line_worker"
_LINE_BYTES = 2**20
_START_S = 60.0
"""The maximum time in seconds until the process has started. It does not count as reading."""
_MEMORY_BYTES = 512 * 2**20
MOST_BYTES = 128 * 2**20
"""The maximum size of the debugging information of a module."""


class UnknownLines(Exception):
    """The error for debugging information that cannot be read; `str()` is the reason, in a few words."""


class _Answer(msgspec.Struct, frozen=True):
    id: int
    places: list[tuple[int, list[tuple[str, int]]]]


_ANSWER = msgspec.json.Decoder(_Answer)


def read_lines(
    sections: Mapping[str, memoryview | bytes], addresses: Mapping[int, int], *, time_s: float
) -> dict[int, list[tuple[str, int]]]:
    """Return the file and the line of each address that has one, followed by those of the calls that the compiler has
    inlined there, innermost first, as far as these are found in the same time.

    `addresses` has the address at which the function begins, by each address in it. `sections` are those of DWARF by
    their names, with addresses relative to the content of the code section, or one section `source map`, with addresses
    relative to the beginning of the module.

    Raises `UnknownLines` if the sections are too large, malformed, or take more than `time_s` seconds to read, and
    `UnfitHost` if no process can be started.
    """
    size = sum(len(section) for section in sections.values())
    if size > MOST_BYTES:
        raise UnknownLines(f"there are {size:,} bytes of debugging information, and at most {MOST_BYTES:,} are read")
    layout: dict[str, tuple[int, int]] = {}
    at = 0
    for name, section in sections.items():
        layout[name] = at, len(section)
        at += len(section)
    with ScratchFolder("lines") as folder:
        source = folder / "sections"
        with explained():
            write_new(source, b"".join(sections.values()))
        order = {"source": str(source), "sections": layout, "addresses": [*addresses.items()]}
        return _ask(order, time_s)


def _ask(order: Mapping[str, object], time_s: float) -> dict[int, list[tuple[str, int]]]:
    # The clock ends the process before; the limit on its processor time is for the case that this process is gone.
    limits = ChildLimits(data_bytes=_MEMORY_BYTES, cpu_s=math.ceil(time_s) + 5)
    child = spawn(_MODULE, limits, line_bytes=_LINE_BYTES, transcript=Transcript())
    due = math.inf
    try:
        child.ask(0, b'{"id": 0}', _START_S)
        due = monotonic() + time_s
        found = dict(_ANSWER.decode(child.ask(1, _line(1, order), time_s)).places)
        with suppress(RuntimeDied, msgspec.DecodeError):  # the lines alone are something, too
            left_s = max(0.0, due - monotonic()) / 2
            answer = child.ask(2, _line(2, {"time_s": left_s}), 2 * left_s)
            for address, callers in _ANSWER.decode(answer).places:
                found.setdefault(address, []).extend(callers)
        return found
    except RuntimeDied as died:
        if monotonic() >= due:
            raise UnknownLines(f"reading the debugging information takes longer than {time_s:g} s") from None
        if due == math.inf:
            raise UnknownLines(f"the process that reads the debugging information cannot start: {died}") from None
        raise UnknownLines("the debugging information is malformed") from None
    except msgspec.DecodeError:
        raise UnknownLines("the process that reads the debugging information answers something else") from None
    finally:
        child.kill()


def _line(number: int, request: Mapping[str, object]) -> bytes:
    return json.dumps({"id": number, **request}).encode()
