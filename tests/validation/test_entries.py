"""Entries with steps, repetitions, bounds on memory and stubs find what a single call does not show, in both modes."""

from __future__ import annotations

import shutil
from functools import partial

import pytest

from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.loading import load_manifest
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.checks import CHECKS
from pytest_airssys_wasm.validation.steps import check_entry
from pytest_airssys_wasm.validation.unfit import Blocked, Unfit
from support.checkout import ROOT

HEAD = """[component]
name = "guest"
version = "0.1.0"
wasm = "guest.wat"
[resources.memory]
max_bytes = "1 MiB"
[resources.cpu]
timeout_ms = "20 s"
"""
SHOP = """(module
  (import "shop" "price" (func $price (param i32) (result i32)))
  (import "shop" "log" (func $log (param i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 0))
  (global $sum (mut i32) (i32.const 0))
  (func (export "add") (param i32) (result i32)
    (call $log (local.get 0))
    (global.set $sum (i32.add (global.get $sum) (call $price (local.get 0))))
    (global.get $sum))
  (func (export "clear") (global.set $sum (i32.const 0)))
  (func (export "leak") (param i32)
    (global.set $heap (i32.add (global.get $heap) (local.get 0)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
      (then (drop (memory.grow (i32.const 1))))))
  (func (export "boom") unreachable))"""
PRICES = """
[[imports]]
name = "shop#price"
returns = 100
when = [{ args = [1], returns = 250 }, { args = [7], fails = "no such item" }]
[[imports]]
name = "shop#log"
"""


@pytest.fixture(scope="module", params=["thread", pytest.param("process", marks=pytest.mark.slow)])
def either_engine(request, new_engine):
    with new_engine(request.param) as engine:
        yield engine


@pytest.fixture
def checked(either_engine, tmp_path):
    """Check the entries of a manifest: the note of each, or its failure, by name."""

    def check(text, guest=SHOP, host=None, checks=()):
        (tmp_path / "Component.toml").write_text(HEAD + text, "utf-8")
        if isinstance(guest, str):
            (tmp_path / "guest.wat").write_text(guest, "utf-8")
        else:
            shutil.copy(guest, tmp_path / "guest.wat")
        manifest = load_manifest(tmp_path / "Component.toml", memory_range=(0, 2**30))
        candidate = Candidate(
            engine=either_engine,
            wasm=manifest.wasm,
            loader=partial(either_engine.load, manifest.wasm, manifest=manifest),
            manifest=manifest,
            declared_limits=manifest.limits(),
            host=HostFunctions() if host is None else host,
            wasi=manifest.wasi,
        )
        made = {name: CHECKS[name] for name in checks}
        made |= {test.name: partial(check_entry, test=test) for test in manifest.tests}
        told = {}
        for name, one in made.items():
            try:
                told[name] = one(candidate)
            except Blocked as blocked:
                told[name] = str(blocked)
            except Unfit as unfit:
                told[name] = "; to do: ".join([unfit.reason, "\n".join([unfit.remedy, *unfit.details])])
        return told if len(told) > 1 else next(iter(told.values()))

    return check


def entry(steps, more=""):
    return f'[[tests]]\nname = "it"\nsteps = [{steps}]\n{more}\n'


def test_steps_are_made_in_one_instance(checked):
    steps = """
      { call = "add", args = [1], returns = 250 },
      { call = "add", args = [2], returns = 350 },
      { call = "clear" },
      { call = "add", args = [2], returns = 100, max_fuel = 50 },
    """
    assert checked(PRICES + entry(steps)).startswith("4 steps, the last returned 100; fuel ")


def test_a_wrong_result_names_its_step(checked):
    steps = '{ call = "add", args = [1] }, { call = "add", args = [2], returns = 100 }'
    told = checked(PRICES + entry(steps))
    assert told.startswith("step 2 of 2: add(2) returned 350, expected 100; to do: correct the component, or the entry")


def test_an_entry_that_has_to_return_is_told_what_to_do_about_the_end_that_it_had(checked):
    alone = '[[tests]]\nname = "it"\ncall = "boom"\n'
    told = checked(PRICES + alone + 'verdict = "ok"')
    assert "expected the verdict ok; to do: look at the first guest frame of your own code" in told
    assert "to do: correct the component, or the entry" in checked(PRICES + alone + 'verdict = "out-of-fuel"')


def test_a_step_without_an_expectation_has_to_return(checked):
    told = checked(PRICES + entry('{ call = "boom" }'))
    assert told.startswith("boom() ended with trap (unreachable); expected that it returns")


def test_the_last_step_may_be_expected_to_trap(checked):
    assert "2 steps" in checked(PRICES + entry('{ call = "clear" }, { call = "boom", trap = "unreachable" }'))


def test_a_failure_names_its_repetition(checked):
    steps = '{ call = "add", args = [1] }, { call = "add", args = [1], max_fuel = 1 }'
    told = checked(PRICES + entry(steps, "repeat = 3"))
    assert told.startswith("step 2 of 2: add(1) used ")
    assert ", in repetition 1 of 3; to do" in told
    told = checked(PRICES + '[[tests]]\nname = "it"\ncall = "add"\nargs = [1]\nreturns = 250\nrepeat = 3\n')
    assert told.startswith("add(1) returned 500, expected 250, in repetition 2 of 3; to do")


def test_a_leak_of_7_kb_a_call_is_found_by_repetition(checked):
    calls = '[[tests]]\nname = "it"\ncall = "leak"\nargs = [7168]\nreturns = {}\n'
    assert checked(PRICES + calls + "repeat = 100\n").startswith("100 repetitions of 1 step; memory grew by 640 KiB")
    told = checked(PRICES + calls + "repeat = 200\nmax_growth = 0\n")
    assert told.startswith(
        "leak(7168) added 64 KiB of memory, 64 KiB since the first repetition, max_growth is 0 B, "
        "in repetition 10 of 200; to do: free what each repetition allocates (the memory of the instance is 128 KiB now)"
    )
    assert checked(PRICES + calls.replace("7168", "0") + "repeat = 200\nmax_growth = 0\n").startswith("200 repetitions")
    assert "memory grew by 64 KiB" in checked(PRICES + calls + "repeat = 12\nmax_growth = '64 KiB'\n")


def test_memory_that_the_first_repetition_takes_is_not_a_leak(checked):
    first = SHOP.replace(
        '(func (export "clear")',
        '(func (export "warm") (if (i32.eq (memory.size) (i32.const 1)) (then (drop (memory.grow (i32.const 2))))))\n(func (export "clear")',
    )
    assert "memory did not grow" in checked(PRICES + entry('{ call = "warm" }', "repeat = 5\nmax_growth = 0"), first)


def test_denied_growths_are_shown_and_can_be_judged(checked):
    text = PRICES + entry('{ call = "leak", args = [1048577] }', "repeat = 20")
    assert checked(text).endswith("; the memory limit refused 5 growths")
    told = checked(text + "max_denied_growths = 4\n")
    assert told.startswith("the memory limit refused 5 growths, max_denied_growths is 4; to do: use less memory")
    assert "refused" in checked(text + "max_denied_growths = 5\n")


def test_a_stub_answers_by_arguments_or_with_its_default(checked):
    told = checked(
        PRICES + entry('{ call = "add", args = [1], returns = 250 }, { call = "add", args = [9], returns = 350 }')
    )
    assert told.startswith("2 steps")


def test_a_wrong_result_shows_what_the_stubs_answered_in_that_call(checked):
    steps = '{ call = "add", args = [2] }, { call = "add", args = [1], returns = 300 }'
    told = checked(PRICES + entry(steps))
    assert told == (
        "step 2 of 2: add(1) returned 350, expected 300; to do: correct the component, or the entry\n"
        "the stubs answered:\n  shop#price(1) = 250"
    )


def test_a_stub_that_fails_ends_with_host_error(checked):
    told = checked(PRICES + entry('{ call = "add", args = [7] }'))
    assert "add(7) ended with host-error: the host function shop#price raised StubFailed: no such item" in told
    assert "to do: handle the failure of the import, or expect it: verdict = 'host-error'" in told
    assert "host-error" in checked(PRICES + entry('{ call = "add", args = [7], verdict = "host-error" }'))


def test_a_call_for_which_there_is_no_answer_is_printed(checked):
    text = PRICES.replace("returns = 100\n", "") + entry('{ call = "add", args = [3] }')
    told = checked(text)
    assert "add(3) ended with host-error" in told
    assert "the stub has no answer for shop#price(3)" in told
    assert "to do: write the answer into the [[imports]] of this name" in told


def test_calls_of_a_stub_are_counted_in_each_repetition(checked):
    steps = '{ call = "add", args = [1] }, { call = "add", args = [2] }'
    counting = PRICES.replace("returns = 100", "returns = 100\ncalls = 2")
    assert checked(counting + entry(steps, "repeat = 3")).startswith("3 repetitions of 2 steps")
    told = checked(counting + entry(steps.partition(",")[0] + ", args = [1] }", "repeat = 3"))
    assert told.startswith("the import shop#price was called 1 time, calls is 2, in repetition 1 of 3; to do: ")


def test_stubs_of_an_entry_come_before_those_of_the_manifest(checked):
    own = "[[tests.imports]]\nname = 'shop#price'\nreturns = 5\ncalls = 1\n"
    steps = '{ call = "add", args = [1], returns = 5 }'
    assert checked(PRICES + entry(steps, own)).startswith("returned 5")


def test_a_function_registered_in_python_wins_over_a_stub_and_the_check_says_so(checked):
    host = HostFunctions()
    host.register("shop#price", lambda number: 3)
    steps = '{ call = "add", args = [1], returns = 3 }'
    told = checked(PRICES + entry(steps), host=host, checks=("imports",))
    said = "; a function registered in Python serves shop#price, not the stub"
    assert told["imports"] == f"2 imports, all provided{said}"
    assert told["it"].endswith(said)


@pytest.mark.parametrize(
    ("stub", "said"),
    [
        ("name = 'shop#prize'", "names shop#prize, which it does not import; to do: did you mean shop#price?"),
        ("name = 'shop#log'\nreturns = 3", "shop#log: the function has no result, got 3; to do: leave out returns"),
        ("name = 'shop#price'\nwhen = [{ args = [], returns = 3 }]", "when 1: it takes 1 argument, got 0"),
        ("name = 'shop#price'\nwhen = [{ args = [1] }]", "when 1: it says neither returns nor fails"),
        (
            "name = 'shop#price'\nreturns = 'dear'",
            "[[imports]] shop#price: returns: value[0]: expected i32, got 'dear'; to do: write a value of type i32, "
            "such as returns = 0",
        ),
        ("name = 'shop#price'\nwhen = [{ args = [1], returns = 2.5 }]", "shop#price, when 1: returns: "),
        (
            "name = 'shop#price'\nreturns = 1\nwhen = [{ args = [2], returns = 2 }, { args = ['one'], returns = 3 }]",
            "[[imports]] shop#price, when 2: argument 1: value[0]: expected i32, got 'one'; to do: write a value of "
            "type i32, such as 0",
        ),
    ],
)
def test_a_stub_that_does_not_fit_the_guest_fails_the_check_imports_and_blocks_entries(checked, stub, said):
    told = checked(f"[[imports]]\n{stub}\n" + entry('{ call = "clear" }'), checks=("imports",))
    assert said in told["imports"]
    assert told["it"].startswith("not checked, because imports fails: [[imports]]")


def test_deterministic_makes_the_steps_under_their_stubs(checked):
    told = checked(
        PRICES + entry('{ call = "add", args = [1] }, { call = "add", args = [2] }'), checks=("deterministic",)
    )
    assert told["deterministic"] == "1 call and the instantiation, 4 times each"


INVENTORY = ROOT / "fixtures" / "guests" / "inventory" / "inventory.wasm"
SHELF = "demo:inventory/stock@1.0.0#"
ITEM = '{ sku = "a", price = 1.5, quantity = 2 }'
SHELVES = f"""
  {{ call = "{SHELF}[constructor]shelf", args = ["left"], save = "left" }},
  {{ call = "{SHELF}[constructor]shelf", args = ["right"], save = "right" }},
  {{ call = "{SHELF}[method]shelf.label", args = [{{ saved = "left" }}], returns = "left" }},
  {{ call = "{SHELF}[static]shelf.standing", returns = 2 }},
"""


def test_resources_go_from_step_to_step_and_are_dropped_after_each_repetition(checked):
    told = checked(entry(SHELVES, "repeat = 40\nmax_growth = 0").replace("1 MiB", "4 MiB"), INVENTORY)
    assert told.startswith("40 repetitions of 4 steps"), told


def test_a_resource_that_a_step_gives_away_is_not_dropped_again(checked):
    merge = f"""{SHELVES}
      {{ call = "{SHELF}[static]shelf.merge", args = [{{ saved = "left" }}, {{ saved = "right" }}], save = "both" }},
      {{ call = "{SHELF}[static]shelf.standing", returns = 1 }},"""
    assert checked(entry(merge, "repeat = 3"), INVENTORY).startswith("3 repetitions of 6 steps")


def test_a_result_with_a_resource_cannot_be_stated_in_toml(checked):
    told = checked(entry(f'{{ call = "{SHELF}[constructor]shelf", args = ["a"], returns = "a" }}'), INVENTORY)
    assert "returned <resource shelf>, whose resources cannot be written in TOML; to do: leave out returns" in told


def test_a_saved_value_of_another_type_is_told(checked):
    steps = f"""{{ call = "{SHELF}[static]shelf.standing", save = "n" }},
      {{ call = "{SHELF}[method]shelf.label", args = [{{ saved = "n" }}] }}"""
    told = checked(entry(steps), INVENTORY)
    assert told.startswith(f"{SHELF}[method]shelf.label cannot be called: ")


FAULTY = """(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "shop" "price" (func $price (param i32) (result i32)))
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 0))
  (func (export "crash") (param i32) (result i32)
    (if (i32.eq (local.get 0) (i32.const 13)) (then unreachable)) (local.get 0))
  (func (export "double") (param i32) (result i32) (i32.add (local.get 0) (i32.const 2)))
  (func (export "now") (result i64) (drop (call $clock (i32.const 1) (i64.const 1) (i32.const 0))) (i64.load (i32.const 0)))
  (func (export "search") (param i32) (result i32) (local $n i32)
    (local.set $n (i32.mul (local.get 0) (local.get 0)))
    (loop (local.set $n (i32.sub (local.get $n) (i32.const 1))) (br_if 0 (i32.gt_s (local.get $n) (i32.const 0))))
    (local.get 0))
  (func (export "keep") (global.set $heap (i32.add (global.get $heap) (i32.const 7168)))
    (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536))) (then (drop (memory.grow (i32.const 1))))))
  (func (export "cost") (param i32) (result i32) (i32.div_u (i32.const 1000) (call $price (local.get 0)))))"""
FAULTS = """
[wasi]
[[imports]]
name = "shop#price"
when = [{ args = [1], returns = 4 }, { args = [2], returns = 0 }]
[[tests]]
name = "crash on one input"
call = "crash"
args = [13]
returns = 13
[[tests]]
name = "wrong result"
call = "double"
args = [5]
returns = 10
[[tests]]
name = "clock"
call = "now"
verdict = "ok"
[[tests]]
name = "slow path"
call = "search"
args = [50]
verdict = "ok"
max_fuel = 1_000
[[tests]]
name = "leak"
call = "keep"
verdict = "ok"
repeat = 200
max_growth = 0
[[tests]]
name = "import that answers wrongly"
steps = [{ call = "cost", args = [1], returns = 250 }, { call = "cost", args = [2] }]
"""


@pytest.mark.slow
def test_each_planted_fault_is_named_by_a_sentence_without_python(checked):
    told = checked(FAULTS, FAULTY, checks=("instantiates", "deterministic"))
    assert told["crash on one input"].startswith("crash(13) ended with trap (unreachable); expected 13; to do: ")
    assert told["wrong result"].startswith("double(5) returned 7, expected 10; to do: ")
    assert told["deterministic"].startswith("now() returned ")
    assert "it imports clocks from WASI; to do: take time as arguments" in told["deterministic"]
    assert " fuel, max_fuel is 1,000; to do: make the call cheaper" in told["slow path"]
    assert "keep() added 64 KiB of memory" in told["leak"]
    assert ", in repetition 10 of 200; to do: free what each repetition allocates" in told["leak"]
    assert told["import that answers wrongly"].startswith(
        "step 2 of 2: cost(2) ended with trap (integer-division-by-zero); expected that it returns; to do: "
    )
