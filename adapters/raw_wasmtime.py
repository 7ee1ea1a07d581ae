"""A reference adapter (docs/protocol.md): the public API of wasmtime-py and nothing of pytest-airssys-wasm.

raw_wasmtime.toml beside it lists the cases that it cannot hold, with the reasons.
"""

import json
import sys
import threading
import time
from base64 import b64encode
from functools import partial
from importlib.metadata import version
from pathlib import Path

import wasmtime
from wasmtime import component as components

FEATURES = ["tail_call", "multi_memory", "memory64", "exceptions", "function_references", "gc", "simd"]
HAS = ["component", "module", "wat", "fuel", "fuel-as-wasmtime", "timeout", "memory", "counts", "imports"]
HAS += ["bulk-memory", "wasi-p1", "wasi-p2", *(name.replace("_", "-") for name in FEATURES)]
COUNTS = {"table_elements": 20_000, "instances": 64, "tables": 16, "memories": 16}
LIMITS = {"memory_bytes": None, "fuel": 10**6, "timeout_ms": 100, "transfer_bytes": 0, "output_bytes": 0, **COUNTS}
UNLIMITED = (("fuel", "unlimited"), ("timeout_ms", "unlimited"))
# Traps of modules have a code. All other errors have only a text: where this stands in it, they are taken for that.
TEXTS = {"all fuel consumed": "out-of-fuel", "wasm trap: interrupt": "timeout", "unknown import": "link-error"}
TEXTS |= {"memory minimum": "out-of-memory", "heap out of memory": "out-of-memory", "component imports": "link-error"}
TEXTS |= {f"{one} count": f"resource-limit {many}" for one, many in zip(["memory", "table"], ["memories", "tables"])}
TEXTS |= {"instance count": "resource-limit instances", "table minimum": "resource-limit table-elements"}
TEXTS |= {"another handle": "resource-limit handles", "thrown Wasm": "trap uncaught-exception"}
TEXTS |= {"`unreachable`": "trap unreachable", "wasm trap": "trap unknown"}
HOST = {"noop": (0, 0, lambda: None), "echo": (1, 1, lambda value: value), "fail": (0, 0, lambda: 1 / 0)}
HOST |= {"swallow": (1, 0, lambda text: None), "recite": (1, 1, lambda characters: "a" * characters)}
HOST["sleep-ms"] = (1, 0, lambda milliseconds: time.sleep(milliseconds / 1_000))
config = wasmtime.Config()
for on in "consume_fuel", "epoch_interruption", "cranelift_nan_canonicalization", *(f"wasm_{one}" for one in FEATURES):
    setattr(config, on, True)
config.wasm_threads = False
engine = wasmtime.Engine(config)


def plain(value):
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else str(value)


def tick():
    while True:
        time.sleep(0.001)
        engine.increment_epoch()


def instantiate(store, request):
    binary = bytes(wasmtime.wat2wasm(Path(request["component"]).read_bytes()))
    is_module = binary[4:8] == b"\1\0\0\0"
    linker = wasmtime.Linker(engine) if is_module else components.Linker(engine)
    guest = wasmtime.Module(engine, binary) if is_module else components.Component(engine, binary)
    if request.get("wasi") is not None:
        linker.define_wasi() if is_module else linker.add_wasip2()
        store.set_wasi(wasmtime.WasiConfig())
    for name in request.get("imports", []):
        *counts, function = HOST[name]
        if is_module:
            types = ([wasmtime.ValType.i32()] * count for count in counts)
            linker.define_func("host", name, wasmtime.FuncType(*types), function)
        else:
            with linker.root() as root:
                root.add_func(name, lambda _store, *values, function=function: function(*values))
    instance = linker.instantiate(store, guest)
    return instance.exports(store).__getitem__ if is_module else partial(instance.get_func, store)


def judged(error, phase):
    if isinstance(error, wasmtime.ExitTrap):
        return {"verdict": "exit", "code": error.code} if error.code else {"verdict": "ok"}
    if not isinstance(error, (wasmtime.WasmtimeError, wasmtime.Trap)):
        return {"verdict": "host-error"}
    code, unknown = getattr(error, "trap_code", None), "invalid-component" if phase else "trap unknown"
    said = f"trap {code.name}" if code else next((TEXTS[text] for text in TEXTS if text in str(error)), unknown)
    said = {"trap OUT_OF_FUEL": "out-of-fuel", "trap INTERRUPT": "timeout"}.get(said, said)
    verdict, _, detail = said.lower().replace("_", "-").partition(" ")
    return {"verdict": verdict, "trap" if verdict == "trap" else "resource": detail or None}


def execute(store, timeout_ms, act, phase):
    fuel, started = store.get_fuel(), time.monotonic()
    store.set_epoch_deadline(2**60 if timeout_ms == "unlimited" else int(timeout_ms) + (timeout_ms > 0))
    try:
        answer = {"verdict": "ok", "value": act()}
    except Exception as error:  # noqa: BLE001 whatever it is becomes a verdict
        answer = {**judged(error, phase), "message": str(error)[:2_000]}
    answer |= {"elapsed_ms": (time.monotonic() - started) * 1_000, "phase": phase}
    if answer["verdict"] in ("ok", "out-of-fuel", "host-error") or answer.get("trap") == "unreachable":
        answer["fuel_consumed"] = fuel - store.get_fuel()  # wasmtime does not bill it before other traps
    return answer


def run(request):
    limits, answers, export = LIMITS | request["limits"], [], None
    for name, value in limits.items():
        is_number = type(value) is int or (type(value) is float and name == "timeout_ms")
        if name not in LIMITS or not (0 <= value < 2**64 if is_number else (name, value) in UNLIMITED):
            return [{"verdict": "invalid-config", "message": f"{name}: {value!r}", "phase": "instantiate"}]
    store = wasmtime.Store(engine)
    store.set_limits(limits["memory_bytes"], **{name: limits[name] for name in COUNTS})
    for step in [None, *(step for step in request["steps"] if "call" in step)]:
        if step is None or request.get("fuel_per") != "run":
            store.set_fuel(2**64 - 1 if limits["fuel"] == "unlimited" else limits["fuel"])
        act = partial(instantiate, store, request)
        if step:
            act = partial(export(step["call"]), store, *step.get("args", []))
        answers.append(execute(store, limits["timeout_ms"], act, None if step else "instantiate"))
        if answers[-1]["verdict"] != "ok":
            break
        export = export or answers[0].pop("value")
    return answers[1:] if len(answers) > 1 and "call" in request["steps"][0] else answers


threading.Thread(target=tick, daemon=True).start()
hello = {"runtime": "raw wasmtime-py", "version": version("wasmtime"), "capabilities": HAS}
for request in map(json.loads, sys.stdin):
    answer = hello if request["op"] == "hello" else {"steps": run(request)}
    print(json.dumps({"id": request["id"], **answer}, default=plain), flush=True)
