"""Types for WAVE; types with values that fit them, in every spelling that lowering accepts; and any values."""

from __future__ import annotations

from collections import UserDict, UserList

from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.base.values import Err, Mismatch, Ok, Record, Some, Variant
from pytest_airssys_wasm.runtime.convert.lowering import compile_lower
from pytest_airssys_wasm.runtime.convert.transfer import Transfer
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

BOOL, U8, S8, U32, U64, F32, F64, CHAR, STRING = map(
    Primitive, ("bool", "u8", "s8", "u32", "u64", "f32", "f64", "char", "string")
)


LABELS = st.from_regex(
    r"[a-z][a-z0-9]{0,3}(-[a-z][a-z0-9]{0,3})?", fullmatch=True, alphabet=ANY_CHARACTER
) | st.sampled_from(["ok", "err", "none", "class", "as-dict", "true"])
TEXTS = st.text(ANY_CHARACTER, max_size=6)


def integers(name, low, high):
    return st.tuples(st.just(Primitive(name)), st.just(st.integers(low, high)))


SCALARS = st.one_of(
    integers("u8", 0, 255),
    integers("s16", -(2**15), 2**15 - 1),
    integers("u64", 0, 2**64 - 1),
    st.just((BOOL, st.booleans())),
    st.just((F64, st.floats())),
    st.just((F32, st.floats(width=32))),
    st.just((CHAR, ANY_CHARACTER)),
    st.just((STRING, TEXTS)),
    st.just((ListType(U8), st.binary(max_size=6))),
)


def optional(pair):
    type_, values = pair
    some = values.map(Some) if isinstance(type_, OptionType) else values
    return OptionType(type_), st.none() | some


def record(pairs):
    names, parts = [*pairs], [*pairs.values()]
    type_ = RecordType(tuple((name, part) for name, (part, _) in zip(names, parts)))
    fields = st.tuples(*(values for _, values in parts)).map(lambda items: dict(zip(names, items)))
    return type_, st.sampled_from([lambda it: it, Record, UserDict]).flatmap(fields.map)


def variant(pairs):
    type_ = VariantType(tuple((name, part[0] if part else None) for name, part in pairs.items()))
    cases = [
        (part[1] if part else st.none()).map(lambda payload, name=name: Variant(name, payload))
        for name, part in pairs.items()
    ]
    return type_, st.one_of(cases)


def result(sides):
    ok, err = sides
    type_ = ResultType(ok[0] if ok else None, err[0] if err else None)
    return type_, (ok[1] if ok else st.none()).map(Ok) | (err[1] if err else st.none()).map(Err)


def sequence(pair):
    type_, values = pair
    lists = st.lists(values, max_size=4)
    return ListType(type_), lists | lists.map(tuple) | lists.map(UserList)


def compound(inner):
    return st.one_of(
        inner.filter(lambda pair: pair[0] != U8).map(sequence),
        inner.map(optional),
        st.lists(inner, min_size=1, max_size=3).map(
            lambda pairs: (TupleType(tuple(part for part, _ in pairs)), st.tuples(*(values for _, values in pairs)))
        ),
        st.dictionaries(LABELS, inner, min_size=1, max_size=3).map(record),
        st.dictionaries(LABELS, st.none() | inner, min_size=1, max_size=3).map(variant),
        st.tuples(st.none() | inner, st.none() | inner).map(result),
        st.lists(LABELS, min_size=1, max_size=4, unique=True).map(
            lambda names: (EnumType(tuple(names)), st.sampled_from(names))
        ),
        st.lists(LABELS, min_size=1, max_size=4, unique=True).map(
            lambda names: (FlagsType(tuple(names)), st.frozensets(st.sampled_from(names)))
        ),
    )


FITTING = st.recursive(SCALARS, compound, max_leaves=6).flatmap(lambda pair: st.tuples(st.just(pair[0]), pair[1]))
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(ANY_CHARACTER, max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.tuples(inner, inner),
        st.dictionaries(st.text(ANY_CHARACTER, max_size=3) | st.integers(), inner, max_size=3),
        inner.map(Ok) | inner.map(Err) | inner.map(Some),
        st.builds(Variant, st.text(ANY_CHARACTER, max_size=3), inner),
        st.builds(Variant, inner, inner),
    ),
    max_leaves=5,
)
TYPES = FITTING.map(lambda pair: pair[0])


def fits(value, type_):
    transfer = Transfer(None)
    try:
        compile_lower(type_)(value, transfer.allocate(32), transfer)
    except Mismatch:
        return False
    return True
