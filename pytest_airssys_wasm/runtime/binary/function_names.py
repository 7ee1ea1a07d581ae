"""The names of the functions of a core module: those of its name section, of its exports, and of its imports."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import Struct, field

from pytest_airssys_wasm.runtime.base.exhaustive import assert_never
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.binary.byte_reader import Malformed, Reader
from pytest_airssys_wasm.runtime.binary.sections import read_module
from pytest_airssys_wasm.runtime.binary.types import CoreFunction, Declared, Other, OtherFunction

if TYPE_CHECKING:
    from pytest_airssys_wasm.runtime.binary.types import CoreType

_MOST_CHARACTERS = 300
_CUSTOM, _EXPORT = 0, 7
_MODULE_NAME, _FUNCTION_NAMES = 0, 1
_RUST = re.compile(r"_?_ZN((?:\d+\D.*?)+?)17h[0-9a-f]{16}E(?:\.llvm\.\d+)?$")
_ESCAPES = {"SP": "@", "BP": "*", "RF": "&", "LT": "<", "GT": ">", "LP": "(", "RP": ")", "C": ","}
_ESCAPES |= {f"u{code:x}": chr(code) for code in range(0x20, 0x7F)}


class Names(Struct, frozen=True, kw_only=True):
    """The names in a core module, printable and bounded in length."""

    module: str = ""
    """The name of the module; empty if there is none."""
    functions: dict[int, str] = field(default_factory=dict)
    """The names of functions, by index. Functions without any name are missing."""
    imported: int = 0
    """The number of imported functions, which have the lowest indices."""


def read_names(binary: memoryview) -> Names:
    """Return the names in a core module. A name section that is malformed is ignored from the fault on.

    Raises `Malformed`, `IndexError` or `InvalidComponent` for malformed declarations.
    """
    imports = [one for one in read_module(bytes(binary)).imports if _is_function(one.type)]
    found = dict(enumerate(_shown(f"{one.module}.{one.name}".encode()) for one in imports))
    module, named = "", {}
    for section, body in Reader(binary[8:]).sections():
        if section == _EXPORT:
            for _ in body.each():
                name, kind, index = body.take(body.number(32)), body.byte(), body.number(32)
                if kind == 0:
                    found.setdefault(index, _shown(bytes(name)))
        elif section == _CUSTOM:
            with suppress(Malformed, IndexError):
                if bytes(body.take(body.number(32))) == b"name":
                    for part, content in Reader(body.data[body.at :]).sections():
                        if part == _MODULE_NAME:
                            module = _shown(bytes(content.take(content.number(32))))
                        elif part == _FUNCTION_NAMES:
                            for _ in content.each():
                                index = content.number(32)
                                named[index] = _shown(bytes(content.take(content.number(32))))
    return Names(module=module, functions={**found, **named}, imported=len(imports))


def _is_function(type_: CoreType) -> bool:
    match type_:
        case CoreFunction() | OtherFunction():
            return True
        case Other(text):
            return text.startswith("func ")  # of a type that is not read
        case Declared():
            return False
        case _:
            assert_never(type_)


def _shown(name: bytes) -> str:
    """Return a name as it is shown: without the hash that Rust adds, printable, and cut if it is long."""
    text = name[: 4 * _MOST_CHARACTERS].decode("utf-8", "replace")
    found = _RUST.fullmatch(text)
    if found is not None:
        text = _plain(found[1])
    return printable(text)[:_MOST_CHARACTERS]


def _plain(mangled: str) -> str:
    """Return the path that Rust has mangled, such as `5alloc7raw_vec` for `alloc::raw_vec`."""
    parts = []
    at = 0
    while (length := re.match(r"\d+", mangled[at:])) is not None:
        at += length.end()
        part = mangled[at : at + int(length[0])]
        at += int(length[0])
        part = re.sub(r"\$(\w+?)\$", lambda match: _ESCAPES.get(match[1], match[0]), part).replace("..", "::")
        parts.append(part[1:] if part.startswith(("_<", "_$")) else part)
    return "::".join(parts) if at >= len(mangled) else mangled
