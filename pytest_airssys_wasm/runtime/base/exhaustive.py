"""The check that a `match` is exhaustive."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:
    """Raise `AssertionError`; the type checker proves that the call cannot be reached.

    `typing.assert_never` does the same from Python 3.11 on.
    """
    raise AssertionError(f"unexpected {type(value).__name__}: {value!r}")
