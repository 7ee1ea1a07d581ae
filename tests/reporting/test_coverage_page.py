"""The coverage of guests as a page, a listing and LCOV, whatever the names in a guest."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from pytest_airssys_wasm.reporting import coverage_listing, coverage_page
from pytest_airssys_wasm.reporting.coverage_listing import lcov, list_functions, listing, source_lcov
from pytest_airssys_wasm.reporting.coverage_page import GuestOnPage, page
from pytest_airssys_wasm.runtime.binary.coverage import Coverage, Unmeasured, covered
from pytest_airssys_wasm.runtime.binary.probes import find_guest_blocks
from pytest_airssys_wasm.runtime.engine import WasmEngine

EVIL = "<script>alert(1)</script>\\0aSF:evil,\\1b[31m"
GUEST = f"""(module (func $"{EVIL}" (param i32) (if (local.get 0) (then (drop (i32.const 1)))) (drop (i32.const 2)))
  (func $"7,same" (drop (i32.const 3))) (func $once (call 1)) (func (drop (i32.const 4))))"""


@pytest.fixture(scope="module")
def binary():
    with WasmEngine() as engine:
        return engine.to_binary(GUEST.encode(), "guest")[1]


def coverage(binary, found=b"\x01\x00\x01\x00\x01\x00", **more):
    functions = covered(find_guest_blocks(binary).functions, found)
    return Coverage(guest="a/guest.wat", functions=functions, executions=3, **more)


def on_page(found, binary):
    return GuestOnPage(coverage=found, functions=list_functions(found, binary), files=("g.txt", "g.info"))


class _Texts(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.texts = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


def read(text):
    parser = _Texts()
    parser.feed(text)
    return parser


def test_names_of_the_guest_stay_in_one_line_and_are_no_markup(binary):
    found = coverage(binary)
    functions = list_functions(found, binary)
    assert functions[0].name == "<script>alert(1)</script>\\nSF:evil,\\x1b[31m"
    read_page = read(page([on_page(found, binary)]))
    assert not [tag for tag, _ in read_page.tags if tag == "script"]
    assert functions[0].name in read_page.texts
    lines = lcov("g.txt", functions).splitlines()
    assert [line for line in lines if line.startswith("SF:")] == ["SF:g.txt"]
    assert "\x1b" not in listing("g", functions)


def test_the_page_loads_nothing_and_runs_nothing(binary):
    tags = read(page([on_page(coverage(binary), binary)])).tags
    policy = next(attributes["content"] for tag, attributes in tags if attributes.get("http-equiv"))
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert not [attributes for _, attributes in tags if {"src", "onclick", "onload"} & set(attributes)]
    assert [attributes["href"] for tag, attributes in tags if tag == "a"] == ["g.txt", "g.info"]


def test_functions_with_the_most_missed_blocks_come_first(binary):
    found = coverage(binary, found=b"\x01\x01\x01\x00\x01\x00")
    texts = read(page([on_page(found, binary)])).texts
    order = [text for text in texts if re.fullmatch(r"7,same|once|func\[3\]|<script.*", text)]
    assert order[:2] == ["7,same", "func[3]"]
    assert "i32.const 3; drop" in texts
    assert "i32.const 1; drop" not in texts


def test_what_is_not_measured_is_on_the_page(binary):
    unmeasured = (Unmeasured(reason="of a <reason>", executions=2, tests=tuple(f"test_{n}" for n in range(25))),)
    text = page([on_page(coverage(binary, unmeasured=unmeasured, cut=1), binary)], [("other.wasm", "it is <odd>")])
    plain = " ".join("".join(read(text).texts).split())
    assert "Not measured: 2 executions, because of a <reason>." in plain
    assert "test_19 and 5 more tests" in plain
    assert "1 execution ran out of fuel or stack" in plain
    assert "Not measured: it is <odd>." in plain


def test_the_page_is_bounded(binary, monkeypatch):
    monkeypatch.setattr(coverage_page, "MOST_FUNCTIONS", 2)
    monkeypatch.setattr(coverage_page, "MOST_BLOCKS_OF_ALL", 1)
    plain = " ".join("".join(read(page([on_page(coverage(binary, found=bytes(6)), binary)])).texts).split())
    assert "2 more functions with fewer missed blocks" in plain
    assert "2 more missed blocks" in plain
    monkeypatch.setattr(coverage_listing, "MOST_DESCRIBED", 4)
    functions = list_functions(coverage(binary), binary)
    assert [bool(block.text) for one in functions for block in one.blocks] == [True] * 4 + [False] * 2


def test_lcov_refers_to_the_lines_of_the_listing(binary):
    found = coverage(binary)
    functions = list_functions(found, binary)
    lines = listing("a/guest.wat", functions).splitlines()
    data = lcov("g.txt", functions).splitlines()
    for number, count in (map(int, line[3:].split(",")) for line in data if line.startswith("DA:")):
        line = lines[number - 1]
        if line.startswith("  0x"):
            offset = int(line.split()[0], 16)
            assert count == any(offset in one.reached for one in found.functions)
        else:
            assert line.startswith("func ")
    for line in data:
        if line.startswith("FN:"):
            number, _, name = line[3:].partition(",")
            assert name.removeprefix("_") in lines[int(number) - 1]
    assert "FN:8,_7,same" in data
    assert {"FNF:4", "FNH:2", "LF:10", "LH:5", "end_of_record"} <= set(data)


def test_functions_of_the_same_name_are_told_apart_by_their_index():
    text = '(module (func $a (drop (i32.const 1))) (func (export "a") (drop (i32.const 2))))'
    with WasmEngine() as engine:
        binary = engine.to_binary(text.encode(), "guest")[1]
    assert [one.name for one in list_functions(coverage(binary, found=bytes(2)), binary)] == ["a #0", "a #1"]


def test_source_lines_are_a_record_of_their_own(binary):
    found = coverage(binary)
    offsets = [block for one in found.functions for block in one.blocks]
    lines = dict(zip(offsets, [("src/a.c", 3), ("src/a.c", 4), ("src/a.c", 3), ("b\nSF:x.c", 9)]))
    functions = list_functions(found, binary, lines)
    assert "  ;; src/a.c:4" in listing("g", functions)
    text = page([GuestOnPage(coverage=found, functions=functions, files=())])
    assert "src/a.c:4" in text
    records = source_lcov(functions).split("end_of_record\n")
    assert [re.findall("^SF:.*", one, re.MULTILINE) for one in records] == [["SF:b\\nSF:x.c"], ["SF:src/a.c"], []]
    assert re.findall("^(?:FNDA|DA):.*", records[1], re.MULTILINE)[-2:] == ["DA:3,1", "DA:4,0"]
    assert source_lcov(list_functions(found, binary)) == ""
