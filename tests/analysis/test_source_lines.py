"""Frames of a trap have the lines of the source, where the guest has debugging information; nothing in it is an error."""

from __future__ import annotations

import json

import pytest

from pytest_airssys_wasm import ComponentTrapped, HostFunctions, ResourceLimits, WasmEngine
from pytest_airssys_wasm.analysis import backtraces
from pytest_airssys_wasm.analysis.backtraces import SourceLineReader, source_lines
from pytest_airssys_wasm.isolation import source_lines as reading
from pytest_airssys_wasm.isolation.source_lines import UnknownLines, read_lines
from pytest_airssys_wasm.runtime.errors import UnfitHost
from support import debug_info

LIMITS = ResourceLimits(fuel=1_000, memory="1 MiB", timeout_ms=20_000)


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


def trap_of(engine, source, host=None):
    component = engine.load(source)
    with pytest.raises(ComponentTrapped) as trapped:
        engine.execute(component, "run", limits=LIMITS, host=host)
    return trapped.value


def texts(found):
    return [None if line is None else str(line) for line in found.lines]


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("make", [debug_info.module, debug_info.component])
def test_each_frame_of_a_trap_has_its_line_in_modules_and_in_components(engine, make, version):
    error = trap_of(engine, make(debug_info.dwarf(version=version)))
    found = source_lines(error)
    assert (texts(found), found.obstacle) == (["src/t.c:11", "src/t.c:21"], None)


def test_the_calls_that_were_inlined_at_a_line_are_told(engine):
    error = trap_of(engine, debug_info.module(debug_info.dwarf(inlined=7)))
    innermost, outermost = source_lines(error).lines
    assert innermost.inlined_at == ()
    assert [*map(str, outermost.inlined_at)] == ["src/t.c:30", "src/t.c:31"]


def test_functions_that_the_linker_removed_do_not_lend_their_lines(engine):
    removed = debug_info.rows([(0, 90), (3, 91), (7, 92)], 9)
    kept = debug_info.rows(debug_info.ROWS, debug_info.END)
    error = trap_of(engine, debug_info.module(debug_info.dwarf(removed + kept)))
    assert texts(source_lines(error)) == ["src/t.c:11", "src/t.c:21"]


@pytest.mark.parametrize(("rows", "lines"), [([(2, 10), (3, 0)], "10"), ([(1, 9), (2, 0)], None)])
def test_code_that_the_compiler_added_has_the_line_before_it_in_the_same_function(engine, rows, lines):
    error = trap_of(engine, debug_info.module(debug_info.dwarf(debug_info.rows([*rows, (6, 0), (7, 21)], 9))))
    assert texts(source_lines(error)) == [lines and f"src/t.c:{lines}", "src/t.c:21"]


@pytest.mark.slow
def test_functions_that_are_imported_are_counted_and_names_may_be_missing(engine):
    host = HostFunctions()
    host.register("env#f", lambda: None)
    for code in (debug_info.WAT_CODE, '(func unreachable) (func (export "run") call 1)'):
        guest = debug_info.module(debug_info.dwarf(), code=f'(import "env" "f" (func $f)) {code}')
        assert texts(source_lines(trap_of(engine, guest, host))) == ["src/t.c:11", "src/t.c:21"]


def test_without_debugging_information_no_process_is_started(engine, monkeypatch):
    monkeypatch.setattr(backtraces, "read_lines", None)
    assert texts(source_lines(trap_of(engine, debug_info.module()))) == [None, None]


def test_what_was_read_of_a_guest_is_not_read_again(engine, monkeypatch):
    reader, error = SourceLineReader(), trap_of(engine, debug_info.module(debug_info.dwarf()))
    first = reader.lines_of(error)
    monkeypatch.setattr(backtraces, "read_lines", None)
    assert reader.lines_of(error) == first
    assert None not in first.lines


def test_a_file_that_was_replaced_lends_no_lines_to_the_guest_that_was_loaded(engine, tmp_path):
    path = tmp_path / "guest.wasm"
    path.write_bytes(debug_info.module())
    error = trap_of(engine, path)
    other = debug_info.WAT_CODE.replace("$deep", "$steep")
    path.write_bytes(debug_info.module(debug_info.dwarf(), code=other))
    assert texts(source_lines(error)) == [None, "src/t.c:21"]
    path.unlink()
    assert texts(source_lines(error)) == [None, None]


def test_names_in_the_information_cannot_break_a_line(engine):
    error = trap_of(engine, debug_info.module(debug_info.dwarf(file="a\x1b[2J\nb.c")))
    assert texts(source_lines(error))[0] == r"src/a\x1b[2J\nb.c:11"


# One name format of size 0 and more names than anybody can count: reading them takes no byte, and no end.
ENDLESS = debug_info.sized(
    b"\5\0\4\0", debug_info.sized(bytes([1, 1, 1, 0xFB, 14]) + debug_info.OPCODES + b"\0" + b"\xff" * 8 + b"\x7f"), b""
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sections", "reason"),
    [
        ({".debug_line": ENDLESS}, "takes longer than 0.5 s"),
        ({".debug_line": b"\xff" * 40}, "malformed"),
        ({".debug_info": b"\x00" * 3}, "malformed"),
        ({".debug_abbrev": b""}, "malformed"),
    ],
    ids=["endless", "garbage", "cut off", "empty"],
)
def test_hostile_information_is_a_reason_and_never_an_error(engine, monkeypatch, sections, reason):
    monkeypatch.setattr(backtraces, "MOST_S", 0.5)
    version = 5 if sections.get(".debug_line") is ENDLESS else 4
    error = trap_of(engine, debug_info.module({**debug_info.dwarf(version=version), **sections}))
    found = source_lines(error)
    assert texts(found) == [None, None]
    assert reason in found.obstacle


def test_a_reader_has_one_budget_of_time_for_all_guests(engine):
    reader = SourceLineReader(time_s=0)
    found = reader.lines_of(trap_of(engine, debug_info.module(debug_info.dwarf())))
    assert found.obstacle == "reading debugging information has taken too long in this session"


def test_a_machine_that_cannot_start_a_process_costs_only_the_lines(engine, monkeypatch):
    def unfit(*_, **__):
        raise UnfitHost("threads", 1, "room for one more")

    monkeypatch.setattr(reading, "spawn", unfit)
    found = source_lines(trap_of(engine, debug_info.module(debug_info.dwarf())))
    assert texts(found) == [None, None]
    assert found.obstacle == "no process can be started to read it (threads: expected room for one more, got 1)"


def test_information_that_is_too_large_is_not_read(monkeypatch):
    monkeypatch.setattr(reading, "MOST_BYTES", 10)
    with pytest.raises(UnknownLines, match="11 bytes of debugging information, and at most 10 are read"):
        read_lines({".debug_line": b"x" * 11}, {1: 1}, time_s=1)


def source_map(*places):
    """A source map of segments with the column, the line (from 1) and nothing else changed."""
    mappings, column, line = [], 0, 0
    for at, number in places:
        mappings.append(vlq(at - column) + vlq(0) + vlq(number - 1 - line) + vlq(0))
        column, line = at, number - 1
    return json.dumps({"version": 3, "sources": ["assembly/index.ts"], "names": [], "mappings": ",".join(mappings)})


def vlq(value):
    digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    value, text = (-value << 1 | 1) if value < 0 else value << 1, ""
    while True:
        value, low = value >> 5, value & 31
        text += digits[low | (32 if value else 0)]
        if not value:
            return text


def mapped_guest(folder, name="guest.wasm.map", make=debug_info.module):
    binary = make(debug_info.source_map_url(name))
    path = folder / "guest.wasm"
    path.write_bytes(binary)
    return path, binary.index(debug_info.CODE) - binary.rindex(b"\0asm\1\0\0\0")


@pytest.mark.parametrize("make", [debug_info.module, debug_info.component])
@pytest.mark.parametrize("name", ["guest.wasm.map", "./guest.wasm.map"])
def test_the_source_map_beside_a_guest_gives_the_lines(engine, tmp_path, make, name):
    path, code = mapped_guest(tmp_path, name, make)
    (tmp_path / "guest.wasm.map").write_text(source_map(*((code + at, line) for at, line in debug_info.ROWS)))
    assert texts(source_lines(trap_of(engine, path))) == ["assembly/index.ts:11", "assembly/index.ts:21"]


@pytest.mark.parametrize(
    "name", ["../guest.wasm.map", "/etc/passwd", "https://example.org/a.map", "..", ".", "", "a\0b"]
)
def test_no_other_address_of_a_source_map_is_followed(engine, tmp_path, name):
    folder = tmp_path / "guest"
    folder.mkdir()
    path, code = mapped_guest(folder, name)
    for place in (tmp_path, folder):
        (place / "guest.wasm.map").write_text(source_map((code, 1)))
    found = source_lines(trap_of(engine, path))
    assert (texts(found), found.obstacle) == ([None, None], None)


@pytest.mark.parametrize(
    "content", ["{", "[" * 100_000, '{"sources": [], "mappings": "é"}', '{"sources": [1], "mappings": "AAAA"}']
)
def test_a_malformed_source_map_is_never_an_error(engine, tmp_path, content):
    path, _ = mapped_guest(tmp_path)
    (tmp_path / "guest.wasm.map").write_text(content)
    assert texts(source_lines(trap_of(engine, path)))[0] in (None, "1:1")
