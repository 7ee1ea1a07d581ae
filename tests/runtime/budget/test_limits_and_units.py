"""Limits and their units."""

from __future__ import annotations

import math
from dataclasses import FrozenInstanceError, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_airssys_wasm.fuzzing.characters import ANY_CHARACTER
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.budget.units import MAX_U64, parse_count, parse_duration_ms, parse_fuel, parse_size
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

MOST_BYTES = 2**48
PARSERS = (parse_size, parse_duration_ms, parse_fuel)


@pytest.mark.parametrize(
    ("written", "size_bytes"),
    [
        (0, 0),
        (1048576, 1048576),
        ("1048576", 1048576),
        ("1_048_576", 1048576),
        ("7 B", 7),
        ("1 KB", 1_000),
        ("1 KiB", 1024),
        ("2 MB", 2_000_000),
        ("1 MiB", 1048576),
        ("512KiB", 524288),
        ("  1 mib ", 1048576),
        ("1 GB", 10**9),
        ("1 GiB", 2**30),
        ("1.5 KiB", 1536),
        ("1.001 MB", 1_001_000),  # as floats it would be a fraction of a byte less
        (MOST_BYTES, MOST_BYTES),
        ("262144 GiB", MOST_BYTES),
    ],
)
def test_sizes_are_bytes_or_have_a_unit(written, size_bytes):
    size = parse_size(written)
    assert size == size_bytes
    assert type(size) is int


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [(0, 0), (100, 100), (2.5, 2.5), ("100", 100), ("100ms", 100), ("2.5 ms", 2.5), ("0.5 s", 500), ("1 min", 60_000)],
)
def test_durations_are_milliseconds_or_have_a_unit(written, milliseconds):
    duration = parse_duration_ms(written)
    assert duration == milliseconds
    assert type(duration) is float


@pytest.mark.parametrize(
    ("written", "count"), [(0, 0), ("10_000", 10_000), (MAX_U64, MAX_U64), (str(MAX_U64), MAX_U64), ("2.0", 2)]
)
def test_counts_reach_to_the_end_of_u64_exactly(written, count):
    assert parse_count(written, "tables") == parse_fuel(written) == count


@pytest.mark.parametrize(
    "written",
    [
        -1,
        MOST_BYTES + 1,
        2**63,
        f"{MOST_BYTES + 1}",
        "262145 GiB",
        "99999999999999 GiB",
        "9" * 400,
        "9" * 5_000,
        "9" * 400 + ".5",
        "0.1 B",
        "1.5",
        "",
        " ",
        "MiB",
        "1 XiB",
        "1 ms",
        "-1 MiB",
        "1 Mi B",
        "1__0",
        "1_",
        "_1",
        "0x10",
        "1e6",
        ".5 KiB",
        "\u0661\u0662",  # digits, but not those of a size
        "1 M\u0131B",
        1.0,
        True,
        None,
        b"1",
        [1],
    ],
)
def test_what_is_no_size_in_range_is_an_error_that_names_the_field(written):
    with pytest.raises(InvalidConfiguration, match="memory: expected a ") as caught:
        parse_size(written)
    assert caught.value.given is written
    if isinstance(written, str):
        with pytest.raises(InvalidConfiguration, match="memory"):
            ResourceLimits(memory=written)


@pytest.mark.parametrize(
    "written",
    [
        -1,
        -0.1,
        math.nan,
        math.inf,
        -math.inf,
        10**400,
        "9" * 400,
        "9" * 5_000,
        "9" * 306 + ".0 min",
        "inf",
        "nan",
        "-1",
        "1 MiB",
        "1 hour",
        "",
        True,
        None,
        b"1",
    ],
)
def test_what_is_no_finite_duration_is_an_error_that_names_the_field(written):
    with pytest.raises(InvalidConfiguration, match="timeout_ms: expected a finite, non-negative number") as caught:
        parse_duration_ms(written)
    assert caught.value.given is written


@pytest.mark.parametrize(
    "written",
    [-1, 2**64, str(2**64), "-1", "1.5", "1 KiB", "1 ms", "9" * 5_000, "9" * 400 + ".5", "", 1.0, False, None, b"1"],
)
def test_what_is_no_count_within_u64_is_an_error_that_names_the_field(written):
    with pytest.raises(InvalidConfiguration, match=f"fuel: expected a whole number from 0 to {MAX_U64}"):
        parse_fuel(written)


quantities = st.one_of(
    st.text(ANY_CHARACTER),
    st.from_regex(r"\s*[0-9_]*\.?[0-9]*\s*([KMG]i?B|ms|s|min)?", fullmatch=True, alphabet=ANY_CHARACTER),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.none(),
)


@pytest.mark.slow
@given(quantities, st.sampled_from(PARSERS))
def test_whatever_is_written_gives_a_number_in_range_or_an_error_that_names_the_field(written, parse):
    try:
        number = parse(written, "the field")
    except InvalidConfiguration as error:
        assert str(error).startswith("the field: expected ")
    else:
        assert 0 <= number < math.inf
        if parse is parse_size:
            assert type(number) is int
            assert number <= MOST_BYTES
        if parse is parse_fuel:
            assert type(number) is int
            assert number <= MAX_U64


@given(st.integers(0, MOST_BYTES))
def test_a_number_means_the_same_written_as_text(number):
    assert parse_size(number) == parse_size(str(number)) == parse_size(f"{number:_} B") == number
    assert parse_fuel(f"{number:_}") == number
    assert parse_duration_ms(str(number)) == number


def test_memory_is_mandatory():
    with pytest.raises(TypeError, match="memory"):
        ResourceLimits()
    with pytest.raises(InvalidConfiguration, match="memory: expected a size"):
        ResourceLimits(memory=None)


def test_cpu_limits_have_defaults_and_can_be_lifted():
    limits = ResourceLimits(memory="1 MiB")
    assert (limits.fuel, limits.timeout_ms) == (1_000_000, 100)
    assert (ResourceLimits.DEFAULT_FUEL, ResourceLimits.DEFAULT_TIMEOUT_MS) == (1_000_000, 100)
    unlimited = ResourceLimits(memory="1 MiB", fuel=None, timeout_ms=None)
    assert (unlimited.fuel, unlimited.timeout_ms) == (None, None)


def test_zero_is_a_limit_like_any_other():
    limits = ResourceLimits(memory=0, fuel=0, timeout_ms=0, tables=0, transfer=0, output=0)
    assert (limits.memory, limits.fuel, limits.timeout_ms, limits.tables) == (0, 0, 0, 0)
    assert (limits.transfer, limits.output) == (0, 0)


def test_fields_hold_plain_numbers_whatever_they_were_made_from():
    limits = ResourceLimits(
        memory="2 MiB", fuel="10_000", timeout_ms="2 s", tables="3", transfer="1 KiB", output="1 MB"
    )
    assert (limits.memory, limits.memory_bytes, limits.fuel, limits.timeout_ms) == (2097152, 2097152, 10_000, 2_000)
    assert (limits.tables, limits.transfer, limits.output) == (3, 1024, 1_000_000)
    assert limits == ResourceLimits(
        memory=2097152, fuel=10_000, timeout_ms=2_000, tables=3, transfer=1024, output=10**6
    )


@pytest.mark.parametrize("field", ["tables", "table_elements", "instances", "memories", "transfer", "output"])
@pytest.mark.parametrize("value", [-1, True, 1.0, None, "x", "9" * 5_000])
def test_a_wrong_count_names_its_field(field, value):
    with pytest.raises(InvalidConfiguration, match=f"{field}: expected a "):
        ResourceLimits(memory=1, **{field: value})


def test_limits_cannot_be_changed_and_a_changed_copy_is_checked_again():
    limits = ResourceLimits(memory="1 MiB")
    with pytest.raises(FrozenInstanceError):
        limits.memory = 1
    assert replace(limits, memory="2 MiB").memory == 2097152
    with pytest.raises(InvalidConfiguration, match="fuel: expected"):
        replace(limits, fuel=-1)
    assert len({limits, replace(limits), replace(limits, fuel=1)}) == 2
