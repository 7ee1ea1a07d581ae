"""Errors are data: they can be pickled and copied, and stand for one outcome each."""

import copy
import pickle

import pytest

import pytest_airssys_wasm
from pytest_airssys_wasm import (
    ComponentTrapped,
    ExecutionTimeout,
    Frame,
    FuelMetrics,
    GuestExit,
    HostFunctionError,
    HostFunctions,
    InvalidComponent,
    InvalidConfiguration,
    LimitedStore,
    LinkError,
    Outcome,
    OutOfFuel,
    OutOfMemory,
    ProcessIsolation,
    ResourceLimitExceeded,
    ResourceLimits,
    RuntimeDied,
    UnfitHost,
    UnknownExport,
    Usage,
    Verdict,
    Wasi,
    WasmEngine,
    WasmError,
)
from pytest_airssys_wasm.runtime.errors import NOTHING, error_of, outcome_of
from pytest_airssys_wasm.runtime.store.repetition import repetition_of

LIMITS = ResourceLimits(memory="1 MiB", fuel=10_000, timeout_ms=10_000)

GUEST = r"""(module
  (import "env" "fail" (func $fail))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func (export "spins") (loop br 0))
  (func (export "traps") unreachable)
  (func (export "hoards") (if (i32.eq (memory.grow (i32.const 100)) (i32.const -1)) (then unreachable)))
  (func (export "leaves") (call $exit (i32.const 3)))
  (func (export "asks") (call $fail)))"""

HAND_MADE = [
    OutOfFuel("the fuel budget of 10 was spent"),
    ExecutionTimeout("the timeout of 100 ms ran out"),
    OutOfMemory("the memory limit refused"),
    ResourceLimitExceeded("too many tables", "tables"),
    ComponentTrapped("wasm trap: unreachable", "unreachable"),
    GuestExit("the guest exited with status 3", 3),
    HostFunctionError("the host function f raised ValueError: x"),
    RuntimeDied("it was killed by SIGKILL", "signal"),
    LinkError("f is missing", ["env#f"]),
    UnknownExport("there is no f"),
    InvalidComponent("not a component"),
    InvalidConfiguration("memory", NOTHING, "a size"),
    InvalidConfiguration("memory", lambda: 0, "a size"),
    UnfitHost("the address space", 2**31, "more"),
]


def copies(error):
    return [
        copy.copy(error),
        copy.deepcopy(error),
        *(pickle.loads(pickle.dumps(error, protocol)) for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1)),
    ]


def facts(error):
    """Everything that an error says."""
    call = error.call
    told = None if call is None else (call.component, call.path, call.export, dict(call.limits), call.nth, call.text)
    plain = {name: value for name, value in vars(error).items() if name not in ("call", "given")}
    return type(error), str(error).partition(" at 0x")[0], plain, told, outcome_of(error)


def test_every_class_of_errors_is_made_by_hand_here():
    public = {getattr(pytest_airssys_wasm, name) for name in pytest_airssys_wasm.__all__}
    errors = {one for one in public if isinstance(one, type) and issubclass(one, WasmError)}
    assert {type(one) for one in HAND_MADE} == errors - {WasmError}


@pytest.mark.parametrize("error", HAND_MADE, ids=lambda error: type(error).__name__)
def test_an_error_made_by_hand_can_be_pickled_and_copied(error):
    error.usage = Usage(
        fuel=FuelMetrics(max_fuel=10, consumed=10),
        wall_ms=1.5,
        peak_memory_bytes=0,
        memory_limit_bytes=0,
        denied_growths=0,
        host_calls=0,
        transfer_bytes=0,
    )
    error.frames = (Frame("f", None, 12),)
    error.stdout = b"hello"
    for same in copies(error):
        assert facts(same) == facts(error)


@pytest.fixture(scope="module", params=["thread", "process"])
def raising(request):
    """Make the guest raise, here or in another process."""
    engine = WasmEngine(isolation=ProcessIsolation() if request.param == "process" else None)
    guest = engine.load(GUEST)
    host = HostFunctions()

    @host.register("env#fail")
    def fail():
        raise ValueError("no")

    def end(function, limits=LIMITS):
        with pytest.raises(WasmError) as caught:
            engine.execute(guest, function, limits=limits, host=host, wasi=Wasi())
        return caught.value

    yield end
    engine.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "kind"),
    [
        ("spins", OutOfFuel),
        ("traps", ComponentTrapped),
        ("hoards", OutOfMemory),
        ("leaves", GuestExit),
        ("asks", HostFunctionError),
        ("nothing", UnknownExport),
    ],
)
def test_an_error_that_was_raised_can_be_pickled_and_copied(raising, function, kind):
    error = raising(function)
    assert type(error) is kind
    for same in copies(error):
        assert facts(same) == facts(error)
        assert repetition_of(same.call) is None
    assert (repetition_of(error.call) is None) == (error.call is None)


def test_a_timeout_that_was_raised_can_be_pickled_and_copied(raising):
    error = raising("spins", ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=20))
    assert isinstance(error, TimeoutError)
    for same in copies(error):
        assert facts(same) == facts(error)


def test_a_link_error_and_its_imports_survive():
    with WasmEngine() as engine, LimitedStore(engine, LIMITS) as store, pytest.raises(LinkError) as caught:
        store.instantiate(engine.load('(module (import "env" "f" (func)))'))
    for same in copies(caught.value):
        assert same.imports == ("env#f",)
        assert str(same) == str(caught.value)


def test_the_trap_behind_a_refused_growth_is_kept():
    error = OutOfMemory("refused")
    error.__cause__ = ComponentTrapped("wasm trap", "unreachable")
    for same in copies(error):
        assert (type(same.__cause__), same.__cause__.kind) == (ComponentTrapped, "unreachable")


def test_what_cannot_be_pickled_is_shown_in_the_copy():
    given = lambda: 0  # noqa: E731
    same = pickle.loads(pickle.dumps(InvalidConfiguration("memory", given, "a size")))
    assert repr(same.given) == repr(given)
    assert pickle.loads(pickle.dumps(InvalidConfiguration("memory", NOTHING, "a size"))).given is NOTHING


@pytest.mark.parametrize("error", HAND_MADE, ids=lambda error: type(error).__name__)
def test_an_outcome_stands_for_its_error(error):
    outcome = outcome_of(error)
    assert outcome.verdict is error.verdict
    if isinstance(error, InvalidConfiguration):
        with pytest.raises(ValueError, match="lacks"):
            error_of(outcome)
        return
    same = error_of(outcome)
    assert outcome_of(same) == outcome
    assert isinstance(error, type(same))
    assert str(same) == str(error)


def test_ok_is_no_error_and_what_is_incomplete_is_refused():
    assert outcome_of(None) == Outcome(verdict=Verdict.OK)
    assert error_of(Outcome(verdict=Verdict.OK)) is None
    for verdict in (Verdict.TRAP, Verdict.RESOURCE_LIMIT, Verdict.EXIT, Verdict.RUNTIME_DIED):
        with pytest.raises(ValueError, match=f"{verdict} lacks"):
            error_of(Outcome(verdict=verdict, message="x"))


def test_public_errors_and_warnings_are_shown_under_the_names_by_which_they_are_imported():
    public = (getattr(pytest_airssys_wasm, name) for name in pytest_airssys_wasm.__all__)
    raised = [one for one in public if isinstance(one, type) and issubclass(one, BaseException)]
    assert {one.__module__ for one in raised} == {"pytest_airssys_wasm"}
    assert len(raised) > 10


def test_errors_are_what_python_calls_them():
    with pytest.raises(ValueError, match="expected"):
        ResourceLimits(memory=-1)
    assert issubclass(ExecutionTimeout, TimeoutError)
