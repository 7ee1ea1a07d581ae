"""The layout of C values of functions that take and return only numbers and bools, which one `struct` both checks and
writes if each value has exactly the class of its type.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi import vals
from pytest_airssys_wasm.runtime.wit.types import Primitive

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_airssys_wasm.runtime.wit.types import FunctionType, WitType

CORE_FORMATS = {"i32": (int, "i", 12), "i64": (int, "q", 8), "f64": (float, "d", 8)}
"""The class and the `struct` format of values of modules, and the padding behind them in 16 bytes."""
FORMATS = {
    "bool": (bool, "?", 23),
    "s8": (int, "b", 23),
    "u8": (int, "B", 23),
    "s16": (int, "h", 22),
    "u16": (int, "H", 22),
    "s32": (int, "i", 20),
    "u32": (int, "I", 20),
    "s64": (int, "q", 16),
    "u64": (int, "Q", 16),
    "f64": (float, "d", 16),
}
"""The class and the `struct` format of values of components, and the padding behind them in a C value."""


class PlainLayout(Struct, frozen=True, kw_only=True):
    """The C values of an export of a component."""

    classes: tuple[type, ...]
    """The classes of the arguments. Instances of exactly these can be written with `write`."""
    kinds: tuple[int, ...]
    """The kinds of the C values of the arguments."""
    arguments: str
    """The `struct` format of the arguments, each behind its kind."""
    results: str
    """The `struct` format of the result behind its kind; empty without one."""
    write: Callable[..., None]
    """A function `(buffer, offset, kind, argument, kind, argument, …)`.

    Raises `struct.error` for an argument that is not in the range of its type.
    """
    read: Callable[..., tuple[Any, ...]]
    """A function `(buffer, offset of the C value)` that returns a tuple of the result; of nothing without one."""


def plain_layout(function: FunctionType) -> PlainLayout | None:
    """Return the layout of a function's C values; `None` if one of its types is not a number or bool."""
    both = [type_ for _, type_ in function.params]
    if function.result is not None:
        both.append(function.result)
    names = [type_.name for type_ in both if isinstance(type_, Primitive) and type_.name in FORMATS]
    if len(names) != len(both):
        return None
    params, results = names[: len(function.params)], names[len(function.params) :]
    arguments = "".join(f"B7x{FORMATS[name][1]}{FORMATS[name][2]}x" for name in params)
    return PlainLayout(
        classes=tuple(FORMATS[name][0] for name in params),
        kinds=tuple(vals.KINDS[name] for name in params),
        arguments=arguments,
        results="".join(f"{vals.PAYLOAD}x{FORMATS[name][1]}{FORMATS[name][2]}x" for name in results),
        write=struct.Struct(f"<{arguments}").pack_into,
        read=struct.Struct(f"<{vals.PAYLOAD}x{''.join(FORMATS[name][1] for name in results)}").unpack_from,
    )


def plain_reader(types: Sequence[WitType]) -> Callable[[Any, int], tuple[Any, ...]] | None:
    """Return a function `(buffer, offset of the first C value)` that returns the values of the arguments of a host
    function; `None` if one of the types is not a number or bool.
    """
    names = [type_.name for type_ in types if isinstance(type_, Primitive) and type_.name in FORMATS]
    if len(names) != len(types):
        return None
    values = (f"{vals.PAYLOAD}x{code}{padding}x" for _, code, padding in map(FORMATS.__getitem__, names))
    return struct.Struct("<" + "".join(values)).unpack_from


class PlainCoreLayout(Struct, frozen=True, kw_only=True):
    """The C values of an export of a module, of 16 bytes each. The results are written over the arguments."""

    classes: tuple[type, ...]
    """The classes of the arguments. Instances of exactly these can be written with `write`."""
    size: int
    """The bytes of the arguments or the results, whichever are more; at least 16."""
    arguments: str
    """The `struct` format of the arguments."""
    results: str
    """The `struct` format of the results."""
    write: Callable[..., None]
    """A function `(buffer, offset, *arguments)`. Raises `struct.error` as that of `PlainLayout` does."""
    read: Callable[..., tuple[Any, ...]]
    """A function `(buffer)` that returns the results."""
    kinds: None = None
    """There are no kinds in the C values of modules."""


@lru_cache(maxsize=512)
def plain_core_layout(params: tuple[str, ...], results: tuple[str, ...]) -> PlainCoreLayout | None:
    """Return the layout of core values; `None` if one of the types is a float of 32 bits, a vector or a reference."""
    if any(type_ not in CORE_FORMATS for type_ in (*params, *results)):
        return None
    arguments, values = _core_format(params), _core_format(results)
    return PlainCoreLayout(
        classes=tuple(CORE_FORMATS[type_][0] for type_ in params),
        size=16 * max(1, len(params), len(results)),
        arguments=arguments,
        results=values,
        write=struct.Struct(f"<{arguments}").pack_into,
        read=struct.Struct(f"<{values}").unpack_from,
    )


def _core_format(types: Sequence[str]) -> str:
    return "".join(f"{format_}{padding}x" for _, format_, padding in map(CORE_FORMATS.__getitem__, types))
