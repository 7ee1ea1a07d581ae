"""The progress of long compilations, shown in the terminal."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pytest_airssys_wasm.runtime.compile.cache import CompileProgress

_FIRST_AFTER_S = 2.0
_AGAIN_AFTER_S = 10.0


def teller(config: pytest.Config) -> Callable[[CompileProgress], None]:
    """Return a callback for `CompileCache` that writes a line to the terminal after 2 s and then every 10 s, bypassing
    pytest's capture.
    """
    last_told: dict[str, float] = {}

    def tell(progress: CompileProgress) -> None:
        before = last_told.get(progress.name)
        if before is not None and progress.elapsed_s < before:  # another compilation of the same name
            before = None
        if progress.elapsed_s < (_FIRST_AFTER_S if before is None else before + _AGAIN_AFTER_S):
            return
        last_told[progress.name] = progress.elapsed_s
        size = _size(progress.size_bytes)
        _write(config, f"wasm: compiling {printable(progress.name)} ({size}), {progress.elapsed_s:.0f} s so far")

    return tell


def _write(config: pytest.Config, line: str) -> None:
    capture = config.pluginmanager.getplugin("capturemanager")
    reporter = config.pluginmanager.getplugin("terminalreporter")
    # What the reporter of an xdist worker writes is lost; its stderr is the controller's.
    if hasattr(config, "workerinput"):
        reporter = None
    with nullcontext() if capture is None else capture.global_and_fixture_disabled():
        if reporter is None:
            print(f"\n{line}", file=sys.stderr, flush=True)
        else:
            reporter.ensure_newline()
            reporter.write_line(line)
            reporter.flush()


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1e6:.1f} MB" if size_bytes >= 1e5 else f"{size_bytes / 1e3:.1f} kB"
