"""The end of a `match` that leaves no case out."""

from __future__ import annotations

from typing import NoReturn


def assert_never(value: NoReturn) -> NoReturn:
    """Have the type checker prove that a `match` cannot come here; raise `AssertionError` if it does.

    `typing.assert_never` does the same from Python 3.11 on.
    """
    raise AssertionError(f"unexpected {type(value).__name__}: {value!r}")
