"""The sections that are appended to a component: a second, scalar lift of the core functions that its exports lift.

Such a lift takes and returns the numbers to which the values flatten that the lift of the component takes and returns:
a pointer and a length for a list or a text. The numbers of sections and definitions are those of `Binary.md` of the
Component Model. Sections at the end move nothing: the indices and offsets of all other definitions stay.
"""

from __future__ import annotations

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed
from pytest_airssys_wasm.runtime.lift.layout import Signature, only_part, signature_of
from pytest_airssys_wasm.runtime.lift.lowering import CORE_TYPES
from pytest_airssys_wasm.runtime.lift.names import CALL, REALLOC, function_name, instance_name
from pytest_airssys_wasm.runtime.lift.names import POST_RETURN as POST_RETURN_ROLE
from pytest_airssys_wasm.runtime.lift.root import (
    MEMORY,
    POST_RETURN,
    PRIMITIVE_CODES,
    UTF8,
    Lift,
    NotFollowed,
    read_root,
)
from pytest_airssys_wasm.runtime.lift.root import REALLOC as REALLOC_OPTION
from pytest_airssys_wasm.runtime.wit.types import Primitive

_MOST_LIFTED = 256
"""The number of exports that are lifted a second time."""
_INSTANCE, _TYPE, _CANON, _EXPORT = 5, 7, 8, 11
_U32 = PRIMITIVE_CODES["u32"]


def with_scalar_lifts(binary: bytes, digest: str) -> bytes:
    """Return a component with scalar lifts for those exports whose values can be copied.

    `digest` is the SHA-256 digest of the binary in hexadecimal. The binary itself is returned if there are none.
    """
    try:
        root = read_root(binary)
    except (NotFollowed, Malformed, IndexError, UnicodeDecodeError, KeyError):
        return binary
    types: list[bytes] = []
    lifts: list[bytes] = []
    items: list[bytes] = []

    def add(name: str, core_function: int, params: list[int], result: int | None) -> None:
        type_index, function_index = len(root.types) + len(types), len(root.functions) + len(lifts)
        types.append(_function_type(params, result))
        # canon lift: 0x00 0x00, the core function, no options, the type
        lifts.append(b"\x00\x00" + _unsigned(core_function) + b"\x00" + _unsigned(type_index))
        # inlineexport: the name, and the item, of the sort `func`
        items.append(b"\x00" + _text(name) + b"\x01" + _unsigned(function_index))

    for name, lift in list(root.exports.items())[:_MOST_LIFTED]:
        signature = _signature(lift)
        if signature is None:
            continue
        add(function_name(CALL, name), lift.core_function, _params(signature), _result(signature))
        if REALLOC_OPTION in lift.options:
            add(function_name(REALLOC, name), lift.options[REALLOC_OPTION], [_U32] * 4, _U32)
        if POST_RETURN in lift.options:
            add(function_name(POST_RETURN_ROLE, name), lift.options[POST_RETURN], [_U32], None)
    if not lifts:
        return binary
    # instance: 0x01 for one that is made of items; export: the name, the sort `instance` and its index, no type
    made = b"\x01" + _vector(items)
    export = b"\x00" + _text(instance_name(digest)) + b"\x05" + _unsigned(len(root.instances)) + b"\x00"
    return b"".join(
        [
            binary,
            _section(_TYPE, types),
            _section(_CANON, lifts),
            _section(_INSTANCE, [made]),
            _section(_EXPORT, [export]),
        ]
    )


def _signature(lift: Lift) -> Signature | None:
    """Return the signature of an export that can be copied; `None` if it cannot."""
    type_, options = lift.type, lift.options
    if type_ is None or (type_.has_result and type_.result is None):
        return None
    params = [param for param in type_.params if param is not None]
    if len(params) != len(type_.params) or not options.keys() <= {UTF8, MEMORY, REALLOC_OPTION, POST_RETURN}:
        return None
    signature = signature_of(params, type_.result)
    if signature is None or (MEMORY not in options and (signature.is_pointer or signature.blocks)):
        return None
    if signature.blocks and REALLOC_OPTION not in options:
        return None
    # Another result would be lifted before `post-return` gets it, which takes what the core function has returned.
    return None if POST_RETURN in options and not signature.is_pointer else signature


def _params(signature: Signature) -> list[int]:
    """Return the types of the scalar lift's parameters."""
    return [PRIMITIVE_CODES[CORE_TYPES[type_]] for type_ in signature.flat]


def _result(signature: Signature) -> int | None:
    if signature.result is None:
        return None
    part = only_part(signature.result)
    return PRIMITIVE_CODES[part.name] if isinstance(part, Primitive) and not signature.is_pointer else _U32


def _function_type(params: list[int], result: int | None) -> bytes:
    """Return a type of functions (`functype`)."""
    named = [_text(f"p{number}") + bytes([code]) for number, code in enumerate(params)]
    return b"\x40" + _vector(named) + (b"\x01\x00" if result is None else bytes([0, result]))


def _section(number: int, definitions: list[bytes]) -> bytes:
    content = _vector(definitions)
    return bytes([number]) + _unsigned(len(content)) + content


def _vector(elements: list[bytes]) -> bytes:
    return _unsigned(len(elements)) + b"".join(elements)


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _unsigned(len(encoded)) + encoded


def _unsigned(value: int) -> bytes:
    """Return an unsigned number as LEB128."""
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(0x80 | value & 0x7F)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
