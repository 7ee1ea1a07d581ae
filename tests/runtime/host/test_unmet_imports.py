"""Imports that cannot be linked are refused before anything runs, with what each has and what it would need."""

from __future__ import annotations

from functools import wraps

import pytest

from pytest_airssys_wasm.runtime.binary.types import CoreFunction
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import LinkError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.host.library import ReferenceFunctions

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
MISFIT = '(module (import "env" "f" (func (param i32 i32))) {} (func (export "g")))'
FAILURE = '(variant (case "not-granted") (case "not-found") (case "too-large" u64) (case "failed" string))'


def refused(engine, guest, host):
    with pytest.raises(LinkError) as caught:
        engine.execute(engine.load(guest), "g", limits=LIMITS, host=host)
    assert caught.value.usage is None  # nothing has run
    return caught.value


def serving(name, function):
    host = HostFunctions()
    host.register(name, function)
    return host


def test_a_function_with_another_signature_is_not_called_missing(engine):
    error = refused(engine, MISFIT.format(""), serving("env#f", lambda only: None))
    assert error.imports == ("env#f",)
    assert str(error) == (
        "<module <text>> imports functions whose signatures differ from those of the registered functions:\n"
        "  env#f: (func (param i32 i32)) (the registered function takes (only))"
    )


def test_what_is_missing_and_what_does_not_fit_are_told_apart(engine):
    error = refused(engine, MISFIT.format('(import "env" "h" (func))'), serving("env#f", lambda only: None))
    assert error.imports == ("env#f", "env#h")
    missing, misfits = str(error).split("\n<module <text>> ")
    assert missing == "<module <text>> needs imports that are not provided:\n  env#h: (func)"
    assert misfits.startswith("imports functions whose signatures differ")


def test_wasi_that_is_not_granted_takes_a_line_for_each_interface(engine):
    wasi = """(import "wasi_snapshot_preview1" "fd_close" (func (param i32) (result i32)))
      (import "wasi_snapshot_preview1" "sched_yield" (func (result i32)))"""
    error = refused(engine, f'(module {wasi} (import "env" "h" (func)))', HostFunctions())
    assert str(error).splitlines()[1:] == [
        "  wasi_snapshot_preview1: fd_close, sched_yield "
        "(WASI is not granted: wasi=Wasi() in Python, [wasi] in Component.toml)",
        "  env#h: (func)",
    ]


@pytest.mark.parametrize(
    ("name", "params", "result", "type_"),
    [
        ("sleep", '(param "ms" u32)', "", "func(ms: u32) -> result<_, variant {"),
        ("sleep", '(param "ms" u32)', "(result (result))", "func(ms: u32) -> result<_, variant {"),
        ("sleep", '(param "ms" u64)', "(result (result (error $failure)))", "func(ms: u32) -> result<_, variant {"),
        ("read-file", '(param "path" string)', "(result string)", "func(path: string) -> result<list<u8>, variant {"),
        ("http-get", '(param "url" string)', "(result u16)", "func(url: string) -> result<record {"),
    ],
)
@pytest.mark.parametrize("may_sleep", [True, False])
def test_a_reference_function_imported_with_another_type_is_refused_with_the_right_one(
    engine, name, params, result, type_, may_sleep
):
    host = HostFunctions()
    ReferenceFunctions(sleep=may_sleep).register(host)
    guest = f"""(component
      (type $f {FAILURE}) (import "failure" (type $failure (eq $f)))
      (import "{name}" (func {params} {result})))"""
    error = refused(engine, guest, host)
    assert error.imports == (name,)
    assert f"the registered function serves only {type_}" in str(error)


def test_a_module_cannot_import_a_reference_function(engine):
    host = HostFunctions()
    ReferenceFunctions().register(host, "env")
    error = refused(engine, '(module (import "env" "sleep" (func (param i32))) (func (export "g")))', host)
    assert "env#sleep: (func (param i32)) (the registered function serves only func(ms: u32) -> result<_, " in str(
        error
    )


def test_the_names_of_parameters_are_the_guests_to_choose(engine):
    host = HostFunctions()
    ReferenceFunctions().register(host)
    guest = f"""(component
      (type $f {FAILURE}) (import "failure" (type $failure (eq $f)))
      (import "sleep" (func (param "milliseconds" u32) (result (result (error $failure)))))
      (core module $m (func (export "g"))) (core instance $i (instantiate $m))
      (func (export "g") (canon lift (core func $i "g"))))"""
    assert engine.execute(engine.load(guest), "g", limits=LIMITS, host=host).value is None


def test_another_function_of_that_name_has_types_of_its_own(engine):
    host = HostFunctions()
    ReferenceFunctions().register(host, "env")
    host.register("env#sleep", lambda ms: None)
    guest = '(module (import "env" "sleep" (func (param i32))) (func (export "g")))'
    assert engine.execute(engine.load(guest), "g", limits=LIMITS, host=host).value is None


@pytest.mark.parametrize(("registered", "is_similar"), [("now", False), ("counters", True)])
def test_a_name_is_similar_only_if_it_ends_similarly(engine, registered, is_similar):
    interface = "demo:long-names/measurements@1.0.0"
    guest = f'(component (import "{interface}" (instance (export "counter" (type (sub resource))))))'
    error = refused(engine, guest, serving(f"{interface}#{registered}", lambda: 1))
    assert (f"a similar name is registered: {interface}#{registered}" in str(error)) is is_similar


def wrapping(function):
    @wraps(function)
    def wrapped(*args):
        return function(*args)

    return wrapped


class Unknown:
    """A callable whose signature nobody can tell."""

    @property
    def __signature__(self):
        raise ValueError

    def __call__(self, one, other): ...


@pytest.mark.parametrize(
    ("function", "does_take_two"),
    [
        (lambda a, b: None, True),
        (lambda a, b=1, *more: None, True),
        (lambda a, b, /, *, known=1: None, True),
        (lambda *args: None, True),
        (lambda a, b, c=1: None, True),
        (lambda a=1, b=2, c=3: None, True),
        (lambda a, b, *, needed: None, False),
        (lambda a: None, False),
        (lambda a, b, c: None, False),
        (wrapping(lambda a, b: None), True),
        (wrapping(lambda a: None), False),
        (wraps(lambda a: None)(lambda a, b: None), True),  # whatever it says of itself
        (print, True),
        (Unknown(), True),  # as some callables in C
    ],
)
def test_a_host_function_that_takes_the_arguments_fits(function, does_take_two):
    assert (serving("env#f", function).misfit("env", "f", CoreFunction(("i32", "i32"), ())) is None) is does_take_two
