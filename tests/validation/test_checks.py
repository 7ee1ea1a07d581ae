"""A planted fault fails the one check that should catch it, and says what is wrong."""

from __future__ import annotations

from functools import partial

import pytest

from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.manifest.loading import load_manifest
from pytest_airssys_wasm.validation.calls import check_entry
from pytest_airssys_wasm.validation.candidate import Candidate
from pytest_airssys_wasm.validation.checks import CHECKS
from pytest_airssys_wasm.validation.unfit import Blocked, Unfit
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
def validate(engine, tmp_path, host):
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
        checks = {name: (check, ()) for name, check in CHECKS.items()}
        checks |= {f"tests[{test.name}]": (check_entry, (test,)) for test in manifest.tests}
        for name, (check, more) in checks.items():
            try:
                notes[name] = check(candidate, *more)
            except Unfit as unfit:
                assert unfit.remedy
                failures[name] = unfit.reason
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


def test_a_missing_binary_fails_loads(validate):
    name, told = the_failure(validate(guest=None))
    assert name == "loads"
    assert "there is no file" in told
