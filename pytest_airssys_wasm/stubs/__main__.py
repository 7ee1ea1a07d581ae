"""The command `python -m pytest_airssys_wasm.stubs x.wasm [-o x.pyi]`, which writes the type stub of a guest."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable_lines
from pytest_airssys_wasm.runtime.engine import WasmEngine
from pytest_airssys_wasm.runtime.errors import WasmError
from pytest_airssys_wasm.stubs.render import render

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    """Print or write the stub of a guest. A file that is not a guest is a usage error."""
    parser = argparse.ArgumentParser(
        prog="python -m pytest_airssys_wasm.stubs",
        description="Write a Python stub (.pyi) with the types of what a component or module exports.",
    )
    parser.add_argument("guest", type=Path, help="a component or module, as a binary or as WebAssembly text")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="the .pyi file to write, instead of stdout")
    options = parser.parse_args(arguments)
    guest, output = options.guest, options.output
    if output is not None and output.suffix != ".pyi":
        parser.error(f"argument -o: expected a file named *.pyi, got {str(output)!r}")
    try:
        with WasmEngine() as engine:
            # Loaded as bytes, because the manifest beside the guest does not affect its types.
            text = render(engine.load(guest.read_bytes()), guest.name)
        if output is not None:
            output.write_text(text, "utf-8")
    except (OSError, WasmError) as error:
        parser.error(printable_lines(f"{guest}: {error}"))
    if output is None:
        sys.stdout.buffer.write(text.encode())  # written as UTF-8, whatever the encoding of the terminal is


if __name__ == "__main__":
    main()
