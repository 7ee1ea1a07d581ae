"""Compiled guests as files, for the processes that run them."""

from __future__ import annotations

import shutil
import threading
import weakref
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.component import Component


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """A guest's binary, and what it was compiled to."""

    binary: str
    artefact: str


class Guests:
    """Writes the files of each guest once. They go with this object at the latest."""

    def __init__(self) -> None:
        self._folder = Path(mkdtemp(prefix="airssys-wasm-guests-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._names = count(1)
        self._lock = threading.Lock()
        self._files: weakref.WeakKeyDictionary[Component, GuestFiles] = weakref.WeakKeyDictionary()

    def files_of(self, component: Component) -> GuestFiles:
        """Where they are."""
        with self._lock:
            found = self._files.get(component)
            if found is None:
                found = self._files[component] = self._write(component)
                weakref.finalize(component, _remove, found)
            return found

    def _write(self, component: Component) -> GuestFiles:
        stem = self._folder / str(next(self._names))
        assert component.binary is not None  # an engine with an isolation keeps it
        binary, artefact = stem.with_suffix(".wasm"), stem.with_suffix(".cwasm")
        binary.write_bytes(component.binary)
        artefact.write_bytes(component.raw.serialize())
        return GuestFiles(str(binary), str(artefact))


def _remove(files: GuestFiles) -> None:
    Path(files.binary).unlink(missing_ok=True)
    Path(files.artefact).unlink(missing_ok=True)
