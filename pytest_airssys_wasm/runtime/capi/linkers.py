"""The copies of linkers, which take an eighth of the time that it takes to define WASI."""

from __future__ import annotations

import wasmtime

from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.stores import address


class LinkerCopy(wasmtime.Linker):
    """A linker with the definitions of another one, which what is defined in it does not get into."""

    def __init__(self, original: wasmtime.Linker) -> None:
        self._set_ptr(abi.linker_clone(address(original)))
        self.engine = original.engine
