"""The refusal of wrong values, for modules that are loaded when nothing is wrong yet."""

from __future__ import annotations

from typing import NoReturn


def refuse(where: str, value: object, wanted: str) -> NoReturn:
    """Raise the `InvalidConfiguration` for a value that should be what `wanted` says.

    The hierarchy of errors takes twice as long to load as the modules that read markers.
    """
    from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

    raise InvalidConfiguration(where, value, wanted) from None
