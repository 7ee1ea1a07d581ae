"""The reader of the sections of a core module that contain declarations. Code and custom sections are skipped.

The types of a module's imports and exports are read here, because wasmtime-py aborts the process on function types with
v128 or typed references. Validation is left to wasmtime.
"""

from __future__ import annotations

from typing import Literal

from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader, as_invalid_component
from pytest_airssys_wasm.runtime.binary.const_expr import read_const_expr
from pytest_airssys_wasm.runtime.binary.types import (
    ActiveData,
    CoreFunction,
    CoreType,
    Declared,
    ModuleContents,
    ModuleExport,
    ModuleImport,
    ModuleShape,
    Other,
    OtherFunction,
)

_VALUE_TYPES = {
    0x7F: "i32",
    0x7E: "i64",
    0x7D: "f32",
    0x7C: "f64",
    0x7B: "v128",
    0x70: "funcref",
    0x6F: "externref",
    0x6E: "anyref",
    0x6D: "eqref",
    0x6C: "i31ref",
    0x6B: "structref",
    0x6A: "arrayref",
    0x69: "exnref",
    0x71: "nullref",
    0x72: "nullexternref",
    0x73: "nullfuncref",
    0x74: "nullexnref",
}


_SUB, _SUB_FINAL = 0x50, 0x4F
_DECLARING = frozenset([1, 2, 3, 4, 5, 7])
"""The numbers of the sections from which the shape of a module is read."""
_HOLDING = frozenset([2, 4, 5, 11])
"""The numbers of the sections from which the contents of a module are read."""
_IMPORTING = frozenset([2])
_DATA = 11
_MOST_BYTES = 4 * 2**20
"""The maximum number of bytes of types, imports, exports and similar sections, which take seconds to read at most. Real
modules have about 100 KB of them.
"""
_HEAP_TYPES = {
    **{code: name.removesuffix("ref") for code, name in _VALUE_TYPES.items() if code <= 0x70},
    0x71: "none",
    0x72: "noextern",
    0x73: "nofunc",
    0x74: "noexn",
}


def read_module(binary: bytes) -> ModuleShape:
    """Return the declarations of a core module, read without its code, data and custom sections.

    Raises `InvalidComponent` for malformed sections.
    """
    with as_invalid_component("module"):
        sections = _Sections()
        sections.read(Reader(memoryview(binary)[8:]), _DECLARING)
        return sections.shape()


def read_contents(binary: memoryview) -> ModuleContents:
    """Return the memories, tables and data segments of a core module, read without its code and types.

    Raises `Malformed`, `IndexError` or `UnicodeDecodeError` for sections that are malformed, or that have an encoding
    not known here.
    """
    sections = _Sections()
    sections.read(Reader(binary[8:]), _HOLDING)
    return sections.contents()


def count_imported_functions(binary: memoryview) -> int:
    """Return the number of functions that a core module imports. Raises the errors of `read_contents`."""
    sections = _Sections()
    sections.read(Reader(binary[8:]), _IMPORTING)
    return sections.functions


_OF_FEATURES = {
    ("type form", 0x5D): "stack switching",
    ("import kind", 0x7E): "compact import section",
    ("import kind", 0x7F): "compact import section",
}
"""The features to which the unsupported encodings belong, by their names in `compile/wasmtime_config.py`."""


def _unknown(what: str, code: int) -> str:
    feature = _OF_FEATURES.get((what, code))
    return f"unknown {what} 0x{code:02x}" + (f". The feature {feature!r} is off: it is not finished" if feature else "")


class _Sections:
    """The reader of the sections of one module, in their order."""

    def __init__(self) -> None:
        self._types: list[CoreFunction | None] = []
        self._open_types: set[int] = set()
        """The indices of the types that are not the same as every other type of the same signature."""
        self._functions: list[CoreType] = []
        self._memories: list[Declared] = []
        self._tables: list[Declared] = []
        self._globals: list[CoreType] = []
        self._tags: list[CoreType] = []
        self._imports: list[ModuleImport] = []
        self._exports: list[tuple[str, int, int]] = []
        self._active_data: list[ActiveData] = []
        self._data_bytes = 0
        self._readers = {
            1: self._type,
            2: self._import,
            3: self._function,
            4: self._table,
            5: self._memory,
            7: self._export,
            11: self._data,
        }

    def read(self, reader: Reader, sections: frozenset[int]) -> None:
        left_bytes = _MOST_BYTES
        for section, body in reader.sections():
            if section in sections:
                left_bytes -= len(body.data) if section != _DATA else 0
                if left_bytes < 0:
                    raise Malformed(f"its declarations take more than {_MOST_BYTES // 2**20} MiB")
                self._readers[section](body)

    @property
    def functions(self) -> int:
        """The number of functions that were read."""
        return len(self._functions)

    def shape(self) -> ModuleShape:
        spaces = (self._functions, self._tables, self._memories, self._globals, self._tags)
        names = ("function", "table", "memory", "global", "tag")
        exports = []
        for name, kind, index in self._exports:
            known = spaces[kind] if kind < len(spaces) else ()
            type_ = known[index] if index < len(known) else Other(names[kind] if kind < len(names) else "unknown")
            exports.append(ModuleExport(name, type_))
        return ModuleShape(tuple(self._imports), tuple(exports), tuple(self._memories), tuple(self._tables))

    def contents(self) -> ModuleContents:
        return ModuleContents(tuple(self._memories), tuple(self._tables), tuple(self._active_data), self._data_bytes)

    def _type(self, body: Reader) -> None:
        for _ in body.each():
            code = body.byte()
            group = body.number(32) if code == 0x4E else None
            if group is None:
                body.at -= 1
            for _ in range(1 if group is None else group):
                is_open = body.data[body.at] in (_SUB, _SUB_FINAL)
                if is_open or (group is not None and group > 1):
                    self._open_types.add(len(self._types))
                self._types.append(self._one_type(body))

    def _one_type(self, body: Reader) -> CoreFunction | None:
        code = body.byte()
        if code in (_SUB, _SUB_FINAL):
            for _ in body.each():
                body.number(32)
            code = body.byte()
        if code == 0x60:
            params = tuple(self._value_type(body) for _ in body.each())
            return CoreFunction(params, tuple(self._value_type(body) for _ in body.each()))
        if code not in (0x5F, 0x5E):  # struct, array
            raise Malformed(_unknown("type form", code))
        for _ in body.each() if code == 0x5F else range(1):
            if body.data[body.at] in (0x78, 0x77):  # packed i8, i16
                body.at += 1
            else:
                self._value_type(body)
            body.byte()
        return None

    def _value_type(self, body: Reader) -> str:
        code = body.byte()
        if code in (0x63, 0x64):
            heap = body.data[body.at]
            if heap in _HEAP_TYPES:
                body.at += 1
                text = _HEAP_TYPES[heap]
            else:
                text = str(body.number(33))
            return f"(ref {'null ' if code == 0x63 else ''}{text})"
        if code not in _VALUE_TYPES:
            raise Malformed(f"unknown value type 0x{code:02x}")
        return _VALUE_TYPES[code]

    def _limits(self, body: Reader, what: Literal["memory", "table"], is_imported: bool = False) -> Declared:
        flags = body.byte()
        minimum = body.number()
        maximum = body.number() if flags & 1 else None
        page_bytes = 1 << (body.number(32) & 63) if flags & 8 else 65536
        return Declared(what, minimum, maximum, page_bytes, bool(flags & 4), is_imported)

    def _import(self, body: Reader) -> None:
        for _ in body.each():
            module, name, kind = body.name(), body.name(), body.byte()
            type_: CoreType
            if kind == 0:
                index = body.number(32)
                type_ = self._function_type(index)
                self._functions.append(type_)
                if index in self._open_types and isinstance(type_, CoreFunction):
                    type_ = OtherFunction(type_)
            elif kind == 1:
                self._value_type(body)
                type_ = self._limits(body, "table", is_imported=True)
                self._tables.append(type_)
            elif kind == 2:
                type_ = self._limits(body, "memory", is_imported=True)
                self._memories.append(type_)
            elif kind == 3:
                type_ = Other(f"global {self._value_type(body)}")
                body.byte()
                self._globals.append(type_)
            elif kind == 4:
                body.byte()
                type_ = Other(f"tag {body.number(32)}")
                self._tags.append(type_)
            else:
                raise Malformed(_unknown("import kind", kind))
            self._imports.append(ModuleImport(module, name, type_))

    def _function_type(self, index: int) -> CoreType:
        found = self._types[index] if index < len(self._types) else None
        return found or Other(f"func (type {index})")

    def _function(self, body: Reader) -> None:
        for _ in body.each():
            self._functions.append(self._function_type(body.number(32)))

    def _table(self, body: Reader) -> None:
        for _ in body.each():
            has_initialiser = body.data[body.at] == 0x40
            if has_initialiser:
                body.take(2)
            self._value_type(body)
            self._tables.append(self._limits(body, "table"))
            if has_initialiser:
                read_const_expr(body)

    def _memory(self, body: Reader) -> None:
        for _ in body.each():
            self._memories.append(self._limits(body, "memory"))

    def _export(self, body: Reader) -> None:
        for _ in body.each():
            self._exports.append((body.name(), body.byte(), body.number(32)))

    def _data(self, body: Reader) -> None:
        for number in body.each():
            mode = body.number(32)
            if mode > 2:
                raise Malformed(f"unknown kind of data segment {mode}")
            memory = body.number(32) if mode == 2 else 0
            offset = None if mode == 1 else read_const_expr(body)
            size_bytes = len(body.take(body.number(32)))
            self._data_bytes += size_bytes
            if mode != 1:
                self._active_data.append(ActiveData(number, memory, offset, size_bytes))
