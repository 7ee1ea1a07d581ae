"""The source lines of blocks, from DWARF."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm import ResourceLimits, WasmEngine, analysis
from pytest_airssys_wasm.analysis.guest_coverage import block_lines as reading
from pytest_airssys_wasm.analysis.guest_coverage.block_lines import block_lines
from support import debug_info

LIMITS = ResourceLimits(fuel=1_000, memory="1 MiB", timeout_ms=20_000)


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as engine:
        yield engine


@pytest.mark.parametrize("make", [debug_info.module, debug_info.component])
def test_blocks_have_the_lines_of_the_source(engine, make):
    binary = make(debug_info.dwarf())
    found = analysis.coverage(engine.load(binary), [("run",)], limits=LIMITS)
    blocks = [block for one in found.functions for block in one.blocks]
    lines = block_lines(found, binary)
    assert lines.obstacle is None
    assert {lines.lines.get(block, ("",))[0] for block in blocks} == {"src/t.c"}


def test_without_debugging_information_no_process_is_started(engine, monkeypatch):
    monkeypatch.setattr(reading, "read_lines", None)
    binary = debug_info.module()
    found = analysis.coverage(engine.load(binary), [("run",)], limits=LIMITS)
    assert block_lines(found, binary).lines == {}


def test_information_that_cannot_be_read_in_time_is_told(engine, monkeypatch):
    binary = debug_info.module(debug_info.dwarf())
    found = analysis.coverage(engine.load(binary), [("run",)], limits=LIMITS)
    assert "takes longer than 1e-09 s" in block_lines(found, binary, time_s=1e-9).obstacle
    malformed = debug_info.module({**debug_info.dwarf(), ".debug_line": b"\xff" * 40})
    found = analysis.coverage(engine.load(malformed), [("run",)], limits=LIMITS)
    assert "malformed" in block_lines(found, malformed).obstacle
