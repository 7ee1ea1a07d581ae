"""The files of compiled guests, for the processes that run them."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from itertools import count
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.originals import allocate_lock, system
from pytest_airssys_wasm.runtime.base.regular_files import write_new
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder, explained

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.component import Component


class GuestFiles(Struct, frozen=True):
    """The paths of a guest's binary and of the artefact that it was compiled to."""

    binary: str
    artefact: str

    @property
    def are_there(self) -> bool:
        """Whether both files exist."""
        return all(system.os.path.exists(path) for path in (self.binary, self.artefact))


class Guests:
    """The guests of worker processes, each of which is written to files once."""

    def __init__(self) -> None:
        self._lock = allocate_lock()
        self._names = count(1)
        self._scratch: ScratchFolder | None = None
        self._files: weakref.WeakKeyDictionary[Component, GuestFiles] = weakref.WeakKeyDictionary()

    def files_of(self, component: Component) -> GuestFiles:
        """Return the files of a guest. They are written if they do not exist, also if somebody has removed them."""
        with self._lock:
            found = self._files.get(component)
            if found is None or self._scratch is None or not self._scratch.is_there or not found.are_there:
                found = self._files[component] = self._write(component)
                weakref.finalize(component, _remove, found, os.getpid())
            return found

    def close(self) -> None:
        """Remove all files. Files that are needed later are written again."""
        with self._lock:
            self._files.clear()
            if self._scratch is not None:
                self._scratch.remove()
            self._scratch = None

    def _write(self, component: Component) -> GuestFiles:
        if self._scratch is None or not self._scratch.is_there:
            self._scratch = ScratchFolder("guests")  # the first, or one that was lost, or that of a forked process
        stem = self._scratch.path / str(next(self._names))
        assert component.binary is not None  # an engine with an isolation keeps it
        binary, artefact = stem.with_suffix(".wasm"), stem.with_suffix(".cwasm")
        with explained():
            write_new(binary, component.binary)
            write_new(artefact, component.raw.serialize())
        return GuestFiles(str(binary), str(artefact))


def _remove(files: GuestFiles, process_id: int) -> None:
    if process_id != os.getpid():
        return  # a process that was forked from the one that uses them
    for path in (files.binary, files.artefact):
        with suppress(FileNotFoundError):
            system.os.unlink(path)
