"""The layout of values in the memory of a guest, as the Canonical ABI defines it, for types that can be copied.

These are the numbers, bools and chars, text, lists whose elements contain neither text nor lists, and records and
tuples of all of them. The section names are those of `CanonicalABI.md` of the Component Model.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, TypeGuard

from pytest_airssys_wasm.runtime.wit.types import ListType, Primitive, RecordType, TupleType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.runtime.wit.types import WitType

NUMBER_BYTES = {
    name: size
    for size, names in ((1, "bool s8 u8"), (2, "s16 u16"), (4, "s32 u32 f32 char"), (8, "s64 u64 f64"))
    for name in names.split()
}
"""The sizes of the types without parts, which are also their alignments (`Alignment`, `Element Size`)."""
_PAIR_BYTES, _PAIR_ALIGNMENT = 8, 4
_MOST_FLAT_PARAMETERS = 16
"""`MAX_FLAT_PARAMS` (`Flattening`): with more, the arguments themselves are passed in memory."""
_MOST_LEAVES = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """The layout of a type in memory."""

    size: int
    alignment: int
    leaves: tuple[tuple[int, Primitive | ListType], ...]
    """The offsets and types of its parts that are not records or tuples, in their order."""

    @property
    def has_pointers(self) -> bool:
        """Whether it contains text or lists."""
        return any(is_pair(type_) for _, type_ in self.leaves)

    @property
    def is_dense(self) -> bool:
        """Whether every byte belongs to a number: bytes between them must not be written."""
        return not self.has_pointers and self.size == sum(layout_of(type_).size for _, type_ in self.leaves)

    @property
    def flat_count(self) -> int:
        """The number of core values that it flattens to."""
        return sum(1 + is_pair(type_) for _, type_ in self.leaves)


class NotCopied(Exception):
    """The internal error for a type whose values are not copied."""


def is_pair(type_: WitType) -> TypeGuard[Primitive | ListType]:
    """Return whether a leaf is a pointer with a length."""
    return isinstance(type_, ListType) or type_ == Primitive("string")


@lru_cache(maxsize=4_096)
def layout_of(type_: WitType) -> Layout:
    """Return the layout of a type. Raises `NotCopied` for one whose values are not copied."""
    match type_:
        case Primitive("string"):
            return Layout(_PAIR_BYTES, _PAIR_ALIGNMENT, ((0, type_),))
        case Primitive(name) if name in NUMBER_BYTES:
            return Layout(NUMBER_BYTES[name], NUMBER_BYTES[name], ((0, type_),))
        case ListType(element):
            if layout_of(element).has_pointers:
                raise NotCopied
            return Layout(_PAIR_BYTES, _PAIR_ALIGNMENT, ((0, type_),))
        case RecordType(fields):
            return _of_parts([part for _, part in fields])
        case TupleType(elements):
            return _of_parts(elements)
        case _:
            raise NotCopied


def _of_parts(parts: Sequence[WitType]) -> Layout:
    layouts = [layout_of(part) for part in parts]
    if not 0 < sum(len(layout.leaves) for layout in layouts) <= _MOST_LEAVES:
        raise NotCopied
    placed = [*zip(offsets_of(parts), layouts)]
    end, last = placed[-1]
    alignment = max(layout.alignment for layout in layouts)
    return Layout(
        _aligned(end + last.size, alignment),
        alignment,
        tuple((at + offset, leaf) for at, layout in placed for offset, leaf in layout.leaves),
    )


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


@dataclass(frozen=True, slots=True)
class Signature:
    """The types of a function whose lists and text are copied."""

    params: tuple[WitType, ...]
    result: WitType | None

    @property
    def leaves(self) -> list[Primitive | ListType]:
        """The parts of the parameters that are not records or tuples."""
        return [leaf for param in self.params for _, leaf in layout_of(param).leaves]

    @property
    def is_scalar(self) -> bool:
        """Whether the result is a number, bool or char, which is returned itself."""
        return isinstance(self.result, Primitive) and not is_pair(self.result)

    @property
    def is_pointer(self) -> bool:
        """Whether the result is in the memory of the guest."""
        return self.result is not None and not self.is_scalar


def signature_of(params: Sequence[WitType], result: WitType | None) -> Signature | None:
    """Return the signature of a function; `None` if nothing in it is, or may be, copied."""
    signature = Signature(tuple(params), result)
    try:
        count = sum(layout_of(param).flat_count for param in params)
        lists = [leaf for leaf in signature.leaves if isinstance(leaf, ListType)]
        returned = None if result is None else layout_of(result)
    except NotCopied:
        return None
    if count > _MOST_FLAT_PARAMETERS or not all(layout_of(leaf.element).is_dense for leaf in lists):
        return None
    if signature.is_pointer and returned is not None and returned.flat_count == 1:
        return None  # a record of one number is returned itself
    gives = returned is not None and returned.has_pointers
    return signature if gives or any(map(is_pair, signature.leaves)) else None
