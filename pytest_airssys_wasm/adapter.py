"""`python -m pytest_airssys_wasm.adapter`: the bundled runtime behind the adapter protocol, on stdin and stdout."""

from __future__ import annotations

from contextlib import suppress

from pytest_airssys_wasm.protocol.pipes import take_pipes


def main() -> None:
    """Answer requests until stdin ends."""
    requests, answers = take_pipes()
    from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
    from pytest_airssys_wasm.protocol.serve import serve
    from pytest_airssys_wasm.runtime.engine import WasmEngine

    engine = WasmEngine()
    serve(InProcessRuntime(engine), requests, answers)
    engine.close()
    with suppress(BrokenPipeError):  # the driver is gone, and what is still buffered is for nobody
        answers.close()


if __name__ == "__main__":
    main()
