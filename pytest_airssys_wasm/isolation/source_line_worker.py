"""The program of a process that reads debugging information, and reports the source lines of some positions in code.

Debugging information is not validated by anybody, and a few bytes of it can keep a reader busy for hours or fill the
memory. Therefore this process may fail, and has limits on its processor time and memory.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from elftools.dwarf.dwarfinfo import DebugSectionDescriptor, DwarfConfig, DWARFInfo
from elftools.dwarf.ranges import BaseAddressEntry

from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes
from pytest_airssys_wasm.runtime.base.originals import monotonic

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    Place = tuple[str, int]
    """The path of a source file as the compiler was given it, and a line from 1."""

_UNUSED = frozenset([0, 0xFFFFFFFF, 0xFFFFFFFE, 2**64 - 1, 2**64 - 2])
"""The addresses that linkers give to functions that they removed. At 0 there is the number of functions, not code."""
_NEEDED = ("info", "abbrev", "line")
_DIGITS = {
    character: value
    for value, character in enumerate("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
}
_MOST_INLINED = 16
"""The maximum number of inlined calls that are reported of an address."""
_MOST_CHARACTERS = 400
"""The maximum length of a path. Of a longer one, the end is reported."""


def main() -> None:
    """Echo the greeting, which shows that everything is loaded, and then process two requests: for the lines, and for
    the calls that were inlined there.
    """
    requests, answers = take_pipes()

    def answer(line: bytes) -> None:
        answers.write(line + b"\n")
        answers.flush()

    answer(requests.readline().rstrip())
    order = json.loads(requests.readline())
    content = Path(order["source"]).read_bytes()
    sections = {name: content[at : at + size] for name, (at, size) in order["sections"].items()}
    addresses = dict(order["addresses"])
    dwarf = Dwarf(sections, addresses)
    found = from_source_map(sections, [*addresses]) if "source map" in sections else dwarf.lines()
    answer(_encoded(order["id"], ((at, [place]) for at, place in found.items())))
    order = json.loads(requests.readline())
    end_process_with(requests)
    answer(_encoded(order["id"], dwarf.inlined(order["time_s"]).items()))


def _encoded(number: int, places: Iterable[tuple[int, Sequence[Place]]]) -> bytes:
    cut = [(at, [(path[-_MOST_CHARACTERS:], line) for path, line in some[:_MOST_INLINED]]) for at, some in places]
    return json.dumps({"id": number, "places": cut}).encode()


class Dwarf:
    """The sections `.debug_*` of a module, and addresses with those of their functions, relative to the content of the
    code section.

    Methods raise the errors of pyelftools for malformed sections.
    """

    def __init__(self, sections: Mapping[str, bytes], addresses: Mapping[int, int]) -> None:
        self._addresses = sorted(addresses)
        self._function_of = addresses
        self._units: list[Any] = []
        self._has_lines = all(f".debug_{name}" in sections for name in _NEEDED)
        if self._has_lines:
            self._dwarf = _dwarf(sections)

    def lines(self) -> dict[int, Place]:
        """Return the source line of each address that has one."""
        found: dict[int, Place] = {}
        for unit in self._dwarf.iter_CUs() if self._has_lines else ():
            top = unit.get_top_DIE()
            if not self._contained(unit, top, self._addresses):
                continue
            program = self._dwarf.line_program_for_CU(unit)
            if program is None:
                continue
            is_needed = False
            for address, file, line in self._rows(program):
                path = _path(program.header, file, _folder(top))
                if path is not None:
                    is_needed |= address not in found
                    found.setdefault(address, (path, line))
            if is_needed:
                self._units.append(unit)
            if len(found) == len(self._addresses):
                break
        return found

    def _rows(self, program: Any) -> Iterator[tuple[int, int, int]]:
        """Yield each address that a line program has a line for, with the number of the file and the line.

        Code that the compiler has added has no line of its own: it gets the one before it in the same function.
        """
        before, last, is_used = None, None, False
        for entry in program.get_entries():
            state = entry.state
            if state is None:
                continue
            if before is None:
                is_used = state.address not in _UNUSED
            elif is_used:
                last = before if before.line else last
                first, end = (bisect_left(self._addresses, one.address) for one in (before, state))
                for address in self._addresses[first:end]:
                    if last is not None and last.address >= self._function_of[address]:
                        yield address, last.file, last.line
            before, last = (None, None) if state.end_sequence else (state, last)

    def inlined(self, time_s: float) -> dict[int, list[Place]]:
        """Return the calls that were inlined at each address, innermost first, as far as they are found in this time.

        Only the units in which `lines` has found an address are read, small ones first.
        """
        due = monotonic() + time_s
        found: dict[int, list[Place]] = {}
        for unit in sorted(self._units, key=lambda unit: int(unit["unit_length"])):
            program, folder = self._dwarf.line_program_for_CU(unit), _folder(unit.get_top_DIE())
            for entry in unit.iter_DIEs():
                if monotonic() > due:
                    return found
                if entry.tag != "DW_TAG_inlined_subroutine":
                    continue
                called = [entry.attributes.get(f"DW_AT_call_{part}") for part in ("file", "line")]
                if program is None or None in called:
                    continue
                file, line = (attribute.value for attribute in called if attribute is not None)
                path = _path(program.header, file, folder)
                for address in self._contained(unit, entry, ()) if path is not None else ():
                    found.setdefault(address, []).insert(0, (path or "", line))
        return found

    def _contained(self, unit: Any, entry: Any, otherwise: Sequence[int]) -> Sequence[int]:
        """Return the addresses that are in the ranges of an entry; `otherwise` if it has none."""
        low, high = entry.attributes.get("DW_AT_low_pc"), entry.attributes.get("DW_AT_high_pc")
        if low is not None and high is not None:
            return self._between(low.value, high.value if high.form == "DW_FORM_addr" else low.value + high.value)
        ranges = entry.attributes.get("DW_AT_ranges")
        lists = None if ranges is None else self._dwarf.range_lists()
        if ranges is None or lists is None:
            return otherwise
        first = unit.get_top_DIE().attributes.get("DW_AT_low_pc")
        base = 0 if first is None else first.value
        found: list[int] = []
        for one in lists.get_range_list_at_offset(ranges.value, unit):
            if isinstance(one, BaseAddressEntry):
                base = one.base_address
            else:
                added = 0 if getattr(one, "is_absolute", False) else base
                found += self._between(one.begin_offset + added, one.end_offset + added)
        return found

    def _between(self, start: int, end: int) -> Sequence[int]:
        if start in _UNUSED:
            return ()
        return self._addresses[bisect_left(self._addresses, start) : bisect_left(self._addresses, end)]


def _dwarf(sections: Mapping[str, bytes]) -> DWARFInfo:
    # How many sections there are differs from version to version.
    code = DWARFInfo.__init__.__code__
    names = [name for name in code.co_varnames[: code.co_argcount] if name.endswith("_sec")]
    given: dict[str, Any] = dict.fromkeys(names)
    for name in names:
        section = sections.get("." + name.removesuffix("_sec"))
        if section is not None:
            given[name] = DebugSectionDescriptor(BytesIO(section), name, 0, len(section), 0)
    return DWARFInfo(DwarfConfig(little_endian=True, machine_arch="wasm", default_address_size=4), **given)


def _path(header: Any, number: int, folder: str) -> str | None:
    """Return the path of a file, relative to the folder of the compilation where it is in it."""
    is_new = header.version >= 5
    files, folders = header.file_entry, header.include_directory
    index = number if is_new else number - 1
    if not 0 <= index < len(files):
        return None
    file = files[index]
    # Until DWARF 5, folder 0 is that of the compilation, and is not in the list.
    at = file.dir_index if is_new else file.dir_index - 1
    path = PurePosixPath(_text(file.name))
    if 0 <= at < len(folders):
        path = PurePosixPath(_text(folders[at])) / path
    root = PurePosixPath(folder)
    return str(path.relative_to(root) if folder and path.is_relative_to(root) else path)


def _folder(top: Any) -> str:
    attribute = top.attributes.get("DW_AT_comp_dir")
    return "" if attribute is None else _text(attribute.value)


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def from_source_map(sections: Mapping[str, bytes], addresses: Sequence[int]) -> dict[int, Place]:
    """Return the source lines of addresses, which are relative to the beginning of the module, from a source map
    (ECMA-426). For WebAssembly all code is in one line, and the column is the address.

    Raises `ValueError`, `KeyError`, `IndexError`, `TypeError` or `RecursionError` for a malformed map.
    """
    source_map = json.loads(sections["source map"])
    sources = source_map["sources"]
    column = source = line = 0
    starts: list[int] = []
    places: list[tuple[int, int] | None] = []
    for segment in source_map["mappings"].partition(";")[0].split(","):
        if not segment:
            continue
        fields = [*_numbers(segment)]
        column += fields[0]
        starts.append(column)
        if len(fields) < 4:
            places.append(None)
            continue
        source += fields[1]
        line += fields[2]
        places.append((source, line))
    found: dict[int, Place] = {}
    for address in addresses:
        at = bisect_right(starts, address) - 1
        place = places[at] if at >= 0 else None
        if place is not None and 0 <= place[0] < len(sources) and place[1] >= 0:
            found[address] = str(sources[place[0]]), place[1] + 1
    return found


def _numbers(segment: str) -> Iterator[int]:
    """Yield the numbers of a segment, in the base 64 VLQ encoding of source maps."""
    value = shift = 0
    for character in segment:
        digit = _DIGITS[character]
        value |= (digit & 31) << shift
        shift += 5
        if not digit & 32:
            yield -(value >> 1) if value & 1 else value >> 1
            value = shift = 0


if __name__ == "__main__":
    main()
