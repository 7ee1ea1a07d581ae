"""The reader of a component's own definitions, as far as they tell which core functions its exports lift.

The numbers are those of `Binary.md` of the Component Model. A component is followed only if its core code cannot leave
it: without imports other than names for types, and without canonical definitions other than lifts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.binary.byte_reader import Reader
from pytest_airssys_wasm.runtime.binary.component_reader import COMPONENT_MAGIC
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
    from collections.abc import Callable, Iterator

    from pytest_airssys_wasm.runtime.wit.types import WitType

_FUNCTION_SORT, _TYPE_SORT, _INSTANCE_SORT = 1, 3, 5
"""The sorts of items (`sort`)."""
PRIMITIVE_CODES = {
    name: 0x7F - number
    for number, name in enumerate(
        ("bool", "s8", "u8", "s16", "u16", "s32", "u32", "s64", "u64", "f32", "f64", "char", "string")
    )
}
"""The encodings of the types without parts (`primvaltype`)."""
_PRIMITIVES = {code: name for name, code in PRIMITIVE_CODES.items()}
UTF8, MEMORY, REALLOC, POST_RETURN = 0x00, 0x03, 0x04, 0x05
"""The options of lifts (`canonopt`)."""
_DEEPEST = 8
_MOST_PARTS = 64


class NotFollowed(Exception):
    """The internal error for a component that is not followed, or not to its end."""


class FunctionShape(Struct, frozen=True):
    """The type of a function; `None` stands for types that are not followed."""

    params: tuple[WitType | None, ...]
    result: WitType | None
    has_result: bool


class Lift(Struct, frozen=True):
    """A `canon lift`."""

    core_function: int
    options: dict[int, int]
    """The options by their encodings, with the index of the memory or core function, or 0."""
    type: FunctionShape | None


class _Value(Struct, frozen=True):
    type: WitType
    depth: int
    parts: int


class Root(Struct):
    """The definitions of a component."""

    types: list[_Value | FunctionShape | None] = field(default_factory=list)
    functions: list[Lift | None] = field(default_factory=list)
    instances: list[dict[str, int]] = field(default_factory=list)
    """The functions of each component instance, by name."""
    shims: list[dict[str, str]] = field(default_factory=list)
    """The functions that each component in it exports, by name, with the names under which it imports them."""
    exports: dict[str, Lift] = field(default_factory=dict)
    """The exported functions by their full names."""


def read_root(binary: bytes) -> Root:
    """Return the definitions of a component.

    Raises `NotFollowed`; and `Malformed`, `IndexError` or `UnicodeDecodeError` for a malformed binary.
    """
    root = Root()
    for section, body in _sections(memoryview(binary)):
        match section:
            case 0 | 1 | 2 | 3:  # custom, core modules, core instances, core types
                continue
            case 4:
                root.shims.append(_read_shim(body.take(len(body.data))))
            case 5:
                for _ in body.each():
                    root.instances.append(_instance(body, root))
            case 6:
                for _ in body.each():
                    _alias(body, root)
            case 7:
                for _ in body.each():
                    root.types.append(_type(body, root))
            case 8:
                for _ in body.each():
                    root.functions.append(_lift(body, root))
            case 10:
                for _ in body.each():
                    root.types.append(root.types[_imported_type(body)])
            case 11:
                for _ in body.each():
                    _export(body, root)
            case _:
                raise NotFollowed
        if body.at != len(body.data):
            raise NotFollowed
    return root


def _sections(data: memoryview) -> Iterator[tuple[int, Reader]]:
    if data[:8] != COMPONENT_MAGIC:
        raise NotFollowed
    return Reader(data[8:]).sections()


def _read_shim(data: memoryview) -> dict[str, str]:
    """Return the functions that a component only passes on: their names as exports, and as imports."""
    functions: list[str] = []
    exports: dict[str, str] = {}
    for section, body in _sections(data):
        match section:
            case 0 | 7:
                continue
            case 10:
                for _ in body.each():
                    name = _name(body)
                    if _extern_type(body) == _FUNCTION_SORT:
                        functions.append(name)
            case 11:
                for _ in body.each():
                    name, sort, index = _name(body), body.byte(), body.number(32)
                    if body.byte():
                        _extern_type(body)
                    if sort == _FUNCTION_SORT:
                        exports[name] = functions[index]
                        functions.append(functions[index])
            case _:
                raise NotFollowed
    return exports


def _instance(body: Reader, root: Root) -> dict[str, int]:
    if body.byte():  # made of other items (`inlineexport`)
        items = [(_name(body), *_item(body)) for _ in body.each()]
        return {name: index for name, sort, index in items if sort == _FUNCTION_SORT}
    passed_on = root.shims[body.number(32)]
    given = {name: index for name, sort, index in ((body.name(), *_item(body)) for _ in body.each())}
    return {name: given[imported] for name, imported in passed_on.items() if imported in given}


def _item(body: Reader) -> tuple[int, int]:
    """Return the sort and the index of an item (`sortidx`)."""
    sort = body.byte()
    if sort == 0:
        body.byte()
    return sort, body.number(32)


def _alias(body: Reader, root: Root) -> None:
    sort = body.byte()
    if sort == 0:
        body.byte()
    target = body.byte()
    instance = body.number(32)
    name = body.name() if target in (0, 1) else body.number(32)
    if sort == 0:
        return
    if sort == _FUNCTION_SORT and target == 0 and isinstance(name, str):
        index = root.instances[instance].get(name)
        root.functions.append(None if index is None else root.functions[index])
    elif sort == _TYPE_SORT:
        root.types.append(None)
    else:
        raise NotFollowed


def _type(body: Reader, root: Root) -> _Value | FunctionShape | None:
    """Return a type (`deftype`)."""
    form = body.byte()
    match form:
        case 0x40:
            params = tuple((body.name(), _value_type(body, root))[1] for _ in body.each())
            if body.byte():
                body.byte()
                return FunctionShape(_plain(params), None, has_result=False)
            (result,) = _plain((_value_type(body, root),))
            return FunctionShape(_plain(params), result, has_result=True)
        case 0x72:
            fields = [(body.name(), _value_type(body, root)) for _ in body.each()]
            names = [name for name, _ in fields]
            return _made(lambda parts: RecordType(tuple(zip(names, parts))), [type_ for _, type_ in fields])
        case 0x6F:
            return _made(TupleType, [_value_type(body, root) for _ in body.each()])
        case 0x70:
            return _made(lambda parts: ListType(parts[0]), [_value_type(body, root)])
        case 0x71:
            cases = []
            for _ in body.each():
                cases.append((body.name(), _optional(body, root)))
                body.byte()
            return _made_of_cases(lambda parts: VariantType(tuple(zip([name for name, _ in cases], parts))), cases)
        case 0x6E:
            return _Value(FlagsType(tuple(body.name() for _ in body.each())), 0, 1)
        case 0x6D:
            return _Value(EnumType(tuple(body.name() for _ in body.each())), 0, 1)
        case 0x6B:
            return _made(lambda parts: OptionType(parts[0]), [_value_type(body, root)])
        case 0x6A:
            both = [("ok", _optional(body, root)), ("err", _optional(body, root))]
            return _made_of_cases(lambda parts: ResultType(*parts), both)
        case _ if form in _PRIMITIVES:
            return _Value(Primitive(_PRIMITIVES[form]), 0, 1)
        case _:
            raise NotFollowed


def _optional(body: Reader, root: Root) -> tuple[bool, _Value | None]:
    """Return whether there is a type, and the type, if it is followed."""
    return (True, _value_type(body, root)) if body.byte() else (False, None)


def _value_type(body: Reader, root: Root) -> _Value | None:
    """Return the type of a value (`valtype`): one without parts, or one by its index."""
    number = body.signed(33)
    if number < 0:
        name = _PRIMITIVES.get(number & 0x7F)
        return None if name is None else _Value(Primitive(name), 0, 1)
    found = root.types[number]
    return found if isinstance(found, _Value) else None


def _plain(types: tuple[_Value | None, ...]) -> tuple[WitType | None, ...]:
    return tuple(None if type_ is None else type_.type for type_ in types)


def _made(make: Callable[[tuple[WitType, ...]], WitType], parts: list[_Value | None]) -> _Value | None:
    """Return a type of these parts; `None` if one is not followed, or if it is too large."""
    known = [part for part in parts if part is not None]
    depth, count = max((part.depth for part in known), default=0) + 1, sum(part.parts for part in known)
    if len(known) != len(parts) or not known or depth > _DEEPEST or count > _MOST_PARTS:
        return None
    return _Value(make(tuple(part.type for part in known)), depth, count)


def _made_of_cases(
    make: Callable[[list[WitType | None]], WitType], cases: list[tuple[str, tuple[bool, _Value | None]]]
) -> _Value | None:
    """Return a type with these cases; `None` if the payload of one is not followed, or if it is too large."""
    given = [payload for _, (is_given, payload) in cases if is_given]

    def of_payloads(found: tuple[WitType, ...]) -> WitType:
        rest = iter(found)
        return make([next(rest) if is_given else None for _, (is_given, _) in cases])

    return _made(of_payloads, given) if given else _Value(of_payloads(()), 0, 1)


def _lift(body: Reader, root: Root) -> Lift:
    """Return a canonical definition (`canon`), which must be a lift."""
    if body.byte() or body.byte():
        raise NotFollowed
    core_function, options = body.number(32), {}
    for _ in body.each():
        option = body.byte()
        if option > POST_RETURN:
            raise NotFollowed
        options[option] = body.number(32) if option >= MEMORY else 0
    type_ = root.types[body.number(32)]
    return Lift(core_function, options, type_ if isinstance(type_, FunctionShape) else None)


def _export(body: Reader, root: Root) -> None:
    name = _name(body)
    sort, index = _item(body)
    if body.byte():
        _extern_type(body)
    if sort == _FUNCTION_SORT:
        found = root.functions[index]
        root.functions.append(found)
        if found is not None:
            root.exports[name] = found
    elif sort == _TYPE_SORT:
        root.types.append(root.types[index])
    elif sort == _INSTANCE_SORT:
        for inner, number in root.instances[index].items():
            lift = root.functions[number]
            if lift is not None:
                root.exports[f"{name}#{inner}"] = lift
        root.instances.append(root.instances[index])
    else:
        raise NotFollowed


def _imported_type(body: Reader) -> int:
    """Return the index of a type that an import gives a name (`eq`). Other imports are not followed."""
    _name(body)
    if (body.byte(), body.byte()) != (_TYPE_SORT, 0):
        raise NotFollowed
    return body.number(32)


def _name(body: Reader) -> str:
    """Return the name of an import or export (`externname`)."""
    if body.byte() > 1:
        raise NotFollowed
    return body.name()


def _extern_type(body: Reader) -> int:
    """Skip the type of an import or export (`externdesc`), and return its sort."""
    sort = body.byte()
    if sort == 0:
        body.byte()
    elif sort == 2:
        raise NotFollowed
    if sort != _TYPE_SORT or not body.byte():  # of the bounds of types, `sub resource` names no type
        body.number(32)
    return sort
