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
    from collections.abc import Callable

    from pytest_airssys_wasm.runtime.component import Component


@dataclass(frozen=True, slots=True)
class GuestFiles:
    """A guest's binary, and what it was compiled to."""

    binary: str
    artefact: str


class Guests:
    """Writes the files of each guest once, when a process is to run it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names = count(1)
        self._folder: Path | None = None
        self._remove: Callable[[], object] = _nothing
        self._files: weakref.WeakKeyDictionary[Component, GuestFiles] = weakref.WeakKeyDictionary()

    def files_of(self, component: Component) -> GuestFiles:
        """Where they are."""
        with self._lock:
            found = self._files.get(component)
            if found is None:
                found = self._files[component] = self._write(component)
                weakref.finalize(component, _remove, found)
            return found

    def close(self) -> None:
        """Remove them all. Those that are asked for again are written again."""
        with self._lock:
            self._files.clear()
            self._folder = None
            self._remove()

    def _write(self, component: Component) -> GuestFiles:
        if self._folder is None:
            self._folder = Path(mkdtemp(prefix="airssys-wasm-guests-"))
            self._remove = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        stem = self._folder / str(next(self._names))
        assert component.binary is not None  # an engine with an isolation keeps it
        binary, artefact = stem.with_suffix(".wasm"), stem.with_suffix(".cwasm")
        binary.write_bytes(component.binary)
        artefact.write_bytes(component.raw.serialize())
        return GuestFiles(str(binary), str(artefact))


def _nothing() -> None:
    pass


def _remove(files: GuestFiles) -> None:
    Path(files.binary).unlink(missing_ok=True)
    Path(files.artefact).unlink(missing_ok=True)
