"""Limits, trap kinds and WIT types are known everywhere they have to be: CONTRIBUTING.md lists the places."""

from __future__ import annotations

import re
import typing
from dataclasses import fields
from pathlib import Path

import pytest

from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.conformance.model import CaseLimits
from pytest_airssys_wasm.plugin import marker_names
from pytest_airssys_wasm.protocol.limits import plain_limits
from pytest_airssys_wasm.protocol.messages import TRAP_KINDS
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.wit import types

ROOT = Path(__file__).resolve().parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text("utf-8")
LIMITS = dict(
    zip((field.name for field in fields(ResourceLimits)), plain_limits(ResourceLimits(memory=0)), strict=True)
)
"""The name of each limit in the protocol, by its name in Python."""
UNREACHABLE = {"cannot-enter-component"}
"""Trap kinds that no case can cause: a store is gone after a trap, and host functions must not call back into it."""


class Declared:
    """A configuration that takes the declarations of markers."""

    def __init__(self) -> None:
        self.text = ""

    def addinivalue_line(self, _name, line):
        self.text += line.partition(": ")[0] + "\n"


@pytest.fixture(scope="module")
def signatures():
    config = Declared()
    marker_names.declare(config)
    return config.text


@pytest.mark.parametrize("limit", LIMITS)
def test_a_marker_sets_each_limit(limit, signatures):
    assert f"{limit}=" in signatures or f"\n{limit}(" in signatures, "plugin/marker_names.py"


def test_a_case_can_state_each_limit():
    assert {*CaseLimits.__struct_fields__} == {*LIMITS}


def test_the_protocol_page_has_a_row_for_each_limit():
    section = PROTOCOL.partition("\n## Limits\n")[2].partition("\n## ")[0]
    assert {*re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)} == {*LIMITS.values()}


@pytest.mark.parametrize("adapter", ["raw_wasmtime.py", "node.mjs"])
def test_the_adapters_know_each_limit(adapter):
    text = (ROOT / "adapters" / adapter).read_text("utf-8")
    assert [name for name in LIMITS.values() if not re.search(rf"\b{name.removesuffix('_bytes')}", text)] == []


def test_a_case_expects_each_trap_kind_of_the_protocol_page():
    expected = {
        name
        for chapter in find_chapters()
        for file in chapter.cases()
        for actor in file.load().cast()
        for step in actor.steps
        if step.expect.trap is not None
        for name in ([step.expect.trap] if isinstance(step.expect.trap, str) else step.expect.trap)
    }
    assert sorted(TRAP_KINDS - expected - UNREACHABLE) == []


# Handles have no text, and the last two no Python value.
WIT_TYPES = [
    type_.__name__
    for type_ in typing.get_args(types.WitType)
    if type_ not in (types.Primitive, types.OwnType, types.BorrowType, types.FutureType, types.StreamType)
]


@pytest.mark.parametrize("page", ["values.md", "manifest.md", "protocol.md"])
def test_each_wit_type_is_in_the_tables_of_values(page):
    rows = "\n".join(re.findall(r"^\| (.*?) \|", (ROOT / "docs" / page).read_text("utf-8"), re.MULTILINE))
    assert [name for name in WIT_TYPES if f"`{name.removesuffix('Type').lower()}" not in rows] == []


@pytest.mark.parametrize("file", ["support/wave_values.py", "protocol/test_wire.py", "protocol/test_value_codec.py"])
def test_each_wit_type_is_tried_by_property_tests_and_in_the_protocol(file):
    text = (ROOT / "tests" / file).read_text("utf-8")
    assert [name for name in WIT_TYPES if name not in text] == []
