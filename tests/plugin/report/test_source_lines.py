"""A failure names the file and line of each frame of the guest, wherever it is shown, below what the guest itself said."""

from __future__ import annotations

import json
import re

import pytest

from support import debug_info

TEST = """
import pytest

@pytest.mark.component("guest.wasm")
@pytest.mark.memory("1 MiB")
@pytest.mark.timeout_ms(20_000)
def test_run(component):
    component.run()
"""
LINES = ["src/t.c:11 (0x", "src/t.c:21 (0x", "inlined at src/t.c:30"]


def write_guest(project, sections, code=debug_info.WAT_CODE):
    project.write(test_a=TEST)
    project.path("guest.wasm").write_bytes(debug_info.module(sections, code=code))


@pytest.mark.slow
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_frames_of_a_failure_have_their_lines_in_the_terminal_and_in_every_report(project, isolation):
    write_guest(project, debug_info.dwarf(inlined=7))
    reports = ["--junit-xml=j.xml", *(f"--wasm-report=r.{kind}" for kind in ("json", "md", "html"))]
    ran = project.run(f"--wasm-isolation={isolation}", *reports)
    assert re.search(
        r"innermost first:\n  deep at src/t\.c:11 \(0x\w+\)\n"
        r"  run at src/t\.c:21 \(0x\w+\)\n    inlined at src/t\.c:30\n    inlined at src/t\.c:31\nrerun ",
        ran.text.replace("m!", ""),
    ), ran.text
    (test,) = json.loads(project.path("r.json").read_text())["tests"]
    for text in (test["section"], *(project.path(name).read_text() for name in ("j.xml", "r.md", "r.html"))):
        for line in LINES:
            assert line in text


@pytest.mark.slow
def test_information_that_cannot_be_read_is_a_line_and_the_frames_stay(project):
    write_guest(project, {**debug_info.dwarf(), ".debug_line": b"\xff" * 40})
    text = project.run().text
    assert re.search(
        r"  \S*deep at 0x\w+\n  \S+ at 0x\w+\n  lines unknown: the debugging information is malformed\n", text
    ), text


@pytest.mark.slow
def test_growths_of_memory_have_the_lines_of_the_functions_in_which_they_happen(project):
    code = """(memory 1)
      (func $need (param i32) (if (i32.eq (memory.grow (local.get 0)) (i32.const -1)) (then unreachable)))
      (func $run (export "run") (call $need (i32.const 7)) (call $need (i32.const 100)))"""
    write_guest(project, debug_info.dwarf(debug_info.rows([(2, 10), (16, 20)], 80), end=80), code=code)
    text = project.run().text
    assert re.search(r"512 KiB with \d+ fuel, in need \(src/t\.c:10\) < run \(src/t\.c:20\)\n", text), text


@pytest.mark.slow
def test_equal_frames_of_a_recursion_take_one_line_with_their_number(project):
    code = '(func $run (export "run") (if (i32.eqz (i32.const 0)) (then (call $run))))'
    write_guest(project, {}, code=code)
    text = project.run("--wasm-fuel=100").text
    assert re.search(r"innermost first:\n  m!run at 0x\w+\n  m!run at 0x\w+, \d\d times\n", text), text


SAYING = r"""
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\3b\00\00\00")
  (data (i32.const 16) "Traceback:\0a  File \22app.py\22, line 3\0aZeroDivisionError: it is")
  (func (export "run") (drop (call $write (i32.const 2) (i32.const 0) (i32.const 1) (i32.const 8))) unreachable)
"""


@pytest.mark.slow
def test_the_traceback_of_an_interpreted_guest_stands_before_the_frames_of_its_interpreter(project):
    write_guest(project, {}, code=SAYING)
    path = project.path("test_a.py")
    path.write_text(path.read_text().replace("@pytest.mark.memory", "@pytest.mark.wasi()\n@pytest.mark.memory"))
    text = project.run().text
    assert re.search(
        r"guest stderr:\n  Traceback:\n    File \"app\.py\", line 3\n  ZeroDivisionError: it is\n"
        r"guest frames, innermost first:\n",
        text,
    ), text
