"""What can be known of a guest's bytes before wasmtime sees them: its kind, and what a core module declares.

Reading a function's type through wasmtime-py aborts the process when it has v128 or typed references, so the
types of a module's imports and exports are read here. wasmtime stays the judge of what is valid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pytest_airssys_wasm.runtime.errors import InvalidComponent

if TYPE_CHECKING:
    from collections.abc import Iterator

Kind = Literal["component", "module"]

_MAGIC = b"\0asm"
_VERSIONS: dict[bytes, Kind] = {b"\x01\0\0\0": "module", b"\x0d\0\x01\0": "component"}
_FOREIGN = {
    b"\x7fELF": "an ELF binary of this machine, not WebAssembly",
    b"!<arch>": "a static library, not WebAssembly",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "gzip-compressed",
    b"BC\xc0\xde": "LLVM bitcode",
}

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
_HEAP_TYPES = {code: name.removesuffix("ref") or name for code, name in _VALUE_TYPES.items() if code < 0x75}


@dataclass(frozen=True, slots=True)
class CoreFunction:
    """The type of a core function, value types by their names in the text format."""

    params: tuple[str, ...]
    results: tuple[str, ...]

    def __str__(self) -> str:
        params = f" (param {' '.join(self.params)})" if self.params else ""
        results = f" (result {' '.join(self.results)})" if self.results else ""
        return f"(func{params}{results})"


@dataclass(frozen=True, slots=True)
class Declared:
    """A memory (in pages of 64 KiB unless it says otherwise) or a table (in elements)."""

    what: Literal["memory", "table"]
    minimum: int
    maximum: int | None
    page_bytes: int = 65536

    def __str__(self) -> str:
        return f"({self.what} {self.minimum}{'' if self.maximum is None else f' {self.maximum}'})"


@dataclass(frozen=True, slots=True)
class Other:
    """A global, a tag, or a function whose type is beyond this reader."""

    text: str

    def __str__(self) -> str:
        return f"({self.text})"


CoreType = CoreFunction | Declared | Other


@dataclass(frozen=True, slots=True)
class ModuleImport:
    """One import of a core module."""

    module: str
    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether a host function can serve it."""
        return isinstance(self.type, CoreFunction)


@dataclass(frozen=True, slots=True)
class ModuleExport:
    """One export of a core module."""

    name: str
    type: CoreType

    @property
    def is_function(self) -> bool:
        """Whether it can be called."""
        return isinstance(self.type, CoreFunction)


@dataclass(frozen=True, slots=True)
class ModuleShape:
    """What the sections of a core module declare."""

    imports: tuple[ModuleImport, ...]
    exports: tuple[ModuleExport, ...]
    memories: tuple[Declared, ...]
    tables: tuple[Declared, ...]


def to_binary(source: bytes, name: str) -> tuple[Kind, bytes]:
    """The kind of a guest and its binary; WebAssembly text is translated.

    Raises `InvalidComponent` saying what `source` is instead.
    """
    if source[:4] == _MAGIC:
        if len(source) < 8:
            raise InvalidComponent(
                f"{name}: truncated: {len(source)} bytes are not even a WebAssembly preamble (8 bytes)"
            )
        kind = _VERSIONS.get(source[4:8])
        if kind is None:
            raise InvalidComponent(f"{name}: unknown WebAssembly version and layer {source[4:8].hex(' ')}")
        return kind, source
    if not source.strip():
        raise InvalidComponent(f"{name}: empty")
    for magic, what in _FOREIGN.items():
        if source.startswith(magic):
            raise InvalidComponent(f"{name}: {what}")
    return _from_text(source, name)


def _from_text(source: bytes, name: str) -> tuple[Kind, bytes]:
    import wasmtime

    try:
        text = source.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidComponent(
            f"{name}: neither a WebAssembly binary (it would begin with 00 61 73 6d) nor text"
        ) from None
    if "\0" in text or not text.lstrip().startswith(("(", ";;")):
        raise InvalidComponent(f"{name}: neither a WebAssembly binary nor WebAssembly text (it would begin with '(')")
    try:
        binary = bytes(wasmtime.wat2wasm(text))
    except wasmtime.WasmtimeError as error:
        raise InvalidComponent(f"{name}: not valid WebAssembly text: {error}") from None
    return _VERSIONS[binary[4:8]], binary


def read_module(binary: bytes) -> ModuleShape:
    """What a core module declares. Reads no code, data or custom sections.

    Raises `InvalidComponent` where the sections are malformed.
    """
    try:
        return _Sections(binary).shape()
    except (IndexError, UnicodeDecodeError, _Malformed) as error:
        raise InvalidComponent(f"malformed module: {error or type(error).__name__}") from None


class _Malformed(Exception):
    pass


class _Reader:
    """A cursor over bytes. Runs past the end with IndexError."""

    def __init__(self, data: memoryview) -> None:
        self.data = data
        self.at = 0

    def byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def number(self, bits: int = 64) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if not byte & 0x80:
                return value
            if shift >= bits + 7:
                raise _Malformed("a number is too long")

    def take(self, count: int) -> memoryview:
        if count > len(self.data) - self.at:
            raise _Malformed("a section runs past the end")
        self.at += count
        return self.data[self.at - count : self.at]

    def name(self) -> str:
        return bytes(self.take(self.number())).decode()

    def each(self) -> Iterator[int]:
        return iter(range(self.number(32)))


class _Sections:
    """The sections of one module, read in order."""

    def __init__(self, binary: bytes) -> None:
        self._types: list[CoreFunction | None] = []
        self._functions: list[CoreType] = []
        self._memories: list[Declared] = []
        self._tables: list[Declared] = []
        self._globals: list[CoreType] = []
        self._tags: list[CoreType] = []
        self._imports: list[ModuleImport] = []
        self._exports: list[tuple[str, int, int]] = []
        readers = {1: self._type, 2: self._import, 3: self._function, 4: self._table, 5: self._memory, 7: self._export}
        reader = _Reader(memoryview(binary)[8:])
        while reader.at < len(reader.data):
            section = reader.byte()
            body = _Reader(reader.take(reader.number(32)))
            if section in readers:
                readers[section](body)

    def shape(self) -> ModuleShape:
        spaces = (self._functions, self._tables, self._memories, self._globals, self._tags)
        names = ("function", "table", "memory", "global", "tag")
        exports = []
        for name, kind, index in self._exports:
            known = spaces[kind] if kind < len(spaces) else ()
            type_ = known[index] if index < len(known) else Other(names[kind] if kind < len(names) else "unknown")
            exports.append(ModuleExport(name, type_))
        return ModuleShape(tuple(self._imports), tuple(exports), tuple(self._memories), tuple(self._tables))

    def _type(self, body: _Reader) -> None:
        for _ in body.each():
            code = body.byte()
            group = body.number(32) if code == 0x4E else None
            if group is None:
                body.at -= 1
            for _ in range(1 if group is None else group):
                self._types.append(self._one_type(body))

    def _one_type(self, body: _Reader) -> CoreFunction | None:
        code = body.byte()
        if code in (0x50, 0x4F):  # sub, sub final
            for _ in body.each():
                body.number(32)
            code = body.byte()
        if code == 0x60:
            params = tuple(self._value_type(body) for _ in body.each())
            return CoreFunction(params, tuple(self._value_type(body) for _ in body.each()))
        if code not in (0x5F, 0x5E):  # struct, array
            raise _Malformed(f"unknown type form 0x{code:02x}")
        for _ in body.each() if code == 0x5F else range(1):
            if body.data[body.at] in (0x78, 0x77):  # packed i8, i16
                body.at += 1
            else:
                self._value_type(body)
            body.byte()
        return None

    def _value_type(self, body: _Reader) -> str:
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
            raise _Malformed(f"unknown value type 0x{code:02x}")
        return _VALUE_TYPES[code]

    def _limits(self, body: _Reader, what: Literal["memory", "table"]) -> Declared:
        flags = body.byte()
        minimum = body.number()
        maximum = body.number() if flags & 1 else None
        page_bytes = 1 << (body.number(32) & 63) if flags & 8 else 65536
        return Declared(what, minimum, maximum, page_bytes)

    def _import(self, body: _Reader) -> None:
        for _ in body.each():
            module, name, kind = body.name(), body.name(), body.byte()
            type_: CoreType
            if kind == 0:
                type_ = self._function_type(body.number(32))
                self._functions.append(type_)
            elif kind == 1:
                self._value_type(body)
                type_ = self._limits(body, "table")
                self._tables.append(type_)
            elif kind == 2:
                type_ = self._limits(body, "memory")
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
                raise _Malformed(f"unknown import kind {kind}")
            self._imports.append(ModuleImport(module, name, type_))

    def _function_type(self, index: int) -> CoreType:
        found = self._types[index] if index < len(self._types) else None
        return found or Other(f"func (type {index})")

    def _function(self, body: _Reader) -> None:
        for _ in body.each():
            self._functions.append(self._function_type(body.number(32)))

    def _table(self, body: _Reader) -> None:
        for _ in body.each():
            if body.data[body.at] == 0x40:  # with an initialiser, whose end only a decoder of code would find
                return
            self._value_type(body)
            self._tables.append(self._limits(body, "table"))

    def _memory(self, body: _Reader) -> None:
        for _ in body.each():
            self._memories.append(self._limits(body, "memory"))

    def _export(self, body: _Reader) -> None:
        for _ in body.each():
            self._exports.append((body.name(), body.byte(), body.number(32)))
