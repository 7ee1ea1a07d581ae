"""Reads what was written as WAVE, by its grammar and knowing the types, as a reader of another make would."""

from __future__ import annotations

import json
import re

from pytest_airssys_wasm.runtime.base.values import Err, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.convert.lifting import compile_lift
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
from pytest_airssys_wasm.runtime.wit.types import (
    EnumType,
    FlagsType,
    ListType,
    OptionType,
    Primitive,
    RecordType,
    TupleType,
    VariantType,
)


class Reader:
    """Reads WAVE, as far as it is written here, by the README of wasm-wave."""

    def __init__(self, text):
        self.text = text

    def take(self, pattern):
        match = re.match(pattern, self.text)
        assert match, f"{pattern} is not at {self.text!r}"
        self.text = self.text[match.end() :]
        return match[0]

    def sees(self, start):
        return self.text.startswith(start)

    def list_of(self, closing, read):
        found = []
        while not self.sees(closing):
            if found:
                self.take(", ")
            found.append(read())
        self.take(re.escape(closing))
        return found

    def characters(self, quote):
        self.take(quote)
        inner = self.take(rf"(?:[^{quote}\\\n]|\\.)*")
        self.take(quote)
        plain = {"t": "\t", "n": "\n", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
        return re.sub(
            r"\\(?:u\{([0-9a-f]+)\}|(.))", lambda m: chr(int(m[1], 16)) if m[1] else plain[m[2]], inner, flags=re.DOTALL
        )

    def label(self):
        taken = self.take(r"%?[a-z][a-z0-9-]*")
        assert taken not in ("true", "false", "inf", "nan", "some", "none", "ok", "err")
        return taken.removeprefix("%")

    def payload(self, type_):
        if type_ is None:
            return None
        self.take(r"\(")
        value = self.value(type_)
        self.take(r"\)")
        return value

    def value(self, type_):
        if isinstance(type_, Primitive):
            if type_.name == "bool":
                return self.take("true|false") == "true"
            if type_.name in ("string", "char"):
                return self.characters('"' if type_.name == "string" else "'")
            if type_.name in ("f32", "f64"):
                text = self.take(r"nan|-?inf|-?[0-9.]+(?:e[+-]?[0-9]+)?")
                return float(text) if text in ("nan", "inf", "-inf") else float(json.loads(text))
            return json.loads(self.take("-?[0-9]+"))
        if isinstance(type_, ListType):
            self.take(r"\[")
            return self.list_of("]", lambda: self.value(type_.element))
        if isinstance(type_, TupleType):
            self.take(r"\(")
            types = iter(type_.elements)
            return tuple(self.list_of(")", lambda: self.value(next(types))))
        if isinstance(type_, RecordType):
            return self.record(type_)
        if isinstance(type_, VariantType):
            case = self.label()
            return Variant(case, self.payload(dict(type_.cases)[case]))
        if isinstance(type_, EnumType):
            return self.label()
        if isinstance(type_, FlagsType):
            self.take("{")
            return frozenset(self.list_of("}", lambda: self.take("[a-z0-9-]+")))
        if isinstance(type_, OptionType):
            if self.take("none|some") == "none":
                return None
            value = self.payload(type_.payload)
            return Some(value) if isinstance(type_.payload, OptionType) else value
        if self.take("ok|err") == "ok":
            return Ok(self.payload(type_.ok))
        return Err(self.payload(type_.err))

    def record(self, type_):
        types, fields = dict(type_.fields), dict.fromkeys(dict(type_.fields))
        self.take("{")
        if self.sees(":}"):
            self.take(":}")
            return Record(fields)

        def field():
            name = self.take("[a-z0-9-]+")
            self.take(": ")
            fields[name] = self.value(types[name])

        self.list_of("}", field)
        return Record(fields)


def plain(value, type_):
    """Return the value as a reader returns it: one spelling for each."""
    transfer = Transfer(None)
    address = transfer.allocate(32)
    compile_lower(type_)(value, address, transfer)
    return compile_lift(type_)(address, transfer)
