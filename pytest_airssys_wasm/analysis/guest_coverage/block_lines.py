"""The source lines at which the blocks of a guest begin, from DWARF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.isolation.source_lines import UnknownLines, read_lines
from pytest_airssys_wasm.runtime.base.originals import monotonic
from pytest_airssys_wasm.runtime.binary.code_modules import code_modules
from pytest_airssys_wasm.runtime.errors import UnfitHost

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_airssys_wasm.runtime.binary.coverage import Coverage

MOST_S = 20.0
"""The time in seconds that reading the debugging information of one guest may take."""
_AT_ONCE = 4_000
"""The number of blocks for which a process is asked at once."""


class BlockLines(Struct, frozen=True, kw_only=True):
    """The source lines of the blocks of a guest."""

    lines: Mapping[int, tuple[str, int]]
    """The file and the line, by the offset of the block; empty if the guest has no DWARF."""
    obstacle: str | None = None
    """The reason why lines are missing although the guest has DWARF; `None` if there is none."""


def block_lines(coverage: Coverage, binary: bytes, *, time_s: float = MOST_S) -> BlockLines:
    """Return the source lines at which blocks begin, read by a separate process within `time_s` seconds."""
    ends_at = monotonic() + time_s
    function_of = {block: function.offset for function in coverage.functions for block in function.blocks}
    blocks = sorted(function_of)
    found: dict[int, tuple[str, int]] = {}
    try:
        for module in code_modules(binary):
            sections = {name: section for name, section in module.custom.items() if name.startswith(".debug_")}
            if ".debug_line" not in sections:
                continue
            inner = [block for block in blocks if module.contains(block)]
            for first in range(0, len(inner), _AT_ONCE):
                left_s = ends_at - monotonic()
                if left_s <= 0:
                    raise UnknownLines(f"reading the debugging information takes longer than {time_s:g} s")
                start = module.code_start
                addresses = {block - start: function_of[block] - start for block in inner[first : first + _AT_ONCE]}
                some = read_lines(sections, addresses, time_s=left_s)
                found.update({address + start: places[0] for address, places in some.items() if places})
    except UnknownLines as error:
        return BlockLines(lines=found, obstacle=str(error))
    except UnfitHost as error:
        return BlockLines(
            lines=found, obstacle=f"no process can be started to read the debugging information ({error})"
        )
    return BlockLines(lines=found)
