"""WASI grants as wasmtime takes them."""

from __future__ import annotations

import os
import tempfile
from typing import TYPE_CHECKING, Any

import wasmtime

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


def wasi_config(wasi: Wasi, output: CapturedOutput | None) -> Any:
    """Make a new `wasmtime.WasiConfig` of the grants; a store uses one up."""
    config = wasmtime.WasiConfig()
    if wasi.inherit:
        for inherit in (config.inherit_argv, config.inherit_env, config.inherit_stdin):
            inherit()
    if wasi.args or not wasi.inherit:
        config.argv = list(wasi.args)
    if wasi.env or not wasi.inherit:
        config.env = list(wasi.env.items())
    if wasi.stdin:
        _feed(wasi.stdin, config)
    if output is None:
        config.inherit_stdout()
        config.inherit_stderr()
    else:
        config.stdout_file = output.path("stdout")
        config.stderr_file = output.path("stderr")
        output.opened()
    for guest, (host, access) in wasi.preopen.items():
        config.preopen_dir(os.fspath(host), guest, access == "rw")
    return config


def _feed(stdin: bytes | str, config: Any) -> None:
    # wasmtime opens the file at once: it may be gone when this returns.
    with tempfile.NamedTemporaryFile() as file:
        file.write(stdin.encode() if isinstance(stdin, str) else stdin)
        file.flush()
        config.stdin_file = file.name
