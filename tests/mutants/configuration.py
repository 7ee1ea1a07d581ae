"""Limits and manifests that are read as something else than they say."""

from __future__ import annotations

import math

from msgspec import structs

from mutants.mutant import Family, around, reading
from pytest_airssys_wasm.conformance import inprocess
from pytest_airssys_wasm.conformance.inprocess import InProcessRuntime
from pytest_airssys_wasm.runtime.manifest import loading as manifest

FAMILY = Family("configuration")

COUNTS = ("tables", "table_elements", "instances", "memories")


def _read_as(patch, name, applies, instead):
    """The limit `name` is read as `instead` where it `applies`."""
    reading(patch, lambda limits: {name: instead(limits[name])} if name in limits and applies(limits[name]) else {})


def _figure(value):
    """The number that a limit is, as a number or as text; 1 for what is none."""
    try:
        return float(value)
    except ValueError:
        return 1.0


@FAMILY.mutant
def fuel_wraps_at_64_bits(patch):
    """2^64 + 5 is read as 5."""
    _read_as(patch, "fuel", lambda fuel: _whole(fuel) >= 2**64, lambda fuel: _whole(fuel) % 2**64)


def _whole(value):
    return int(value) if str(value).isdecimal() else -1


@FAMILY.mutant
def negative_fuel_wraps(patch):
    """-1 is read as the largest budget there is."""
    _read_as(patch, "fuel", lambda fuel: isinstance(fuel, int) and fuel < 0, lambda fuel: fuel % 2**64)


@FAMILY.mutant
def fuel_is_rounded(patch):
    """1.5 is read as 1."""
    _read_as(patch, "fuel", lambda fuel: isinstance(fuel, float), int)


@FAMILY.mutant
def fuel_that_cannot_be_read_is_the_default(patch):
    """What is no number is as if it were not there."""
    _read_as(patch, "fuel", lambda fuel: isinstance(fuel, str) and fuel.isalpha() and fuel != "unlimited", _million)


def _million(_value):
    return 1_000_000


@FAMILY.mutant
def a_negative_timeout_means_unlimited(patch):
    """-1 is read as in many C interfaces."""
    _read_as(patch, "timeout_ms", lambda value: _figure(value) < 0, lambda _: "unlimited")


@FAMILY.mutant
def a_timeout_that_is_no_number_means_zero(patch):
    """No comparison with nan is true, so none refuses it."""
    _read_as(patch, "timeout_ms", lambda value: math.isnan(_figure(value)), lambda _: 0)


@FAMILY.mutant
def an_endless_timeout_means_unlimited(patch):
    """inf is read as what it seems to say."""
    _read_as(patch, "timeout_ms", lambda value: _figure(value) == math.inf, lambda _: "unlimited")


@FAMILY.mutant
def a_negative_count_means_unlimited(patch):
    """-1 is passed to wasmtime, to which it means no limit."""
    for name in COUNTS:
        _read_as(patch, name, lambda value: _figure(value) < 0, lambda _: 10_000)


@FAMILY.mutant
def memory_beyond_63_bits_means_unlimited(patch):
    """2^63 is passed to wasmtime, where it is -1."""
    _read_as(patch, "memory_bytes", lambda value: _figure(value) >= 2**63, lambda _: 2**40)


@FAMILY.mutant
def negative_memory_means_zero(patch):
    """What is below zero is raised to it."""
    _read_as(patch, "memory_bytes", lambda value: _figure(value) < 0, lambda _: 0)


@FAMILY.mutant
def a_memory_limit_of_zero_is_refused(patch):
    """Zero is taken for a value that makes no sense."""
    _read_as(patch, "memory_bytes", lambda value: value == 0, lambda _: -1)


@FAMILY.mutant
def ten_million_by_default(patch):
    """The default budget is not that of the platform."""
    reading(patch, lambda limits: {"fuel": limits.get("fuel", 10_000_000)})


@FAMILY.mutant
def half_a_million_by_default(patch):
    """The default budget is not that of the platform."""
    reading(patch, lambda limits: {"fuel": limits.get("fuel", 500_000)})


@FAMILY.mutant
def two_seconds_by_default(patch):
    """The default timeout is not that of the platform."""
    reading(patch, lambda limits: {"timeout_ms": limits.get("timeout_ms", 2_000)})


def _manifest(patch, change, **known):
    """Manifests are read after `change(text)`."""
    around(patch, inprocess, "parse_manifest", lambda parse, text, path: parse(change(text), path, **known))


def _same(text):
    return text


@FAMILY.mutant
def a_manifest_may_ask_for_any_memory(patch):
    """The platform's range is not looked at."""
    _manifest(patch, _same, memory_range=(0, 2**48))


@FAMILY.mutant
def the_ends_of_the_range_do_not_belong_to_it(patch):
    """512 KiB and 4 MiB are refused."""
    _manifest(patch, _same, memory_range=(512 * 1024 + 1, 4 * 2**20 - 1))


@FAMILY.mutant
def the_range_is_one_of_thousands(patch):
    """512 KB to 4.2 MB, in thousands of bytes."""
    _manifest(patch, _same, memory_range=(512_000, 4_200_000))


@FAMILY.mutant
def a_manifest_needs_no_memory_limit(patch):
    """Without one, it is 1 MiB."""
    _manifest(patch, lambda text: text if "max_bytes" in text else text + "[resources.memory]\nmax_bytes = 1048576\n")


@FAMILY.mutant
def what_a_manifest_says_besides_is_ignored(patch):
    """Unknown keys and tables are skipped."""

    def decode(original, raw, problems):
        given = raw.get("resources", {})
        raw["resources"] = {name: given[name] for name in ("memory", "cpu") if name in given}
        return original(raw, problems)

    around(patch, manifest, "decode_document", decode)


@FAMILY.mutant
def a_manifests_memory_may_be_anything(patch):
    """A limit that is neither a number nor a size is read as 1 MiB."""

    def decode(original, raw, problems):
        memory = raw.get("resources", {}).get("memory", {})
        if not isinstance(memory.get("max_bytes", 0), int):
            memory["max_bytes"] = 1_048_576
        return original(raw, problems)

    around(patch, manifest, "decode_document", decode)


@FAMILY.mutant
def of_two_timeouts_one_is_taken(patch):
    """A manifest that contradicts itself is read all the same."""
    patch.setattr(manifest, "_timeout", lambda cpu, _: cpu.timeout_ms or (cpu.timeout_seconds or 0) * 1_000 or None)


@FAMILY.mutant
def seconds_are_read_as_milliseconds(patch):
    """`timeout_seconds = 0.5` is half a millisecond."""
    patch.setattr(
        manifest,
        "_timeout",
        lambda cpu, place, timeout=manifest._timeout: (
            cpu.timeout_seconds if cpu.timeout_ms is None else timeout(cpu, place)
        ),
    )


@FAMILY.mutant
def negative_fuel_in_a_manifest_wraps(patch):
    """-5 is read as a very large budget."""
    patch.setattr(manifest, "parse_count", lambda value, _where: value % 2**64)


@FAMILY.mutant
def a_manifest_that_is_no_toml_is_empty(patch):
    """What cannot be read is as if it were not there."""

    class Toml:
        TOMLDecodeError = manifest.toml.TOMLDecodeError

        @staticmethod
        def loads(text, loads=manifest.toml.loads):
            try:
                return loads(text)
            except ValueError:
                return {
                    "component": {"name": "a", "version": "1"},
                    "resources": {"memory": {"max_bytes": 1_048_576}},
                }

    patch.setattr(manifest, "toml", Toml)


@FAMILY.mutant
def the_limits_of_a_manifest_are_ignored(patch):
    """What it says about processor time is read, and not used."""

    def configure(original, self, request):
        answer = original(self, request)
        (step,) = answer.steps
        if step.limits is not None:
            step = structs.replace(step, limits={**step.limits, "fuel": 1_000_000, "timeout_ms": 100})
        return structs.replace(answer, steps=[step])

    around(patch, InProcessRuntime, "configure", configure)


@FAMILY.mutant
def a_manifest_has_defaults_of_its_own(patch):
    """Ten million units and a second, where it leaves them out."""
    patch.setattr(inprocess, "ResourceLimits", type("Limits", (), {"DEFAULT_FUEL": 10**7, "DEFAULT_TIMEOUT_MS": 1e3}))
