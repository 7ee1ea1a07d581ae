"""An adapter (docs/protocol.md) for wasmtime-py used by hand. raw_wasmtime.toml lists the cases that it fails."""

import json
import sys
import threading
import time
from importlib.metadata import version
from pathlib import Path

import wasmtime.component

CAPABILITIES = ["component", "module", "wat", "imports", "wasi-p1", "wasi-p2", "fuel", "fuel-as-wasmtime", "timeout"]
CAPABILITIES += ["memory", "counts", "bulk-memory", "multi-memory", "memory64", "tail-call", "exceptions", "simd", "gc"]
CAPABILITIES += ["function-references", "fuel-of-bulk-operations", "handles-limit", "deterministic-nans", "web-limits"]
# Defaults. -1 is refused, because memory has no default. Only limits whose default is a float may be fractions.
STORE = {"memory_bytes": -1, "table_elements": 20_000, "instances": 64, "tables": 16, "memories": 16}
LIMITS = {**STORE, "fuel": 10**6, "timeout_ms": 100.0, "transfer_bytes": 0, "output_bytes": 0}
HOST = {"sleep-ms": (1, 0, lambda _, milliseconds: time.sleep(milliseconds / 1_000))}  # i32 in, i32 out, function
HOST |= {"noop": (0, 0, lambda _: None), "fail": (0, 0, lambda _: 1 / 0), "echo": (1, 1, lambda _, value: value)}
HOST |= {"swallow": (1, 0, lambda _, text: None), "recite": (1, 1, lambda _, characters: "a" * characters)}
# The last line of an error is the innermost cause. The lines above may contain names that the guest chose.
CAUSES = {"all fuel consumed": "out-of-fuel", "wasm trap: interrupt": "timeout", "`unreachable`": "trap unreachable"}
CAUSES |= {"memory minimum": "out-of-memory", "heap out of memory": "out-of-memory", "unknown import": "link-error"}
CAUSES |= {"memory count": "resource-limit memories", "table count": "resource-limit tables"}
CAUSES |= {"instance count": "resource-limit instances", "table minimum": "resource-limit table-elements"}
CAUSES |= {"handle limit": "resource-limit handles", "thrown": "trap uncaught-exception", "is missing": "link-error"}
config = wasmtime.Config()
config.consume_fuel = config.epoch_interruption = config.cranelift_nan_canonicalization = True
engine = wasmtime.Engine(config)


def instantiate(store, request):
    binary = bytes(wasmtime.wat2wasm(Path(request["component"]).read_bytes()))
    is_module = binary[4:8] == b"\1\0\0\0"
    guest = wasmtime.Module(engine, binary) if is_module else wasmtime.component.Component(engine, binary)
    linker = wasmtime.Linker(engine) if is_module else wasmtime.component.Linker(engine)
    if request.get("wasi") is not None:
        linker.define_wasi() if is_module else linker.add_wasip2()
        store.set_wasi(wasmtime.WasiConfig())
    for name in request.get("imports", []):
        *counts, function = HOST[name]
        if is_module:
            types = ([wasmtime.ValType.i32()] * count for count in counts)
            linker.define_func("host", name, wasmtime.FuncType(*types), function, access_caller=True)
        else:
            with linker.root() as root:
                root.add_func(name, function)
    instance = linker.instantiate(store, guest)
    return lambda name: instance.exports(store)[name] if is_module else instance.get_func(store, name)


def execute(store, limits, phase, act, *arguments):
    store.set_fuel(limits["fuel"])
    store.set_epoch_deadline(1 if limits["timeout_ms"] else 0)
    clock = threading.Timer(min(limits["timeout_ms"] / 1_000, threading.TIMEOUT_MAX), engine.increment_epoch)
    started = time.monotonic()
    clock.start()
    try:
        answer = {"verdict": "ok", "value": act(*arguments)}
    except wasmtime.ExitTrap as error:
        answer = {"verdict": "exit", "code": error.code} if error.code else {"verdict": "ok"}
    except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
        cause, code = str(error).strip().rpartition("\n")[2], getattr(error, "trap_code", None)
        unknown = "trap unknown" if "wasm trap" in cause or not phase else "invalid-component"
        meant = next((CAUSES[text] for text in CAUSES if text in cause), f"trap {code.name}" if code else unknown)
        kind, _, name = meant.lower().replace("_", "-").partition(" ")
        answer = {"verdict": kind, "trap" if kind == "trap" else "resource": name or None, "message": str(error)[:999]}
    except Exception as error:  # noqa: BLE001 a host function may raise anything
        answer = {"verdict": "host-error", "message": str(error)[:999]}
    answer |= {"elapsed_ms": (time.monotonic() - started) * 1_000, "phase": phase}
    clock.cancel()
    clock.join()  # otherwise it may still fire, in the next execution
    if answer["verdict"] in ("ok", "exit", "out-of-fuel", "host-error") or answer.get("trap") == "unreachable":
        answer["fuel_consumed"] = limits["fuel"] - store.get_fuel()  # other traps: the last frame is not billed
    return answer


def run(request):
    limits = LIMITS | request["limits"]
    for name, value in limits.items():
        if value == "unlimited" and name in ("fuel", "timeout_ms"):
            limits[name] = 2**64 - 1
        elif name not in LIMITS or type(value) not in (int, type(LIMITS[name])) or not 0 <= value < 2**64:
            return [{"verdict": "invalid-config", "message": f"{name}: {value!r}", "phase": "instantiate"}]
    store = wasmtime.Store(engine)
    store.set_limits(*(limits[name] for name in STORE))
    answers = [execute(store, limits, "instantiate", instantiate, store, request)]
    export = answers[0].pop("value", None)
    for step in request["steps"]:
        if step.get("call") and answers[-1]["verdict"] == "ok":
            limits["fuel"] = store.get_fuel() if request.get("fuel_per") == "run" else limits["fuel"]
            answers.append(execute(store, limits, None, export(step["call"]), store, *step.get("args", [])))
    return answers[1:] if len(answers) > 1 and request["steps"][0].get("call") else answers


hello = {"runtime": "wasmtime-py by hand", "version": version("wasmtime"), "capabilities": CAPABILITIES}
for request in map(json.loads, sys.stdin):
    answer = hello if request["op"] == "hello" else {"steps": run(request)}
    print(json.dumps({"id": request["id"], **answer}, default=str), flush=True)
