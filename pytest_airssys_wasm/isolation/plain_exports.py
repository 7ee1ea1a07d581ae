"""The exports of a worker process that plain calls have called, in the list in which the guard finds them."""

from __future__ import annotations

from ctypes import addressof, c_void_p
from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.capi.guard_frames import GuardExport

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.guest.plain_exports import PlainExport


class PlainExports:
    """The exports that can be called by frames, by the number of the session and the index of the export.

    It may be changed only while no plain call is open.
    """

    def __init__(self) -> None:
        self._first = c_void_p()
        self._known: dict[tuple[int, int], tuple[PlainExport, GuardExport]] = {}

    @property
    def address(self) -> int:
        """The address at which the guard finds the first export."""
        return addressof(self._first)

    def add(self, session: int, index: int, export: PlainExport, arguments: int, results: int) -> None:
        """Add an export with the numbers of its arguments and results."""
        shared = GuardExport(
            next=self._first.value,
            session=session,
            run=addressof(export.run),
            function=addressof(export.function),
            index=index,
            entry=export.entry,
            arguments=arguments,
            results=results,
        )
        self._known[session, index] = export, shared
        self._first.value = addressof(shared)

    def get(self, session: int, index: int) -> PlainExport | None:
        """Return an export that was added; `None` if it was not."""
        found = self._known.get((session, index))
        return None if found is None else found[0]

    def take_error(self, session: int, index: int) -> int | None:
        """Return the error of the last call of an export, which has failed, and forget it; `None` if there is none."""
        shared = self._known[session, index][1]
        error, shared.error = shared.error, None
        return error

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forget all exports."""
        self._first.value = None
        self._known.clear()
