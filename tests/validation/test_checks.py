"""A planted fault fails the one check that should catch it, and says what is wrong."""

from __future__ import annotations

from functools import partial
from itertools import count

import pytest

from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.errors import ComponentTrapped, OutOfFuel, WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.loading import load_manifest
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.checks import CHECKS
from pytest_airssys_wasm.validation.steps import check_entry
from pytest_airssys_wasm.validation.unfit import Blocked, Unfit, remedy
from support.validated_guest import GUEST, HEAD, SOUND, entry

RANDOM = """(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "roll") (result i64) (drop (call $random (i32.const 0) (i32.const 8))) (i64.load (i32.const 0))))"""


@pytest.fixture
def host():
    """The function that the guest imports."""
    host = HostFunctions()
    host.register("env#log", lambda number: None)
    return host


@pytest.fixture
def faults():
    """Return the failures of the last validation, by the name of the check, with details and remedy."""
    return {}


@pytest.fixture
def validate(engine, tmp_path, host, faults):
    """Return the notes of all checks and entries, and the reasons of those that fail, each by its name."""

    def run(manifest_text=HEAD + SOUND, guest=GUEST, host=host):
        (tmp_path / "Component.toml").write_text(manifest_text, "utf-8")
        if guest is not None:
            (tmp_path / "guest.wat").write_text(guest, "utf-8")
        manifest = load_manifest(tmp_path / "Component.toml")
        candidate = Candidate(
            engine=engine,
            wasm=manifest.wasm,
            loader=partial(engine.load, manifest.wasm, manifest=manifest),
            manifest=manifest,
            declared_limits=manifest.limits(),
            host=host,
            wasi=manifest.wasi,
        )
        notes, failures = {}, {}
        faults.clear()
        checks = {name: (check, ()) for name, check in CHECKS.items()}
        checks |= {f"tests[{test.name}]": (check_entry, (test,)) for test in manifest.tests}
        for name, (check, more) in checks.items():
            try:
                notes[name] = check(candidate, *more)
            except Unfit as unfit:
                assert unfit.remedy
                failures[name] = unfit.reason
                faults[name] = unfit
            except Blocked as blocked:
                assert blocked.check not in notes
        return notes, failures

    return run


def the_failure(validated):
    _, failures = validated
    assert len(failures) == 1, failures
    return next(iter(failures.items()))


def test_a_sound_component_passes_every_check_and_its_own_tests(validate):
    notes, failures = validate()
    assert failures == {}
    assert [*notes] == [*CHECKS, "tests[halves]", "tests[answers]"]
    assert "memory 1,048,576 bytes" in notes["manifest"]
    assert "131,072 of 1,048,576" in notes["limits"]
    assert notes["tests[answers]"].startswith("returned 42; fuel ")


@pytest.mark.parametrize(
    ("outcome", "args", "reason"),
    [
        ("returns = 6", "[13]", "half(13) ended with trap (unreachable); expected 6"),
        (
            "returns = 7",
            "[14]",
            "half(14) ended with out-of-memory: the memory limit of 1,048,576 bytes refused 1 growth",
        ),
        ("returns = 7", "[15]", "half(15) ended with out-of-fuel: the fuel budget of 100,000 was spent; expected 7"),
        ("returns = 5", "[8]", "half(8) returned 4, expected 5"),
        ("returns = 4\nmax_fuel = 3", "[8]", "fuel, max_fuel is 3"),
        ("verdict = 'trap'", "[8]", "half(8) returned 4; expected the verdict trap"),
        ("trap = 'integer-overflow'", "[13]", "trap (unreachable); expected the verdict trap (integer-overflow)"),
        ("returns = 4", "[8, 8]", "half takes 1 argument, got 2"),
        ("returns = 4", "['eight']", "expected i32, got 'eight'"),
        ("returns = 'four'", "[8]", "returns does not fit the result of half: value[0]: expected i32, got 'four'"),
    ],
)
def test_a_call_with_another_outcome_fails_its_own_entry_with_the_call_and_its_outcome(validate, outcome, args, reason):
    name, told = the_failure(validate(HEAD + SOUND + entry("the one", "half", outcome, args)))
    assert name == "tests[the one]"
    assert reason in told


@pytest.mark.parametrize(
    ("outcome", "args"),
    [
        ("verdict = 'trap'", "[13]"),
        ("trap = 'unreachable'", "[13]"),
        ("verdict = 'out-of-memory'", "[14]"),
        ("verdict = 'out-of-fuel'", "[15]"),
        ("verdict = 'ok'", "[8]"),
    ],
)
def test_an_expected_verdict_passes(validate, outcome, args):
    notes, failures = validate(HEAD + entry("one", "half", outcome, args))
    assert failures == {}
    assert len(notes) == len(CHECKS) + 1


def test_an_unknown_export_names_the_near_one(validate):
    name, told = the_failure(validate(HEAD + entry("one", "halve", "returns = 1")))
    assert name == "tests[one]"
    assert told == "<module guest.wat> has no export 'halve'; did you mean 'half'?"


def test_an_import_that_nothing_provides_is_named_with_its_type_and_blocks_the_rest(validate):
    notes, failures = validate(host=HostFunctions())
    assert [*failures] == ["imports"]
    assert "env#log: (func (param i32))" in failures["imports"]
    assert [*notes] == ["manifest", "loads", "limits"]


def test_an_import_with_another_signature_is_not_called_missing(validate):
    other = HostFunctions()
    other.register("env#log", lambda number, more: None)
    name, told = the_failure(validate(host=other))
    assert name == "imports"
    assert told == (
        "another signature is registered for 1 import: "
        "env#log: (func (param i32)) (the registered function takes (number, more))"
    )


def test_wasi_that_is_not_granted_fails_imports(validate):
    name, told = the_failure(validate(HEAD, RANDOM))
    assert name == "imports"
    assert "it imports WASI, which is not granted: wasi_snapshot_preview1" in told


def test_random_numbers_fail_deterministic(validate):
    name, told = the_failure(validate(HEAD + "[wasi]\n", RANDOM))
    assert name == "deterministic"
    assert told.startswith("roll() returned ")
    assert "it imports random numbers from WASI" in told


@pytest.mark.parametrize(
    ("change", "check", "reason"),
    [
        ((") 2)", ") 20)"), "limits", "1,280 KiB of initial memory (1 memory), the limit is 1 MiB"),
        (('(memory (export "memory") 2)', "(memory 2) (table 30000 funcref)"), "limits", "a table of 30,000 elements"),
        (
            ("i32.const 42)", "i32.const 42) (start $go) (func $go (loop br 0))"),
            "instantiates",
            "ended with out-of-fuel",
        ),
        (("i32.const 42)", "i32.const 42) (start $go) (func $go unreachable)"), "instantiates", "ended with trap"),
        (("i32.const 42)", "i64.const 42)"), "loads", "it is not a valid component or module"),
    ],
    ids=["memory", "table", "endless start", "trapping start", "invalid"],
)
def test_a_guest_that_cannot_start_fails_the_check_that_says_why(validate, change, check, reason):
    name, told = the_failure(validate(guest=GUEST.replace(*change)))
    assert name == check
    assert reason in told


def test_a_text_that_is_not_valid_is_quoted_in_lines_with_the_name_of_its_file(validate, faults):
    name, told = the_failure(validate(guest='(module\n  (func (export "half") (result i32))))'))
    assert (name, told) == (
        "loads",
        "it is not a valid component or module: guest.wat: not valid WebAssembly text: extra tokens remaining after parse",
    )
    assert faults["loads"].details == (
        "     --> guest.wat:2:39",
        "      |",
        '    2 |   (func (export "half") (result i32))))',
        "      |                                       ^",
    )
    assert faults["loads"].remedy == "correct the text, and check it with `wasm-tools validate`"


def test_what_wasmtime_says_about_a_truncated_binary_is_told_in_lines(validate, faults):
    text = r'(component binary "\00asm\0d\00\01\00\01\7f")'
    _, told = the_failure(validate(guest=text))
    assert told == "it is not a valid component or module: guest.wat: failed to parse WebAssembly module"
    assert faults["loads"].details[:2] == ("", "Caused by:")
    assert faults["loads"].details[-1].strip()


def test_a_missing_binary_fails_loads(validate):
    name, told = the_failure(validate(guest=None))
    assert name == "loads"
    assert "there is no file" in told


LABELS = """(component
  (core module $m (func (export "f") (result i32) i32.const 5))
  (core instance $i (instantiate $m))
  (func $f (result u32) (canon lift (core func $i "f")))
  (instance $api (export "label" (func $f)) (export "a1" (func $f)) (export "b2" (func $f)) (export "c3" (func $f))
    (export "d4" (func $f)) (export "e5" (func $f)))
  (export "demo:shop/api@1.0.0" (instance $api)))"""


MINIFY = """(component
  (core module $m (memory (export "memory") 1) (func (export "f") (result i32) i32.const 0) (func (export "g")))
  (core instance $i (instantiate $m))
  (func (export "minify") (result (result u32 (error string)))
    (canon lift (core func $i "f") (memory (core memory $i "memory"))))
  (func (export "clear") (canon lift (core func $i "g"))))"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "returns", "reason", "advice"),
    [
        (
            "minify",
            "'[1]'",
            "returns does not fit the result of minify: expected Ok(…) or Err(…) for result<u32, string>, got '[1]'",
            "write a value of type result<u32, string>, such as returns = { ok = 0 }",
        ),
        (
            "minify",
            "{ ok = 'one' }",
            "returns does not fit the result of minify: .ok: expected u32, got 'one'",
            "such as returns = { ok = 0 }",
        ),
        ("clear", "1", "clear has no result, got returns = 1", "write verdict = 'ok' instead of returns"),
    ],
)
def test_returns_that_does_not_fit_the_type_of_the_result_is_told_with_what_to_write(
    validate, faults, call, returns, reason, advice
):
    _, told = the_failure(validate(HEAD + entry("one", call, f"returns = {returns}"), MINIFY))
    assert reason in told
    assert advice in faults["tests[one]"].remedy
    assert validate(HEAD + entry("one", "minify", "returns = { ok = 0 }"), MINIFY)[1] == {}
    assert validate(HEAD + entry("one", "clear", "returns = {}"), MINIFY)[1] == {}


@pytest.mark.parametrize("meant", ["label", "labels", "demo:shop/api#label", "demo:shop/api@1.0.1#label", "Label"])
def test_an_export_is_found_in_the_interface_that_has_it(validate, meant):
    name, told = the_failure(validate(HEAD + entry("one", meant, "returns = 5"), LABELS))
    assert name == "tests[one]"
    assert "did you mean 'demo:shop/api@1.0.0#label'" in told
    assert "#c3" not in told


@pytest.mark.slow
def test_an_export_is_found_in_every_interface_that_has_it(validate):
    several = LABELS.replace(
        '(export "demo:shop/api@1.0.0" (instance $api))',
        '(export "demo:shop/api@1.0.0" (instance $api)) (export "demo:shop/old@1.0.0" (instance $api))',
    )
    _, told = the_failure(validate(HEAD + entry("one", "label", "returns = 5"), several))
    assert told.endswith("; did you mean 'demo:shop/api@1.0.0#label' or 'demo:shop/old@1.0.0#label'?")


def test_names_that_nobody_can_have_meant_are_only_listed(validate):
    _, told = the_failure(validate(HEAD + entry("one", "zzz", "returns = 5"), LABELS))
    assert "did you mean" not in told
    assert told.endswith("'demo:shop/api@1.0.0#e5' and 1 more")


def test_missing_imports_are_grouped_by_what_is_to_be_done(validate, faults):
    fields = " ".join(f'(field "field-number-{number}" (list string))' for number in range(12))
    own = " ".join(f'(export "price-{n}" (func (param "item" $i) (result u32)))' for n in range(5))
    _, failures = validate(
        HEAD,
        f"""(component
          (import "wasi:cli/environment@0.2.0" (instance
            (export "get-environment" (func (result (list (tuple string string)))))
            (export "get-arguments" (func (result (list string))))))
          (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u64)))))
          (import "demo:shop/prices@1.0.0" (instance
            (type $r (record {fields})) (export "item" (type $i (eq $r))) {own})))""",
    )
    fault = faults["imports"]
    assert len(failures["imports"]) < 400
    assert "WASI, which is not granted: wasi:cli/environment@0.2.0, wasi:random/random@0.2.0" in failures["imports"]
    assert "nothing provides 5 imports: demo:shop/prices@1.0.0#price-0" in failures["imports"]
    assert "  wasi:cli/environment@0.2.0: get-environment, get-arguments" in fault.details
    assert "  demo:shop/prices@1.0.0#price-4: func(item: record {…}) -> u32" in fault.details
    assert "an empty one links WASI" in fault.remedy
    assert "host.register('demo:shop/prices@1.0.0#price-0', function)" in fault.remedy


def test_misfits_and_missing_imports_are_both_told(validate, faults):
    guest = GUEST.replace('(import "env" "log"', '(import "env" "more" (func)) (import "env" "log"')
    host = HostFunctions()
    host.register("env#log", lambda number, more: None)
    _, failures = validate(guest=guest, host=host)
    assert "nothing provides 1 import: env#more: (func)" in failures["imports"]
    assert "another signature is registered for 1 import: env#log" in failures["imports"]


def test_deterministic_names_every_difference(validate, faults):
    twice = RANDOM.replace(
        '(func (export "roll")', '(func (export "roll-2") (result i64) (call $roll))\n(func $roll (export "roll")'
    )
    name, told = the_failure(validate(HEAD + "[wasi]\n", twice))
    assert name == "deterministic"
    assert "(and 1 more difference)" in told
    (also,) = faults["deterministic"].details
    assert {told[:6], also.removeprefix("also: ")[:6]} == {"roll()", "roll-2"}
    assert (
        faults["deterministic"].remedy == "take randomness as arguments, not from imports; give hash maps a fixed seed"
    )


def test_output_alone_may_differ_and_a_guest_without_wasi_is_told_to_look_at_its_host_functions(validate, faults):
    writing = RANDOM.replace(
        "(memory",
        """(import "wasi_snapshot_preview1" "fd_write"
        (func $write (param i32 i32 i32 i32) (result i32))) (memory""",
    ).replace(
        "(i64.load (i32.const 0))",
        """(i32.store (i32.const 16) (i32.const 0)) (i32.store (i32.const 20) (i32.const 8))
        (drop (call $write (i32.const 1) (i32.const 16) (i32.const 1) (i32.const 24))) (i64.const 1)""",
    )
    name, told = the_failure(validate(HEAD + "[wasi]\n", writing))
    assert (name, told[:13]) == ("deterministic", "roll() wrote ")
    host, numbers = HostFunctions(), count()
    host.register("env#next", lambda: next(numbers))
    asking = '(module (import "env" "next" (func $f (result i32))) (func (export "f") (result i32) (call $f)))'
    name, told = the_failure(validate(HEAD, asking, host))
    assert (name, told) == ("deterministic", "f() returned 0, and in a fresh store 1")
    assert faults[name].remedy == "the host functions that it imports must return the same each time"


@pytest.mark.slow
def test_calls_that_end_by_the_clock_are_not_said_to_be_compared(validate):
    endless = GUEST.replace('(func (export "half")', '(func (export "spin") (loop br 0))\n(func (export "half")')
    head = HEAD.replace("max_fuel = 100_000", "max_fuel = 10_000_000_000_000").replace("20_000", "100")
    notes, _ = validate(head + entry("spins", "spin", "verdict = 'timeout'"), guest=endless)
    assert notes["deterministic"].endswith("; 1 call not compared, because of timeouts")


@pytest.mark.parametrize(
    ("origin", "said"),
    [
        ("--wasm-fuel", "raise the limit, which comes from --wasm-fuel"),
        ("max_fuel of Component.toml", "raise max_fuel under [resources.cpu]"),
        ("the built-in default", "write max_fuel under [resources.cpu] (the limit is the built-in default)"),
        ("the ceiling wasm_max_fuel of the ini file", "raise the limit, which comes from the ceiling wasm_max_fuel"),
    ],
)
def test_a_remedy_names_the_origin_of_the_limit(origin, said):
    assert said in remedy(OutOfFuel("the fuel budget of 1 was spent"), {"fuel": origin})


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.OK], ids=str)
def test_there_is_advice_for_every_verdict(verdict):
    error = WasmError("no")
    error.verdict = verdict
    assert len(remedy(error, {})) > 20
    assert "above" not in remedy(error, {})


def test_a_trap_of_a_guest_that_wrote_to_stderr_is_explained_there_and_not_by_its_frames():
    error = ComponentTrapped("wasm trap: unreachable", "unreachable")
    assert "the first guest frame of your own code" in remedy(error, {})
    error.stderr = b"thread panicked"
    assert remedy(error, {}) == "read what the guest wrote to stderr before it trapped"
