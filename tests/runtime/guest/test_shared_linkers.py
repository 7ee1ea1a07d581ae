"""Guests that import nothing but WASI share a linker, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import wasmtime

from pytest_airssys_wasm import GuestExit, HostFunctions, LimitedStore, ResourceLimits, Wasi

LIMITS = ResourceLimits(memory="1 MiB", timeout_ms=20_000)
EXIT = '(import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))'
SIZES = '(import "wasi_snapshot_preview1" "args_sizes_get" (func $sizes (param i32 i32) (result i32)))'
COUNTS = f"""(module {SIZES} {EXIT} (memory (export "memory") 1)
  (func (export "count") (result i32) (drop (call $sizes (i32.const 0) (i32.const 4))) (i32.load (i32.const 0)))
  (func (export "leave") (param i32) (call $exit (local.get 0))))"""
COUNTS_ARGUMENTS = """(component
  (import "wasi:cli/environment@0.2.0" (instance $env (export "get-arguments" (func (result (list string))))))
  (core module $libc (memory (export "memory") 1) (global $at (mut i32) (i32.const 64))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      global.get $at (global.set $at (i32.add (global.get $at) (local.get 3)))))
  (core instance $libc (instantiate $libc))
  (core func $get (canon lower (func $env "get-arguments")
    (memory (core memory $libc "memory")) (realloc (core func $libc "realloc"))))
  (core module $m (import "" "get" (func $get (param i32))) (import "" "memory" (memory 1))
    (func (export "count") (result i32) (call $get (i32.const 0)) (i32.load (i32.const 4))))
  (core instance $i (instantiate $m (with ""
    (instance (export "get" (func $get)) (export "memory" (memory $libc "memory"))))))
  (func (export "count") (result u32) (canon lift (core func $i "count"))))"""
ASKS = f"""(module {EXIT} (import "env" "ask" (func $ask (result i32))) (memory (export "memory") 1)
  (func (export "ask") (result i32) call $ask))"""
ASKS_TOO = """(component
  (import "wasi:cli/environment@0.2.0" (instance (export "get-arguments" (func (result (list string))))))
  (import "env" (instance $env (export "ask" (func (result u32)))))
  (core func $ask (canon lower (func $env "ask")))
  (core module $m (import "" "ask" (func $ask (result i32))) (func (export "ask") (result i32) call $ask))
  (core instance $i (instantiate $m (with "" (instance (export "ask" (func $ask))))))
  (func (export "ask") (result u32) (canon lift (core func $i "ask"))))"""


@pytest.mark.parametrize("source", [COUNTS, COUNTS_ARGUMENTS], ids=["module", "component"])
def test_each_store_has_its_own_grants(engine, source):
    guest = engine.load(source)
    for count in (3, 0, 1):
        wasi = Wasi(args=["x"] * count)
        assert engine.execute(guest, "count", limits=LIMITS, wasi=wasi).value == count


def test_exit_statuses_of_guests_at_once_are_their_own(engine):
    guest = engine.load(COUNTS)

    def leave(status):
        with pytest.raises(GuestExit) as caught:
            engine.execute(guest, "leave", status, limits=LIMITS, wasi=Wasi())
        return caught.value.code

    statuses = [*range(1, 200, 3), 2**31]
    with ThreadPoolExecutor(4) as pool:
        assert [*pool.map(leave, statuses)] == statuses


@pytest.mark.parametrize("source", [ASKS, ASKS_TOO], ids=["module", "component"])
def test_functions_of_the_host_are_those_of_the_store(engine, source):
    guest, stores = engine.load(source), []
    for answer in (1, 2):
        host = HostFunctions()
        host.register("env#ask", lambda answer=answer: answer)
        stores.append(LimitedStore(engine, LIMITS, host=host, wasi=Wasi()))
    made = [store.instantiate(guest) for store in stores]
    assert [one.call("ask") for one in made] == [1, 2]
    for store in stores:
        store.close()


def test_the_linker_is_made_once_and_functions_of_the_host_do_not_get_into_it(engine):
    def linkers():
        engine.execute(engine.load(COUNTS), "count", limits=LIMITS, wasi=Wasi())
        engine.execute(engine.load(COUNTS_ARGUMENTS), "count", limits=LIMITS, wasi=Wasi())
        return engine.wasi_linker, engine.wasi_component_linker

    before, host = linkers(), HostFunctions()
    host.register("env#ask", lambda: 1)
    for source in (ASKS, ASKS_TOO):
        engine.execute(engine.load(source), "ask", limits=LIMITS, host=host, wasi=Wasi())
    assert None not in before
    assert linkers() == before
    with pytest.raises(wasmtime.WasmtimeError):
        before[0].get(wasmtime.Store(engine.raw), "env", "ask")
