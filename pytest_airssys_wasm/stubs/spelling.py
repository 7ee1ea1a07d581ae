"""The Python types of WIT types: those of values that come out of a guest, and those that it accepts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.values import field_name
from pytest_airssys_wasm.runtime.wit.types import (
    BorrowType,
    EnumType,
    FlagsType,
    FutureType,
    ListType,
    OptionType,
    OwnType,
    Primitive,
    RecordType,
    ResultType,
    StreamType,
    TupleType,
    VariantType,
)
from pytest_airssys_wasm.stubs.names import camel

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_airssys_wasm.runtime.wit.types import DefinedType, ResourceType, WitType
    from pytest_airssys_wasm.stubs.names import Names

_PRIMITIVES = {"bool": "bool", "f32": "float", "f64": "float", "char": "str", "string": "str"}
"""The Python types of primitives. All others are integers."""


class Spelling:
    """The spelling of types in one stub."""

    def __init__(self, names: Names) -> None:
        self._names = names
        self.classes: dict[DefinedType, str] = {}
        """The names of the classes and aliases that the stub defines for types."""
        self.handles: dict[ResourceType, str] = {}
        """The names of the classes of handles. A resource that the guest imports may be any object of the host."""
        self._met: dict[DefinedType, None] = {}
        """The named types that exports use, in the order of first use. Imported types of WASI that no export uses are
        left out.
        """

    def name(self, type_: DefinedType, *candidates: str) -> None:
        """Give a type a name, unless it has one."""
        if type_ not in self.classes:
            self.classes[type_] = self._names.new_class(*candidates)

    def out(self, type_: WitType | None) -> str:
        """Return the type of values that a guest returns; `None` stands for no value."""
        builtin = self._names.builtin
        match type_:
            case None:
                return "None"
            case ListType(Primitive("u8")):
                return builtin("bytes")
            case ListType(element):
                return f"{builtin('list')}[{self.out(element)}]"
            case TupleType(elements):
                return f"{builtin('tuple')}[{', '.join(map(self.out, elements)) or '()'}]"
            case RecordType() | VariantType() | EnumType():
                return self._class_of(type_)
            case FlagsType():
                return f"{builtin('frozenset')}[{self._class_of(type_)}]"
            case OptionType(OptionType() as payload):
                return f"_Some[{self.out(payload)}] | None"
            case OptionType(payload):
                return f"{self.out(payload)} | None"
            case ResultType(ok, err):
                return f"_Ok[{self.out(ok)}] | _Err[{self.out(err)}]"
            case Primitive() | OwnType() | BorrowType() | FutureType() | StreamType():
                return self._either(type_)
            case _:
                assert_never(type_)

    def into(self, type_: WitType) -> str:
        """Return the type of the values that a guest accepts, as far as Python can express it."""
        builtin = self._names.builtin
        match type_:
            case ListType(element):
                return f"_abc.Sequence[{self.into(element)}]"
            case TupleType(elements):
                return f"{builtin('tuple')}[{', '.join(map(self.into, elements)) or '()'}]"
            case RecordType():
                mapping = f"_abc.Mapping[{builtin('str')}, _t.Any]"
                return f"{self._class_of(type_)} | _wasm.Record | {mapping}"
            case VariantType():
                return "_wasm.Variant"
            case EnumType():
                return self._class_of(type_)
            case FlagsType():
                return f"_abc.Iterable[{self._class_of(type_)}]"
            case OptionType(OptionType()):
                return "_wasm.Some | None"
            case OptionType(payload):
                return f"{self.into(payload)} | None"
            case ResultType():
                return "_wasm.Ok | _wasm.Err"
            case Primitive() | OwnType() | BorrowType() | FutureType() | StreamType():
                return self._either(type_)
            case _:
                assert_never(type_)

    def definitions(self) -> Iterator[str]:
        """Yield the lines that define the classes and aliases that were spelled, including those that the definitions
        themselves use.
        """
        done = 0
        while done < len(self._met):
            for type_ in [*self._met][done:]:
                yield from ("", *self._definition(type_, self.classes[type_]))
                done += 1

    def _definition(self, type_: DefinedType, name: str) -> Iterator[str]:
        match type_:
            case RecordType(fields):
                yield f"class {name}:"
                yield from (f"    {field_name(field)}: {self.out(of)}" for field, of in fields)
                items = f"{self._names.builtin('dict')}[{self._names.builtin('str')}, _t.Any]"
                yield f"    def as_dict(self) -> {items}: ..."
            case VariantType(cases):
                made = []
                for case, payload in cases:
                    made.append(self._names.new_class(name + camel(case)))
                    yield f"class {made[-1]}(_wasm.Variant):"
                    yield f"    case: _t.Literal[{case!a}]"
                    yield f"    payload: {self.out(payload)}"
                yield f"{name}: _t.TypeAlias = {' | '.join(made)}"
            case EnumType(cases) | FlagsType(cases):
                yield f"{name}: _t.TypeAlias = _t.Literal[{', '.join(map(ascii, cases))}]"
            case _:
                assert_never(type_)

    def _either(self, type_: Primitive | OwnType | BorrowType | FutureType | StreamType) -> str:
        """Return the type of values that are the same in both directions."""
        match type_:
            case Primitive(name):
                return self._names.builtin(_PRIMITIVES.get(name, "int"))
            case OwnType(resource) | BorrowType(resource):
                return self.handles.get(resource, "_t.Any")
            case FutureType() | StreamType():
                return "_t.Any"  # functions with these cannot be called, and are left out
            case _:
                assert_never(type_)

    def _class_of(self, type_: DefinedType) -> str:
        self.name(type_, "Type")
        self._met[type_] = None
        return self.classes[type_]
