"""The declarations of a guest, with wasmtime as the judge.

Laws: under limits that are exactly the needs, instantiation is refused by none of them; under one that is one less, it
is. What wasmtime loads is read; nothing makes reading raise anything but `InvalidComponent`, or take long.
"""

from __future__ import annotations

import random
import time
from dataclasses import replace

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytest_airssys_wasm.conformance.guests import source_text
from pytest_airssys_wasm.conformance.loader import find_chapters
from pytest_airssys_wasm.runtime.binary.needs import exceeded, read_needs
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import (
    ComponentTrapped,
    InvalidComponent,
    LinkError,
    OutOfMemory,
    ResourceLimitExceeded,
)
from support.checkout import ROOT
from support.exact_limits import exactly, instantiated

PAGE = 64 * 1_024
COUNTS = ("memory", "memories", "tables", "table_elements", "instances")


def check_against_wasmtime(engine, guest, needs, *, runs_code=False, makes_adapters=False):
    enough = replace(exactly(needs), **({"instances": 64} if makes_adapters else {}))
    outcome = instantiated(engine, guest, enough)
    if needs.is_complete and not runs_code:
        assert not isinstance(outcome, (OutOfMemory, ResourceLimitExceeded)), outcome
    if needs.misplaced_data:
        assert isinstance(outcome, (ComponentTrapped, LinkError)), outcome
    for name in COUNTS:
        if getattr(exactly(needs), name):
            limits = replace(enough, **{name: getattr(exactly(needs), name) - 1})
            resource = name.replace("_", "-")
            assert [one.resource for one in exceeded(needs, limits) if one.resource != "data"] == [resource]
            outcome = instantiated(engine, guest, limits)
            refused = isinstance(outcome, (OutOfMemory, ResourceLimitExceeded, LinkError))
            # The data of one instance may trap before the next is made.
            assert refused or (needs.misplaced_data and isinstance(outcome, ComponentTrapped)), (name, outcome)
            if isinstance(outcome, ResourceLimitExceeded):
                assert outcome.resource == resource


def bundled():
    for path in sorted((ROOT / "fixtures" / "guests").glob("*/*.wasm")):
        yield path.name, path.read_bytes()
    for chapter in find_chapters(ROOT / "conformance"):
        # The hostile ones are made to take long.
        for file in chapter.cases() if chapter.name != "hostile" else ():
            case = file.load()
            if case.wat is not None:
                yield file.name, source_text(case, file.name)


def binary_of(source):
    return source if isinstance(source, bytes) else bytes(wasmtime.wat2wasm(source))


BUNDLED = {source: name for name, source in bundled()}
"""The names by what is the same in several cases."""


@pytest.mark.parametrize("source", [pytest.param(source, id=name) for source, name in BUNDLED.items()])
def test_wasmtime_agrees_about_the_bundled_guests(engine, source):
    binary = binary_of(source)
    try:
        guest = engine.load(binary)
    except InvalidComponent:
        return
    runs_code = isinstance(source, bytes) or any(word in source for word in ("(start", "_initialize", "array.new"))
    check_against_wasmtime(engine, guest, read_needs(binary), runs_code=runs_code, makes_adapters=True)


PAGES = st.integers(0, 20)
BYTES = st.integers(0, 5).map(lambda count: '"' + "x" * count + '"')


@st.composite
def modules(draw):
    """The inside of a module that imports nothing."""
    widths = draw(st.lists(st.sampled_from(["", "i64 "]), max_size=3))
    sizes = [draw(PAGES) for _ in widths]
    fields = [f"(memory {width}{size})" for width, size in zip(widths, sizes)]
    for size in draw(st.lists(st.integers(0, 9), max_size=3)):
        fields.append(
            draw(st.sampled_from([f"(table {size} funcref)", f"(table {size} (ref null func) (ref.null func))"]))
        )
    for _ in range(draw(st.integers(0, 2)) if widths else 0):
        memory = draw(st.integers(0, len(widths) - 1))
        offset = max(0, sizes[memory] * PAGE + draw(st.integers(-9, 3)))
        kind = "i64" if widths[memory] else "i32"
        fields.append(f"(data (memory {memory}) ({kind}.const {offset}) {draw(BYTES)})")
    return " ".join(fields)


@st.composite
def components(draw, depth=0, outer=()):
    """The inside of a component: modules, components in it, and instances of them; none has imports."""
    fields, known, nested = [], [], []
    for _ in range(draw(st.integers(1, 6))):
        what = draw(st.sampled_from(["module", "component", "instance", "instance", "export", "alias"]))
        name = f"$x{depth}-{len(fields)}"
        if what == "module":
            fields.append(f"(core module {name} {draw(modules())})")
            known.append(name)
        elif what == "component" and depth < 2:
            fields.append(f"(component {name} {draw(components(depth + 1, (*outer, *known)))})")
            nested.append(name)
        elif what == "instance" and known and draw(st.booleans()):
            fields.append(f"(core instance (instantiate {draw(st.sampled_from(known))}))")
        elif what == "instance" and nested:
            fields.append(f"(instance (instantiate {draw(st.sampled_from(nested))}))")
        elif what == "export" and known:
            fields.append(f'(export {name} "x{len(fields)}" (core module {draw(st.sampled_from(known))}))')
            known.append(name)
        elif what == "alias" and outer:
            module = draw(st.sampled_from(outer))
            levels = depth - int(module[2])
            fields.append(f"(alias outer {levels} {module} (core module {name}))")
            known.append(name)
    return " ".join(fields)


GUESTS = modules().map(lambda text: f"(module {text})") | components().map(lambda text: f"(component {text})")
SLOW = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=150)


@pytest.mark.slow
@SLOW
@given(GUESTS)
def test_wasmtime_agrees_about_made_guests(engine, text):
    binary = bytes(wasmtime.wat2wasm(text))
    needs = read_needs(binary)
    assert needs.is_complete
    check_against_wasmtime(engine, engine.load(binary), needs)


SEEDS = st.sampled_from([source for source in BUNDLED if len(source) < 40_000]) | GUESTS


@st.composite
def damaged(draw):
    """Valid binaries with bytes changed, removed, doubled or cut off."""
    binary = bytearray(binary_of(draw(SEEDS)))
    chance = random.Random(draw(st.integers()))
    for _ in range(draw(st.integers(1, 6))):
        at, size = chance.randrange(8, max(9, len(binary))), chance.randint(1, 8)
        way = chance.randrange(4)
        if way == 0:
            binary[at : at + 1] = bytes([chance.choice([0, 1, 2, 0x0B, 0x40, 0x7F, 0x80, 0xFF, chance.randrange(256)])])
        elif way == 1:
            del binary[at : at + size]
        elif way == 2:
            binary[at:at] = binary[at : at + size]
        elif way == 3 and draw(st.booleans()):
            del binary[at:]
    return bytes(binary)


@pytest.mark.slow
@settings(SLOW, max_examples=600)
@given(damaged() | st.binary(max_size=100).map(lambda noise: b"\0asm\x0d\0\x01\0" + noise) | st.binary())
def test_damaged_binaries_are_read_or_refused_and_read_wherever_wasmtime_loads_them(engine, binary):
    started = time.thread_time()
    try:
        needs = read_needs(binary)
    except InvalidComponent:
        needs = None
    assert time.thread_time() - started < 1
    if binary[:4] != b"\0asm":
        assert needs is None
        return
    try:
        guest = engine.load(binary)
    except InvalidComponent:
        return
    assert needs is not None
    limits = ResourceLimits(memory="1 MiB", fuel=100_000, timeout_ms=20_000, instances=4)
    over = exceeded(needs, limits)
    if over:
        assert instantiated(engine, guest, limits) is not None, over
