"""The wasmtime store in which guests are linked and called: its host functions, its resources and its WASI grants."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import wasmtime

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.budget.machine import naming_lacks, no_descriptors
from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost
from pytest_airssys_wasm.runtime.execution.open_files import free_descriptors, used_descriptors
from pytest_airssys_wasm.runtime.guest.resources import Resources

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.capi.stores import RawStore
    from pytest_airssys_wasm.runtime.execution.output import CapturedOutput
    from pytest_airssys_wasm.runtime.guest.engine_core import EngineCore
    from pytest_airssys_wasm.runtime.guest.operations import Runner
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class StoreContext:
    """The context of one store of this process, for linking and calling."""

    def __init__(
        self, engine: EngineCore, raw: RawStore, host: HostFunctions | None, wasi: Wasi | None, runner: Runner
    ) -> None:
        self.engine = engine
        self.raw = raw
        self.wasi = wasi
        self.resources = Resources(raw.context, engine.runs, host, runner)

    @property
    def host(self) -> HostFunctions | None:
        """The host functions that serve imports."""
        return self.resources.host

    def add_host(self, host: HostFunctions) -> None:
        """Add these host functions to those that serve imports.

        Functions are looked up only during linking; classes of resources also later.
        """
        self.resources.host = host if self.host is None else self.host.merged(host)


_FEW = 4
"""The number of free descriptors up to which wasmtime, which tells no reason, is taken to have found none."""


def wasi_config(wasi: Wasi, output: CapturedOutput | None) -> Any:
    """Create a new `wasmtime.WasiConfig` from the grants, for one store.

    Raises `InvalidConfiguration` if a directory is gone, and `UnfitHost` if the system has no paths of open files, by
    which wasmtime takes over streams, or the process has no file descriptors left.
    """
    if (wasi.stdin or output is not None) and not system.os.path.isdir("/dev/fd"):
        raise UnfitHost("/proc", NOTHING, "a mounted /proc, with /dev/fd, through which guests have their streams")
    wasi.check_directories()  # they were there when they were granted
    config = wasmtime.WasiConfig()
    try:
        with naming_lacks():
            _configure(config, wasi, output)
    except wasmtime.WasmtimeError:
        config.close()
        if free_descriptors(used_descriptors()) <= _FEW:
            raise no_descriptors() from None
        raise
    except BaseException:
        config.close()  # not when the error is collected: the descriptors in it are short
        raise
    return config


def _configure(config: Any, wasi: Wasi, output: CapturedOutput | None) -> None:
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


def _feed(stdin: bytes | str, config: Any) -> None:
    # wasmtime opens the file at once: it may be gone when this returns. It is in memory, since the temporary folder may
    # be full, or have a path that wasmtime cannot take.
    descriptor = system.os.memfd_create("stdin", system.os.MFD_CLOEXEC)
    with system.io.open(descriptor, "wb") as file:
        file.write(stdin.encode() if isinstance(stdin, str) else stdin)
        file.flush()
        config.stdin_file = f"/dev/fd/{descriptor}"
