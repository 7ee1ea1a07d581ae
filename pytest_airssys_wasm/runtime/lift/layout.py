"""The layout of values in the memory of a guest and in core values, as the Canonical ABI defines it, for the types that
can be copied: all but resources, futures, streams and error contexts.

The section names are those of `CanonicalABI.md` of the Component Model.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.runtime.capi.guard import LIFTED_VAL_BYTES
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    ResultType,
    TupleType,
    VariantType,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.wit.types import WitType

NUMBER_BYTES = {
    name: size
    for size, names in ((1, "bool s8 u8"), (2, "s16 u16"), (4, "s32 u32 f32 char"), (8, "s64 u64 f64"))
    for name in names.split()
}
"""The sizes of the types without parts, which are also their alignments (`Alignment`, `Element Size`)."""
_CORE_TYPES = {"s64": "i64", "u64": "i64", "f32": "f32", "f64": "f64"}
_STRING = Primitive("string")
_MOST_FLAT_PARAMETERS = 16
"""`MAX_FLAT_PARAMS` (`Flattening`): with more, the arguments themselves are passed in memory."""
_MOST_FLAT = 128
_MOST_CASES = 256
DISCRIMINANT_BYTES = 1
"""The size of the number of a case, of at most `_MOST_CASES` (`discriminant_type`)."""
_MOST_FLAGS = 32
_MOST_BYTES_FOR_ONE = 2
"""The number of bytes of a list for which wasmtime has to charge at least one byte.

It bounds what the copies of a result may take, because wasmtime charges 128 MiB at most.
"""


class Layout(Struct, frozen=True):
    """The layout of a type."""

    size: int
    """The bytes of a value in memory (`Element Size`)."""
    alignment: int
    flat: tuple[str, ...]
    """The types of the core values that a value flattens to (`Flattening`)."""
    has_pointers: bool
    """Whether it contains text or lists."""
    is_dense: bool
    """Whether all bytes belong to numbers, so that storing any value writes all of them and nothing else."""
    blocks: int
    """The greatest number of texts and lists in a value, those in lists not counted."""
    least_charge: int
    """The bytes that wasmtime charges at least for lifting a value."""


_PAIR = Layout(size=8, alignment=4, flat=("i32", "i32"), has_pointers=True, is_dense=False, blocks=1, least_charge=0)
"""The layout of a text or list: a pointer and a length."""


class NotCopied(Exception):
    """The internal error for a type whose values are not copied."""


class Cases(Struct, frozen=True):
    """The cases of a variant, enum, option or result."""

    payloads: tuple[WitType | None, ...]
    """The types of their payloads, in their order."""
    offset: int
    """The place of the payload, whichever it is, behind the beginning of the value."""


@lru_cache(maxsize=4_096)
def cases_of(type_: WitType) -> Cases | None:
    """Return the cases of a type; `None` if it has none. Raises `NotCopied`."""
    match type_:
        case VariantType(cases):
            payloads: tuple[WitType | None, ...] = tuple(payload for _, payload in cases)
        case EnumType(names):
            payloads = (None,) * len(names)
        case OptionType(payload):
            payloads = (None, payload)
        case ResultType(ok, err):
            payloads = (ok, err)
        case _:
            return None
    if not 0 < len(payloads) <= _MOST_CASES:
        raise NotCopied
    alignment = max((layout_of(payload).alignment for payload in payloads if payload is not None), default=1)
    return Cases(payloads, _aligned(DISCRIMINANT_BYTES, alignment))


@lru_cache(maxsize=4_096)
def layout_of(type_: WitType) -> Layout:
    """Return the layout of a type. Raises `NotCopied` for one whose values are not copied."""
    match type_:
        case Primitive("string"):
            return _PAIR
        case Primitive(name) if name in NUMBER_BYTES:
            size = NUMBER_BYTES[name]
            return _numbers(size, size, _CORE_TYPES.get(name, "i32"))
        case ListType(element):
            inner = layout_of(element)
            if inner.size > _MOST_BYTES_FOR_ONE * (LIFTED_VAL_BYTES + inner.least_charge):
                raise NotCopied
            return _PAIR
        case FlagsType(names) if 0 < len(names) <= _MOST_FLAGS:
            size = 1 if len(names) <= 8 else 2 if len(names) <= 16 else 4
            return _numbers(size, size, "i32")
        case RecordType(fields):
            return _of_parts([part for _, part in fields])
        case TupleType(elements):
            return _of_parts(elements)
    cases = cases_of(type_)
    if cases is None:
        raise NotCopied
    return _of_cases(cases)


def _numbers(size: int, alignment: int, core_type: str) -> Layout:
    return Layout(
        size=size,
        alignment=alignment,
        flat=(core_type,),
        has_pointers=False,
        is_dense=True,
        blocks=0,
        least_charge=0,
    )


def _of_parts(parts: Sequence[WitType]) -> Layout:
    layouts = [layout_of(part) for part in parts]
    flat = tuple(core_type for layout in layouts for core_type in layout.flat)
    if not 0 < len(flat) <= _MOST_FLAT:
        raise NotCopied
    alignment = max(layout.alignment for layout in layouts)
    size = _aligned(offsets_of(parts)[-1] + layouts[-1].size, alignment)
    return Layout(
        size=size,
        alignment=alignment,
        flat=flat,
        has_pointers=any(layout.has_pointers for layout in layouts),
        is_dense=all(layout.is_dense for layout in layouts) and size == sum(layout.size for layout in layouts),
        blocks=sum(layout.blocks for layout in layouts),
        least_charge=sum(LIFTED_VAL_BYTES + layout.least_charge for layout in layouts),
    )


def _of_cases(cases: Cases) -> Layout:
    layouts = [layout_of(payload) for payload in cases.payloads if payload is not None]
    joined: list[str] = []
    for layout in layouts:
        joined = [_join(one, other) for one, other in zip_longest(joined, layout.flat)]
    flat = ("i32", *joined)
    if len(flat) > _MOST_FLAT:
        raise NotCopied
    alignment = max([1, *(layout.alignment for layout in layouts)])
    return Layout(
        size=_aligned(cases.offset + max([0, *(layout.size for layout in layouts)]), alignment),
        alignment=alignment,
        flat=flat,
        has_pointers=any(layout.has_pointers for layout in layouts),
        is_dense=not layouts,
        blocks=max([0, *(layout.blocks for layout in layouts)]),
        least_charge=0,
    )


def _join(one: str | None, other: str | None) -> str:
    """Return the core type that holds the values of two (`join`)."""
    if one is None or other is None or one == other:
        return one or other or ""
    return "i32" if {one, other} == {"i32", "f32"} else "i64"


def offsets_of(parts: Sequence[WitType]) -> list[int]:
    """Return the offsets of the parts of a record or tuple. Raises `NotCopied`."""
    offsets, at = [], 0
    for layout in map(layout_of, parts):
        at = _aligned(at, layout.alignment)
        offsets.append(at)
        at += layout.size
    return offsets


def _aligned(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) & -alignment


class Signature(Struct, frozen=True):
    """The types of a function whose values are copied."""

    params: tuple[WitType, ...]
    result: WitType | None

    @property
    def flat(self) -> list[str]:
        """The types of the core values that the arguments flatten to."""
        return [core_type for param in self.params for core_type in layout_of(param).flat]

    @property
    def blocks(self) -> int:
        """The greatest number of texts and lists in the arguments, those in lists not counted."""
        return sum(layout_of(param).blocks for param in self.params)

    @property
    def is_pointer(self) -> bool:
        """Whether the result is in the memory of the guest (`MAX_FLAT_RESULTS`)."""
        return self.result is not None and len(layout_of(self.result).flat) > 1


def only_part(result: WitType) -> WitType:
    """Return the type of the innermost part of a type that is one core value."""
    match result:
        case RecordType(((_, part),)):
            return only_part(part)
        case TupleType((part,)):
            return only_part(part)
    return result


def signature_of(params: Sequence[WitType], result: WitType | None) -> Signature | None:
    """Return the signature of a function; `None` if its values cannot be copied, or are nothing but numbers."""
    signature = Signature(tuple(params), result)
    types = [*signature.params, *([] if result is None else [result])]
    if all(isinstance(type_, Primitive) and type_ != _STRING for type_ in types):
        return None
    try:
        for type_ in types:
            layout_of(type_)
    except NotCopied:
        return None
    return None if len(signature.flat) > _MOST_FLAT_PARAMETERS else signature
