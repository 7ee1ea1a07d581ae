"""The exports of a worker process that plain calls have called, in the list in which the guard finds them."""

from __future__ import annotations

from ctypes import addressof, c_void_p
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.guard_frames import GuardExport

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def failure(self, session: int, index: int, args: tuple[Any, ...]) -> Callable[[], Any] | None:
        """Return the function that raises the verdict of the last call of an export, which has failed; `None` if the
        guest was not called.
        """
        export, shared = self._known[session, index]
        error, shared.error = shared.error, None
        return export.fail(args, error)

    def __len__(self) -> int:
        return len(self._known)

    def clear(self) -> None:
        """Forget all exports."""
        self._first.value = None
        self._known.clear()
