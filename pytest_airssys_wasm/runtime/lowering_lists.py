"""Python sequences -> lists of component values. Numbers, bools and chars are stored column-wise, without a loop."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.capi.abi import VAL_BYTES
from pytest_airssys_wasm.runtime.capi.vals import KINDS, MEMORY, NUMBER_CODES, VECTOR, column, fill_kinds
from pytest_airssys_wasm.runtime.values import Misfit, WrongType, show
from pytest_airssys_wasm.runtime.wit import Primitive, spell

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from pytest_airssys_wasm.runtime.lowering_scalars import Lower
    from pytest_airssys_wasm.runtime.transfer import Transfer
    from pytest_airssys_wasm.runtime.wit import ListType

    Column: TypeAlias = "array[Any] | bytes"
    Pack = Callable[[tuple[Any, ...]], Column | None]
    """All elements as machine words, or `None` when one does not fit (or cannot be told to)."""

_FEW = 8
"""Up to so many elements, converting one by one is faster."""
_BLOCK_BYTES = 64 * 1024


def lower_list(type_: ListType, lower_element: Lower, element_bytes: int) -> Lower:
    """The converter of a list, each of whose elements is charged `element_bytes`."""
    kind = KINDS["list"]
    element_bytes = max(1, element_bytes)
    pack = _packers().get(type_.element.name) if isinstance(type_.element, Primitive) else None
    code = "" if pack is None else _CODES[type_.element.name]  # type: ignore[union-attr] # a primitive has a name
    element_kind = 0 if pack is None else KINDS[type_.element.name]  # type: ignore[union-attr]
    takes_bytes = type_.element == Primitive("u8")
    block = max(1, min(1024, _BLOCK_BYTES // element_bytes))

    def lower(value: Any, address: int, transfer: Transfer) -> None:
        words: Column | None = None
        if takes_bytes and isinstance(value, (bytes, bytearray, memoryview)):
            words = _octets(value, transfer)
            count = len(words)
        else:
            if not isinstance(value, Sequence) or isinstance(value, (str, bytes, bytearray, memoryview)):
                raise WrongType(f"expected {spell(type_)}, got {show(value)}")
            transfer.charge(len(value) * element_bytes)
            elements = tuple(value)  # a list that another thread shortens would leave values unwritten
            count = len(elements)
            if pack is not None and count > _FEW:
                words = pack(elements)
        values = transfer.allocate(count * VAL_BYTES)
        VECTOR.pack_into(MEMORY, address, kind, count, values)
        if words is not None:
            fill_kinds(values, count, element_kind)
            column(values, count, code)[:] = memoryview(words).cast("B").cast(code)
            return
        index = 0
        try:
            for start in range(0, count, block):
                transfer.check()
                for index in range(start, min(count, start + block)):
                    lower_element(elements[index], values + VAL_BYTES * index, transfer)
        except Misfit as misfit:
            misfit.steps.append(f"[{index}]")
            raise

    return lower


def _octets(value: bytes | bytearray | memoryview, transfer: Transfer) -> bytes:
    if isinstance(value, memoryview):
        if value.format not in ("B", "c"):
            raise WrongType(f"expected list<u8>, got a memoryview of format {value.format!r}")
        transfer.charge(value.nbytes)
    else:
        transfer.charge(len(value))
    return bytes(value)


_CODES = {**NUMBER_CODES, "bool": "B", "char": "I"}


def _packers() -> dict[str, Pack]:
    integers = {name: _pack_integers(code) for name, code in NUMBER_CODES.items() if code not in "fd"}
    return {**integers, "f32": _pack_f32, "f64": _pack_f64, "bool": _pack_bools, "char": _pack_chars}


def _pack_integers(code: str) -> Pack:
    def pack(elements: tuple[Any, ...]) -> Column | None:
        if set(map(type, elements)) != {int}:
            return None
        try:
            return array(code, elements)
        except OverflowError:
            return None

    return pack


def _pack_f64(elements: tuple[Any, ...]) -> Column | None:
    types = set(map(type, elements))
    if not types <= {float, int}:
        return None
    try:
        words = array("d", elements)
    except OverflowError:
        return None
    # Python compares ints with floats exactly; a NaN only fails to be told here.
    return words if types == {float} or tuple(words) == elements else None


def _pack_f32(elements: tuple[Any, ...]) -> Column | None:
    types = set(map(type, elements))
    if types != {float} and types != {int}:
        return None
    try:
        words = Struct(f"<{len(elements)}f").pack(*elements)  # `array` would turn numbers beyond f32 into infinities
    except OverflowError:
        return None
    return words if types == {float} or tuple(memoryview(words).cast("f")) == elements else None


def _pack_bools(elements: tuple[Any, ...]) -> Column | None:
    return bytes(elements) if set(map(type, elements)) == {bool} else None


def _pack_chars(elements: tuple[Any, ...]) -> Column | None:
    if set(map(type, elements)) != {str}:
        return None
    text = "".join(elements)
    if len(text) != len(elements) or "" in elements:
        return None
    try:
        return text.encode("utf-32-le")
    except UnicodeEncodeError:
        return None
