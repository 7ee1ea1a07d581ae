"""The library of the native guard, which is loaded when the first engine is made and never with the plugin."""

from __future__ import annotations

import os
from ctypes import CDLL, c_char
from functools import cache
from typing import TYPE_CHECKING

from pytest_airssys_wasm import _native
from pytest_airssys_wasm.runtime.errors import NOTHING, UnfitHost

if TYPE_CHECKING:
    from pathlib import Path

_DIGEST_CHARACTERS = 64


@cache
def guard_library() -> CDLL:
    """Return the library of the native guard.

    Raises `UnfitHost`, which names the file, the cause and the remedy, if the library is missing, cannot be loaded, or
    was built from other sources than those of the checkout that it lies in.
    """
    return load(_native.LIBRARY, _native.CHECKOUT)


def load(path: Path, checkout: Path) -> CDLL:
    """Return the library at `path`; `checkout` has the sources in the folder `native`, if it is a checkout.

    Raises `UnfitHost`.
    """
    is_checkout = (checkout / "native" / "identity.c").is_file()
    remedy = f"`pip install -e {checkout}`" if is_checkout else "`pip install --force-reinstall pytest-airssys-wasm`"
    where = f"the native guard ({path})"
    try:
        library = CDLL(str(path))
        built_from = (c_char * _DIGEST_CHARACTERS).in_dll(library, "guard_sources_sha256").value.decode("ascii")
    except (OSError, ValueError) as error:  # a missing symbol is a ValueError
        if not path.exists():
            wanted = f"the library that {remedy} builds" if is_checkout else f"the library that {remedy} installs"
            raise UnfitHost(where, NOTHING, wanted) from None
        if os.statvfs(path).f_flag & os.ST_NOEXEC:
            wanted = "a folder that is not mounted `noexec`: install the package into another one"
        else:
            wanted = f"a library for this Python and this machine, as {remedy} makes"
        raise UnfitHost(where, str(error), wanted) from None
    if is_checkout and built_from != _native.digest_of(checkout / "native"):
        wanted = f"a library of the present sources in {checkout / 'native'}, which {remedy} builds"
        raise UnfitHost(where, "a library of other sources", wanted)
    return library
