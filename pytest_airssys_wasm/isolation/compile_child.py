"""Runs in a child: compiles one guest, or translates one text, and says how that ended."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import IO, Any

from pytest_airssys_wasm.protocol.pipes import take_pipes


def main() -> None:
    """One order, one answer."""
    requests, answers = take_pipes()
    order = json.loads(requests.readline())
    threading.Thread(target=_end_with, args=(requests,), daemon=True).start()
    answer = {"id": order["id"], **_carry_out(order["what"], Path(order["source"]), Path(order["result"]))}
    answers.write(json.dumps(answer).encode() + b"\n")
    answers.flush()


def _carry_out(what: str, source: Path, result: Path) -> dict[str, Any]:
    import wasmtime
    import wasmtime.component

    from pytest_airssys_wasm.runtime.binary import brief
    from pytest_airssys_wasm.runtime.settings import new_config

    content = source.read_bytes()
    try:
        if what == "text":
            made = wasmtime.wat2wasm(content.decode("utf-8-sig"))
        else:
            compiler: Any = wasmtime.component.Component if what == "component" else wasmtime.Module
            made = compiler(wasmtime.Engine(new_config()), content).serialize()
    except wasmtime.WasmtimeError as error:
        return {"invalid": f"not valid WebAssembly text: {brief(error)}" if what == "text" else brief(error)}
    result.write_bytes(made)
    return {}


def _end_with(requests: IO[bytes]) -> None:
    """Whoever asked is gone, and nothing in here can be told to stop."""
    requests.read()
    os._exit(1)


if __name__ == "__main__":
    main()
