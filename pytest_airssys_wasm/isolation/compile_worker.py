"""The program of a compiler process, which compiles one guest or translates one text, and reports the result."""

from __future__ import annotations

import ctypes
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import wasmtime

from pytest_airssys_wasm.isolation.ending import ending_on_error
from pytest_airssys_wasm.protocol.pipes import end_process_with, take_pipes
from pytest_airssys_wasm.runtime.base.regular_files import decoded
from pytest_airssys_wasm.runtime.binary.formats import brief
from pytest_airssys_wasm.runtime.compile.artefacts import can_be_executed, class_of, load_artefact
from pytest_airssys_wasm.runtime.compile.wasmtime_config import new_config, with_feature

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.binary.formats import Kind


def main() -> None:
    """Echo the greeting, which shows that everything is loaded, and then process one request."""
    requests, answers = take_pipes()
    answers.write(requests.readline())
    answers.flush()
    order = json.loads(requests.readline())
    end_process_with(requests)  # nothing in here can be told to stop
    answer = {"id": order["id"], **_carry_out(order["what"], Path(order["source"]), Path(order["result"]))}
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _carry_out(what: Kind | Literal["text"], source: Path, result: Path) -> dict[str, Any]:
    content = source.read_bytes()
    try:
        if what == "text":
            made = bytes(wasmtime.wat2wasm(decoded(content)))
        else:
            engine = wasmtime.Engine(new_config())
            made = bytes(class_of(what)(engine, content).serialize())
    except wasmtime.WasmtimeError as error:
        return {
            "invalid": f"not valid WebAssembly text: {brief(error)}" if what == "text" else with_feature(brief(error))
        }
    try:
        result.write_bytes(made)
    except OSError as error:
        return {"unwritable": error.strerror or str(error)}
    del made
    if what == "text":
        return {}
    mapped_bytes = price(lambda: load_artefact(what, engine, result))
    if mapped_bytes is not None and not can_be_executed(result):
        mapped_bytes -= result.stat().st_size  # it was read, because it cannot be mapped
    return {"mapped_bytes": mapped_bytes}


def price(load: Callable[[], object]) -> int | None:
    """Return the bytes of private memory that calling `load` takes; `None` if the system does not report them."""
    status = Path("/proc/self/status")
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is None or not status.exists():
        return None
    trim(0)  # otherwise memory that compiling has left would be used again
    before_bytes = _private_bytes(status)
    kept = load()
    grown_bytes = _private_bytes(status) - before_bytes
    del kept
    return grown_bytes


def _private_bytes(status: Path) -> int:
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text())
    return int(found[1]) * 1024 if found else 0


if __name__ == "__main__":
    ending_on_error(main)
