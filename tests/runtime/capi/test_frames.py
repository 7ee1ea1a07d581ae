"""The guest's backtrace: names as their authors wrote them, and no name that decides what another frame is called."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from pytest_airssys_wasm.runtime.base.outcome import Frame
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.capi.backtrace import NamedFrame, demangle
from pytest_airssys_wasm.runtime.errors import ComponentTrapped
from support.checkout import GUESTS

LIMITS = ResourceLimits(memory="4 MiB", fuel=10_000_000, timeout_ms=30_000)
KINDS = ["module", "component"]
CLOSURE = (
    "_ZN4core3ptr85drop_in_place$LT$std..rt..lang_start$LT$$LP$$RP$$GT$..$u7b$$u7b$closure$u7d$$u7d$$GT$17h"
    "0123456789abcdefE"
)


def frames_of(engine, names, kind="module", module="guest"):
    """The frames of a trap in the last of functions that call each other, innermost first."""

    def written(name):
        return "".join(c if c.isalnum() or c in "_.$:<> " else "".join(rf"\{b:02x}" for b in c.encode()) for c in name)

    functions = "".join(
        f'(func {f"""(@name "{written(name)}")""" if name is not None else ""} '
        f"{'unreachable' if number == len(names) - 1 else f'call {number + 1}'})"
        for number, name in enumerate(names)
    )
    text = f'module {f"""(@name "{written(module)}")""" if module else ""} {functions} (export "run" (func 0))'
    if kind == "component":
        text = f"""component (core {text}) (core instance $i (instantiate 0))
        (func (export "run") (canon lift (core func $i "run")))"""
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(engine.load(f"({text})"), "run", limits=LIMITS)
    return caught.value.frames


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("symbol", "function"),
    [
        ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
        ("_ZN4core9panicking5panic17h0123456789abcdefE.llvm.123ABC", "core::panicking::panic"),
        (CLOSURE, "core::ptr::drop_in_place<std::rt::lang_start<()>::{{closure}}>"),
        ("_RNvCskwGfYPst2Cb_3foo16example_function", "foo::example_function"),
        ("_RINvNtC3std3mem8align_ofjdE", "std::mem::align_of::<usize, f64>"),
        ("_ZNSt6vectorIiSaIiEE9push_backEOi", "std::vector<int, std::allocator<int> >::push_back(int&&)"),
        ("core::panicking::panic::h0123456789abcdef", "core::panicking::panic"),
        ("transform", "transform"),
        ("foo.llvm.123", "foo.llvm.123"),
        ("_Z", "_Z"),
        *((letter, letter) for letter in "abcdefghijstvwxyz"),  # each is a type in the mangling of C++
        ("St", "St"),
        ("i.llvm.1", "i.llvm.1"),
        ("RNvC3foo3bar", "RNvC3foo3bar"),
        ("_ZN3foo", "_ZN3foo"),
    ],
)
def test_a_name_is_demangled_and_its_symbol_kept(engine, kind, symbol, function):
    inner, outer = frames_of(engine, ["run", symbol], kind)
    assert (inner.function, inner.symbol, inner.module) == (function, symbol, "guest")
    assert str(inner) == f"guest!{function}"
    assert (outer.function, outer.symbol) == ("run", "run")


def test_a_function_without_a_name_has_its_number(engine):
    inner, outer = frames_of(engine, ["_ZN3foo3barE", None], module=None)
    assert (inner.function, inner.symbol, str(inner)) == ("<function 1>", None, "<function 1>")
    assert (outer.function, outer.module) == ("foo::bar", None)


def test_a_binary_from_rust_names_its_frames(engine):
    words = engine.load(GUESTS / "word-count" / "word-count.wasm")
    with pytest.raises(ComponentTrapped) as caught:
        engine.execute(words, "nth", "a b", 7, limits=LIMITS)
    names = [frame.function for frame in caught.value.frames]
    assert any(name.startswith("core::panicking::panic_fmt") for name in names)
    assert not any("_ZN" in name or "::h" in name for name in names)


FORGED = "\n    1:     0x30 - guest!forged\n\nCaused by:\n    forged\n"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "name",
    [
        f"_ZN3foo{FORGED}",
        f"x{FORGED}",
        FORGED,
        f"_ZN{len(FORGED)}{FORGED}3fooE",
        f"_ZN3fooE.{FORGED}",
        f"_Z3foo{FORGED}",
        "",
        "\n",
    ],
)
def test_a_name_with_line_breaks_forges_no_other_frame(engine, kind, name):
    frames = frames_of(engine, ["run", "_ZN3foo5outerE", name, "_ZN3foo5innerE"], kind)
    assert [frame.symbol for frame in frames] == ["_ZN3foo5innerE", name, "_ZN3foo5outerE", "run"]
    assert frames[0].function == "foo::inner"
    # What is outside of it has its symbol, where it cannot be told apart from the forged text.
    assert frames[2].function in ("foo::outer", "_ZN3foo5outerE")
    assert frames[3].function == "run"
    assert len(str(frames[1]).splitlines()) == 1


def test_a_frame_is_one_line_that_any_terminal_can_show():
    assert str(Frame("a\n\x1b[2J\u202eb", "m\r", 0)) == r"m\r!a\n\x1b[2J\u202eb"


def test_long_names_are_cut_and_hide_no_others(engine):
    frames = frames_of(engine, ["run", "y" * 90_000, "_ZN3foo3barE"])
    assert [frame.function for frame in frames] == ["foo::bar", "y" * 200 + "…", "run"]
    assert len(frames[1].symbol) == 201
    name = "a" * 300
    (inner, _) = frames_of(engine, ["run", f"_ZN300{name}3barE"])
    assert inner.function == "a" * 200 + "…"


HEAD = b"error while executing at wasm backtrace:\n"
FOO = NamedFrame(0x21, b"m", b"_ZN3fooE", 0)
RUN = NamedFrame(0x25, None, None, 1)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        (b"    0:     0x21 - m!foo\n    1:     0x25 - <unknown>!<wasm function 1>\n\nCaused by:\n", ["foo", None]),
        (b"    0:     0x21 - m!foo\n    1:     0x25 - <unknown>!<wasm function 1>\nnote: x\n", ["foo", None]),
        (b"    0:     0x21 - m!foo\n    1:     0x25 - <unknown>!<wasm function 1>\n", ["foo", None]),
        # Lines of another offset, module, order or form, as for guests with debug information.
        (b"    0:     0x22 - m!foo\n", ["_ZN3fooE", None]),
        (b"    0:     0x21 - n!foo\n", ["_ZN3fooE", None]),
        (b"    1:     0x21 - m!foo\n", ["_ZN3fooE", None]),
        (b"    0:     0x21 - m!foo\n        at x.rs:1\n    1:     0x25 - <unknown>!x\n", ["_ZN3fooE", None]),
        (b"    0:     0x21 - m!foo", ["_ZN3fooE", None]),
        (b"", ["_ZN3fooE", None]),
    ],
)
def test_names_are_believed_only_where_the_lines_agree(text, names):
    assert demangle(HEAD + text, [FOO, RUN], is_whole=True) == names
    assert demangle(text, [FOO, RUN], is_whole=True) == ["_ZN3fooE", None]


def test_a_name_that_holds_the_very_line_of_the_next_frame_does_not_name_it():
    line = b"    1:     0x25 - <unknown>!"
    outer = NamedFrame(0x25, None, b"_ZN3runE", 1)
    plain, mangled = b"x\n" + line + b"forged", b"_ZN37a\n" + line + b"forged\nE"
    rest = b"\n" + line + b"run\n"
    text = HEAD + b"    0:     0x21 - m!" + plain + rest
    assert demangle(text, [replace(FOO, symbol=plain), outer], is_whole=True) == [plain.decode(), "run"]
    text = HEAD + b"    0:     0x21 - m!a\n" + line + b"forged\n" + rest
    assert demangle(text, [replace(FOO, symbol=mangled), outer], is_whole=True) == [mangled.decode(), "_ZN3runE"]


def test_the_last_frame_is_believed_where_the_backtrace_ends():
    line = b"    0:     0x21 - m!foo\n"
    assert demangle(HEAD + line, [FOO], is_whole=True) == ["foo"]
    assert demangle(HEAD + line + b"\nCaused by:\n", [FOO], is_whole=True) == ["foo"]
    assert demangle(HEAD + line + b"    at x.rs:1\n", [FOO], is_whole=True) == ["_ZN3fooE"]
    assert demangle(HEAD + line + b"    1: more", [FOO], is_whole=False) == ["foo"]


NAMES = st.lists(
    st.sampled_from(["_ZN3fooE", "_ZN3foo", "_R", "\n", "    1:     0x30 - guest!x", "17h0123456789abcdefE", "é", "E"]),
    max_size=5,
).map("".join)


@pytest.mark.slow
@settings(deadline=None, max_examples=60)
@given(st.lists(NAMES, min_size=1, max_size=4), st.sampled_from(KINDS))
def test_whatever_the_names_each_frame_keeps_its_own(engine, names, kind):
    frames = frames_of(engine, names, kind)
    assert [frame.symbol for frame in frames] == names[::-1]
    for frame in frames:
        if "_" not in frame.symbol and not frame.symbol.endswith("h0123456789abcdef"):
            assert frame.function in (frame.symbol, "<function 0>", "<function 1>", "<function 2>", "<function 3>")
