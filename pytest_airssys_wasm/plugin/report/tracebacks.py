"""The tracebacks of failures that a guest or a setting caused. They end in the test, not inside this package."""

from __future__ import annotations

from inspect import CO_GENERATOR
from itertools import zip_longest
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import _pytest
import pluggy
import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from _pytest._code.code import TracebackEntry

_PACKAGE = Path(__file__).resolve().parents[2]
_MACHINERY = tuple(Path(module.__file__ or "").resolve().parent for module in (_pytest, pluggy))
_EVERYDAY = (TypeError, ValueError, LookupError, AttributeError)


def hide_package(config: pytest.Config, excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Remove this package's frames from the traceback of an error that it raises on purpose, unless `--full-trace`
    is given.

    Return whether no frame of the user is left then: such an error is best shown by its message alone.
    """
    if config.getoption("fulltrace") or not _is_on_purpose(excinfo):
        return False
    for cause in _causes(excinfo.value):
        cause.__traceback__ = _without_package(cause.__traceback__)
    if not _has_frame_of_user(excinfo.traceback):
        return True
    # Built anew from the raw frames: pytest's own cutting goes back to them.
    excinfo.traceback = type(excinfo.traceback)(_without_package(excinfo.tb) or excinfo.tb)
    return False


def cut_interruption(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """Remove this package's frames at the end of the traceback of a Ctrl-C, if a frame of the user is left then."""
    entries = list(excinfo.traceback)
    while entries and _is_ours(Path(entries[-1].path)):
        entries.pop()
    if _has_frame_of_user(entries):
        excinfo.traceback = type(excinfo.traceback)(entries)


def _is_on_purpose(excinfo: pytest.ExceptionInfo[BaseException]) -> bool:
    """Return whether an error is shown without the frames of this package: an error of one of its classes, a built-in
    error for a wrong name or argument, or `pytest.fail` in a host function or in a signal handler that ends a test at
    its time limit.
    """
    if isinstance(excinfo.value, pytest.fail.Exception):
        return True
    module = type(excinfo.value).__module__
    if module == _PACKAGE.name or module.startswith(f"{_PACKAGE.name}.runtime."):
        return True
    return isinstance(excinfo.value, _EVERYDAY) and _is_ours(Path(excinfo.traceback[-1].path))


def _is_ours(path: Path) -> bool:
    return path.is_relative_to(_PACKAGE)


def _has_frame_of_user(entries: Sequence[TracebackEntry]) -> bool:
    return any(
        not any(Path(entry.path).is_relative_to(folder) for folder in (_PACKAGE, *_MACHINERY))
        and not _is_hook_wrapper(entry, callee)
        for entry, callee in zip_longest(entries, entries[1:])
    )


def _is_hook_wrapper(entry: TracebackEntry, callee: TracebackEntry | None) -> bool:
    """Return whether a frame is that of a hook wrapper of any plugin that has only yielded, as pytest-asyncio's has."""
    code = entry.frame.code.raw
    is_wrapper = bool(code.co_flags & CO_GENERATOR) and code.co_name.startswith("pytest_")
    return is_wrapper and callee is not None and not _is_ours(Path(callee.path))


def _causes(error: BaseException) -> Iterator[BaseException]:
    seen = {id(error)}
    cause = error.__cause__ or error.__context__
    while cause is not None and id(cause) not in seen:
        seen.add(id(cause))
        yield cause
        cause = cause.__cause__ or cause.__context__


def _without_package(traceback: TracebackType | None) -> TracebackType | None:
    kept: list[TracebackType] = []
    while traceback is not None:
        if not _is_ours(Path(traceback.tb_frame.f_code.co_filename)):
            kept.append(traceback)
        traceback = traceback.tb_next
    rebuilt: TracebackType | None = None
    for one in reversed(kept):
        rebuilt = TracebackType(rebuilt, one.tb_frame, one.tb_lasti, one.tb_lineno)
    return rebuilt
