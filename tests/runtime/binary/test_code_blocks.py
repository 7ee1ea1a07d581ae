"""Basic blocks: where they begin, in every kind of control flow."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed
from pytest_airssys_wasm.runtime.binary.code_blocks import end_of_instruction, find_blocks
from pytest_airssys_wasm.runtime.binary.instruction_text import instruction_texts
from pytest_airssys_wasm.runtime.binary.probes import find_guest_blocks
from pytest_airssys_wasm.runtime.engine import WasmEngine


@pytest.fixture(scope="module")
def engine():
    with WasmEngine() as made:
        yield made


def blocks(engine, body, *others):
    """The text of each block of a function."""
    _, binary = engine.to_binary(f"(module (func (param i32) {body}) {' '.join(others)})".encode(), "m")
    found = find_guest_blocks(binary).functions
    if not found:
        return []
    function = found[0]
    ends = (*function.blocks[1:], function.body[1])
    return [
        "; ".join(instruction_texts(binary, at, end, names={}, most=99)[0]) for at, end in zip(function.blocks, ends)
    ]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("i32.const 1 drop", ["i32.const 1; drop"]),
        ("nop", []),
        ("local.get 0 if nop end", ["local.get 0; if"]),  # there is nothing in it, nor behind it
        ("local.get 0 if unreachable end", ["local.get 0; if", "unreachable"]),
        (
            "local.get 0 if (result i32) i32.const 1 else i32.const 2 end local.set 0",
            ["local.get 0; if", "i32.const 1", "i32.const 2", "local.set 0"],
        ),
        # what follows the part that returns is the other part, and so no block of its own
        (
            "local.get 0 if return else i32.const 2 local.set 0 end i32.const 3 local.set 0",
            ["local.get 0; if", "return", "i32.const 2; local.set 0; i32.const 3; local.set 0"],
        ),
        ("block i32.const 1 drop end i32.const 2 drop", ["i32.const 1; drop; i32.const 2; drop"]),
        (
            "block local.get 0 br_if 0 i32.const 1 drop end i32.const 2 drop",
            ["local.get 0; br_if 0", "i32.const 1; drop", "i32.const 2; drop"],
        ),
        (
            "i32.const 1 drop loop local.get 0 br_if 0 end i32.const 2 drop",
            ["i32.const 1; drop", "local.get 0; br_if 0", "i32.const 2; drop"],
        ),
        ("loop loop local.get 0 br_if 1 end end", ["local.get 0; br_if 1"]),
        # dead code is not a block, whatever is in it
        ("return i32.const 1 if loop br 0 end end i32.const 2 drop", None),
        ("block br 0 i32.const 1 drop end i32.const 2 drop", None),
        (
            "block block local.get 0 br_table 0 1 end i32.const 1 drop end i32.const 2 drop",
            ["local.get 0; br_table 0 1", "i32.const 1; drop", "i32.const 2; drop"],
        ),
        # what follows a conditional without `else` is reached without its part, too
        (
            "local.get 0 if i32.const 1 drop end i32.const 2 drop",
            ["local.get 0; if", "i32.const 1; drop", "i32.const 2; drop"],
        ),
        ("local.get 0 if return end i32.const 2 drop", ["local.get 0; if", "return", "i32.const 2; drop"]),
        (
            "local.get 0 if return else loop i32.const 2 drop end end",
            ["local.get 0; if", "return", "i32.const 2; drop"],
        ),
        (
            "local.get 0 local.get 0 br_if 0 if i32.const 1 drop end",
            ["local.get 0; local.get 0; br_if 0", "if", "i32.const 1; drop"],
        ),
        # a block begins without a branch to it, and a branch to a loop does not lead to its end
        ("i32.const 1 drop block i32.const 2 drop end", ["i32.const 1; drop; i32.const 2; drop"]),
        (
            "loop local.get 0 br_if 0 i32.const 1 drop end i32.const 2 drop",
            ["local.get 0; br_if 0", "i32.const 1; drop; i32.const 2; drop"],
        ),
        # behind a branch to its end, code is live again
        (
            "block local.get 0 br_if 0 return end loop i32.const 2 drop end",
            ["local.get 0; br_if 0", "return", "i32.const 2; drop"],
        ),
        # all branches to the end of the block are dead, so nothing reaches what follows
        ("block return br 0 end i32.const 2 drop", ["return; br 0; i32.const 2; drop"]),
        ("block return local.get 0 br_if 0 end i32.const 2 drop", None),
        ("block return local.get 0 br_table 0 end i32.const 2 drop", None),
        ("block return try_table (catch_all 0) i32.const 1 drop end end i32.const 2 drop", None),
        (
            "block (result i31ref) return ref.null any br_on_cast 0 anyref i31ref drop ref.null i31 end drop i32.const 2 drop",
            None,
        ),
        # nor does anything reach what would begin a block in living code
        ("return local.get 0 br_if 0 i32.const 1 drop", None),
        ("return local.get 0 if i32.const 1 drop else i32.const 2 drop end", None),
        ("block br 0 loop i32.const 1 drop end end i32.const 2 drop", None),
    ],
)
def test_a_block_begins_where_control_can_arrive(engine, body, expected):
    if expected is None:
        found = blocks(engine, body)
        assert len(found) == (1 if "return" in body else 2)
    else:
        assert blocks(engine, body) == expected


def test_handlers_of_exceptions_are_targets(engine):
    body = "block try_table (catch_all 0) i32.const 1 drop end i32.const 2 drop end i32.const 3 drop"
    found = blocks(engine, body)
    assert len(found) == 2
    assert found[1] == "i32.const 3; drop"


def test_branches_on_references_end_a_block(engine):
    body = "block ref.null func br_on_null 0 drop i32.const 1 drop end i32.const 2 drop"
    assert blocks(engine, body) == ["ref.null; br_on_null 0; drop", "i32.const 1; drop", "i32.const 2; drop"]
    body = "block (result i31ref) ref.null any br_on_cast 0 anyref i31ref drop ref.null i31 end drop i32.const 2 drop"
    first, *others = blocks(engine, body)
    assert first.startswith("ref.null; object 24 ")  # br_on_cast
    assert others == ["ref.null; drop", "i32.const 2; drop"]


def test_the_end_of_each_instruction_is_found(engine):
    body = """
      f64.const 1.5 drop f32.const -2 drop i64.const -9223372036854775808 drop i32.const 0 i32.load offset=70000 drop
      i32.const 0 i32.const 0 i32.const 0 memory.fill i32.const 0 v128.load offset=9 drop
      v128.const i32x4 1 2 3 4 v128.const i32x4 1 2 3 4 i8x16.shuffle 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 drop
      i32.const 0 v128.const i64x2 1 2 v128.load8_lane 3 drop f32.const 1 i32.trunc_sat_f32_s drop
      v128.const i64x2 1 2 i32x4.extract_lane 3 drop ref.null extern ref.null extern i32.const 1 select (result externref)
      drop i32.const 1 array.new_default $a drop i32.const 7 ref.i31 drop i32.const 1 i32.const 0
      call_indirect (param i32) i64.const 1 i64.const 2 i64.const 3 i64.const 4 i64.add128 drop drop"""
    (text,) = blocks(engine, body, "(memory 1) (table 1 funcref) (type $a (array i32))")
    assert text.startswith(
        "f64.const 1.5; drop; f32.const -2.0; drop; i64.const -9223372036854775808; drop; i32.const 0"
    )
    assert "i32.load offset 70000; drop; i32.const 0; i32.const 0; i32.const 0; memory.fill 0" in text
    assert "i32.trunc_sat_f32_s; drop" in text
    assert text.endswith("drop; drop")


def test_the_names_of_instructions_are_those_of_the_text_format(engine):
    every = ["i32.eqz", "i64.ge_u", "f64.ge", "i32.rotr", "f32.copysign", "i64.extend_i32_u", "f64.reinterpret_i64"]
    every += ["i64.extend32_s", "i32.wrap_i64", "f64.promote_f32", "i64.trunc_f64_u", "f32.demote_f64"]
    for name in every:
        operand, _, rest = name.partition(".")
        of = next((one for one in ("i32", "i64", "f32", "f64") if one in rest), operand)
        given = f"{of}.const 1 " * (2 if rest in ("ge_u", "ge", "rotr", "copysign") else 1)
        (text,) = blocks(engine, f"{given} {name} drop")
        assert f"; {name}; drop" in text


@pytest.mark.parametrize("code", [b"\x06\x40\x0b\x0b", b"\xfe\x00\x0b", b"\xfc\x7f\x0b", b"\x41\xff", b"", b"\x0b\x0b"])
def test_what_is_not_known_or_cut_off_is_refused(code):
    with pytest.raises((Malformed, IndexError)):
        find_blocks(code, 0, len(code))


def test_an_instruction_ends_where_the_next_begins():
    code = bytes([0x41, 0x80, 0x01, 0x1A, 0x02, 0x40, 0x0B, 0x0E, 0x01, 0x00, 0x00, 0x0B])
    at, starts = 0, []
    while at < len(code):
        starts.append(at)
        at = end_of_instruction(code, at)
    assert starts == [0, 3, 4, 6, 7, 11]
