"""Guests that import nothing but WASI share a linker, and nothing else."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

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


def test_functions_of_the_host_are_those_of_the_store(engine):
    asks = engine.load(
        f"""(module {EXIT} (import "env" "ask" (func $ask (result i32))) (memory (export "memory") 1)
          (func (export "ask") (result i32) call $ask))"""
    )
    stores = []
    for answer in (1, 2):
        host = HostFunctions()
        host.register("env#ask", lambda answer=answer: answer)
        stores.append(LimitedStore(engine, LIMITS, host=host, wasi=Wasi()))
    made = [store.instantiate(asks) for store in stores]
    assert [one.call("ask") for one in made] == [1, 2]
    for store in stores:
        store.close()
