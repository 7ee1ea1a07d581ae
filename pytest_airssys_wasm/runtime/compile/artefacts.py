"""Loading of compiled guests from files: mapped, or read where the file system refuses to map code."""

from __future__ import annotations

import mmap
from typing import TYPE_CHECKING, Any

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.base.originals import system

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.formats import Kind


def class_of(kind: Kind) -> Any:
    """Return the class of wasmtime for a component or a module."""
    return wasmtime.component.Component if kind == "component" else wasmtime.Module


def load_artefact(kind: Kind, engine: wasmtime.Engine, artefact: Path) -> Any:
    """Return wasmtime's object of an artefact. Raises `ValueError` if the file is not one."""
    try:
        try:
            return class_of(kind).deserialize_file(engine, str(artefact))
        except wasmtime.WasmtimeError:
            if can_be_executed(artefact):
                raise
        with system.io.open(artefact, "rb") as file:
            return class_of(kind).deserialize(engine, file.read())
    except wasmtime.WasmtimeError as error:
        raise ValueError(str(error)) from None


def can_be_executed(file: Path) -> bool:
    """Return whether a file may be mapped as code, which a file system that is mounted `noexec` refuses."""
    with system.io.open(file, "rb") as opened:
        try:
            mmap.mmap(opened.fileno(), 1, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
        except PermissionError:
            return False
        except (OSError, ValueError):  # it is empty, or the machine has no memory: not a matter of permission
            pass
    return True
