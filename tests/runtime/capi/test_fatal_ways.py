"""Uses of wasmtime-py that kill or hang the process end in a clear error here. Each runs in a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import faulthandler, os, signal, sys, threading, time
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import *
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
engine = WasmEngine()
LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=10_000)
def host_of(function):
    host = HostFunctions()
    host.register("host", function)
    return host
CALLS = '''(component (import "host" (func $host))
  (core func $lowered (canon lower (func $host)))
  (core module $m (import "" "host" (func $host)) (func (export "run") call $host))
  (core instance $i (instantiate $m (with "" (instance (export "host" (func $lowered))))))
  (func (export "run") (canon lift (core func $i "run"))))'''
ECHO_CHAR = '''(component (core module $m (func (export "run") (param i32) (result i32) local.get 0))
  (core instance $i (instantiate $m))
  (func (export "run") (param "c" char) (result char) (canon lift (core func $i "run"))))'''
WASI = '''(component
  (import "wasi:cli/environment@0.2.0" (instance $env
    (export "initial-cwd" (func (result (option string))))))
  (core module $m (func (export "run")))
  (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))'''
DEEP = '''(component (core module $m (func $deep (export "run") call $deep)) (core instance $i (instantiate $m))
  (func (export "run") (canon lift (core func $i "run"))))'''
def show(function):
    try:
        print("value", function())
    except BaseException as error:
        print(type(error).__name__, error)
"""


def tried(script):
    """Return the output of a script in a process of its own, which must end by itself and well."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(script)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, (done.returncode, done.stderr[-2_000:])
    assert "Traceback" not in done.stderr, done.stderr
    return done.stdout


@pytest.mark.slow
def test_a_wasi_import_without_a_grant():
    assert tried('show(lambda: engine.execute(engine.load(WASI), "run", limits=LIMITS))').startswith("LinkError")


@pytest.mark.slow
def test_a_lone_surrogate_as_char():
    assert tried(r'show(lambda: engine.execute(engine.load(ECHO_CHAR), "run", "\ud800", limits=LIMITS))').startswith(
        "WrongValue args[0]: expected char"
    )


@pytest.mark.slow
def test_an_instance_called_after_its_store_is_closed_or_through_another_one():
    out = tried(
        """
        guest = engine.load(DEEP)
        with LimitedStore(engine, LIMITS) as store:
            instance = store.instantiate(guest)
        show(lambda: instance.call("run"))
        """
    )
    assert out.startswith("StoreUnusable")


@pytest.mark.slow
@pytest.mark.parametrize("raised", ["KeyboardInterrupt()", "SystemExit(3)", "GeneratorExit()"])
def test_an_exception_that_is_no_error_inside_a_host_function(raised):
    out = tried(
        f"""
        def host():
            raise {raised}
        show(lambda: engine.execute(engine.load(CALLS), "run", limits=LIMITS, host=host_of(host)))
        show(lambda: engine.execute(engine.load(DEEP), "run", limits=LIMITS))
        """
    )
    assert out.splitlines()[0].startswith(raised.partition("(")[0])
    assert out.splitlines()[1].startswith(("OutOfFuel", "ComponentTrapped"))


@pytest.mark.slow
def test_pytest_fail_inside_a_host_function():
    out = tried(
        """
        import pytest
        host = host_of(lambda: pytest.fail("no"))
        show(lambda: engine.execute(engine.load(CALLS), "run", limits=LIMITS, host=host))
        """
    )
    assert out == "Failed no\n"


@pytest.mark.slow
def test_sigint_while_a_host_function_runs():
    out = tried(
        """
        def host():
            os.kill(os.getpid(), signal.SIGINT)  # as Ctrl-C: to the process
            while True:
                time.sleep(0.01)
        show(lambda: engine.execute(engine.load(CALLS), "run", limits=LIMITS, host=host_of(host)))
        show(lambda: engine.execute(engine.load(CALLS), "run", limits=LIMITS, host=host_of(lambda: None)))
        """
    )
    assert out.splitlines()[0].startswith("KeyboardInterrupt")
    assert out.splitlines()[1].startswith("value")


@pytest.mark.slow
def test_deep_recursion_of_a_guest_and_of_a_host_function():
    out = tried(
        """
        unlimited = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=10_000)
        show(lambda: engine.execute(engine.load(DEEP), "run", limits=unlimited))
        def host():
            host()
        show(lambda: engine.execute(engine.load(CALLS), "run", limits=LIMITS, host=host_of(host)))
        """
    )
    assert "call stack exhausted" in out
    assert "RecursionError" in out


@pytest.mark.slow
def test_small_thread_stacks():
    out = tried(
        """
        threading.stack_size(256 * 1024)
        unlimited = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=10_000)
        show(lambda: engine.execute(engine.load(DEEP), "run", limits=unlimited))
        """
    )
    assert "call stack exhausted" in out


@pytest.mark.slow
def test_faulthandler_enabled_before_the_engine():
    out = tried(
        """
        faulthandler.enable()
        show(lambda: WasmEngine().execute(engine.load("(module (func (export \\"f\\") unreachable))"), "f", limits=LIMITS))
        """
    )
    assert out


@pytest.mark.slow
def test_two_threads_on_one_store():
    out = tried(
        """
        guest, seen = engine.load(DEEP), set()
        store = LimitedStore(engine, LIMITS)
        def work():
            for _ in range(200):
                try:
                    store.instantiate(guest)
                except BaseException as error:
                    seen.add(type(error).__name__)
        threads = [threading.Thread(target=work) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(sorted(seen))
        """
    )
    assert "ComponentTrapped" not in out


@pytest.mark.slow
@pytest.mark.parametrize(
    "host", ["threading.Event().wait", "lambda: time.sleep(0.3)", "lambda: [None for _ in iter(int, 1)]"]
)
def test_the_process_ends_while_a_host_function_blocks(host):
    limits = 'ResourceLimits(memory="1 MiB", timeout_ms=50)'
    out = tried(f'show(lambda: engine.execute(engine.load(CALLS), "run", limits={limits}, host=host_of({host})))')
    assert out.startswith("ExecutionTimeout")


@pytest.mark.slow
def test_the_process_ends_while_output_is_captured():
    out = tried(
        r"""
        guest = engine.load('''(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export "memory") 1) (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
          (func (export "flood") (loop (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100))) br 0)))''')
        endless = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None, output="1 GiB")
        store = LimitedStore(engine, endless, wasi=Wasi())
        instance = store.instantiate(guest)
        threading.Thread(target=instance.flood, daemon=True).start()
        while not store.stdout:
            time.sleep(0.01)
        print("flooding")
        """
    )
    assert out == "flooding\n"


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_process_whose_guest_never_does(number):
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            PRELUDE
            + 'print("running", flush=True)\n'
            + 'engine.execute(engine.load("(module (func (export \\"f\\") (loop br 0)))"), "f", '
            + 'limits=ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None))',
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "running\n"
    process.send_signal(number)
    try:
        assert process.wait(60) != 0
    finally:
        process.kill()
        process.stdout.close()
