"""Prints docs/features.md, from the code: `python docs/features.py > docs/features.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pytest_airssys_wasm.runtime.compile.wasmtime_config import FEATURES

if TYPE_CHECKING:
    from collections.abc import Iterator


class Advisory(NamedTuple):
    """A security advisory of wasmtime, as the RustSec database has it."""

    id: str
    ghsa: str
    title: str
    settings: tuple[str, ...]
    """The settings of the features that it touches; empty for other parts of wasmtime."""
    fixed: str
    """The first version from which on all later ones are fixed."""


ADVISORIES: tuple[Advisory, ...] = tuple(
    Advisory(f"RUSTSEC-{number}", f"GHSA-{ghsa}", title, settings, fixed)
    for number, ghsa, title, settings, fixed in (
        ("2025-0046", "fm79-3f68-h2fc", "Host panic with `fd_renumber` WASIp1 function", (), "34.0.2"),
        (
            "2025-0112",
            "4h67-722j-5pmc",
            "Possible host crash with host-to-wasm component intrinsics",
            ("wasm_component_model",),
            "38.0.3",
        ),
        (
            "2025-0118",
            "hc7m-r6v8-hg9q",
            "Unsound API access to a WebAssembly shared linear memory",
            ("wasm_threads", "shared_memory"),
            "38.0.4",
        ),
        ("2026-0006", "vc8c-j3xm-xj73", "Segfault or out-of-sandbox load with `f64.copysign` on x86-64", (), "41.0.1"),
        ("2026-0020", "852m-cvvp-9p4w", "Guest-controlled resource exhaustion in WASI implementations", (), "41.0.4"),
        (
            "2026-0022",
            "xjhv-v822-pf94",
            "Panic when dropping a `call_async` future",
            ("wasm_component_model_async",),
            "41.0.4",
        ),
        (
            "2026-0085",
            "m758-wjhj-p3jq",
            "Panic when lifting `flags` component value",
            ("wasm_component_model",),
            "43.0.1",
        ),
        (
            "2026-0087",
            "qqfj-4vcm-26hv",
            "Segfault or out-of-sandbox load with `f64x2.splat` on x86-64",
            ("wasm_simd",),
            "43.0.1",
        ),
        ("2026-0090", "hfr4-7c6c-48w2", "Use-after-free bug after cloning `wasmtime::Linker`", (), "43.0.1"),
        (
            "2026-0091",
            "394w-hwhg-8vgm",
            "Out-of-bounds write or crash when transcoding component model strings",
            ("wasm_component_model",),
            "43.0.1",
        ),
        (
            "2026-0092",
            "jxhv-7h78-9775",
            "Panic when transcoding misaligned component model UTF-16 strings",
            ("wasm_component_model",),
            "43.0.1",
        ),
        (
            "2026-0093",
            "hx6p-xpx3-jvvv",
            "Heap OOB read in component model UTF-16 to latin1+utf16 string transcoding",
            ("wasm_component_model",),
            "43.0.1",
        ),
        ("2026-0096", "jhxm-h53p-jm7w", "Miscompiled guest heap access on aarch64", (), "43.0.1"),
        (
            "2026-0114",
            "p8xm-42r7-89xg",
            "Panic when allocating a table exceeding the size of the host's address space",
            ("wasm_reference_types", "wasm_memory64"),
            "44.0.1",
        ),
        ("2026-0149", "2r75-cxrj-cmph", "`path_open(TRUNCATE)` bypasses `FilePerms::WRITE`", (), "45.0.0"),
        ("2026-0182", "3p27-qvp9-27qf", "Leak in WASIp1 `fd_renumber` implementation", (), "45.0.2"),
        ("2026-0188", "4ch3-9j33-3pmj", "Hard links and renames bypass `FilePerms` for destination", (), "46.0.1"),
        ("2026-0222", "hgjw-h833-99q9", "Stores can mix up type indices between engines", (), "47.0.3"),
        (
            "2026-0223",
            "2hw9-mc66-jc2q",
            "Preemption and traps during bulk operations enable breaking internal VM state",
            ("wasm_bulk_memory",),
            "47.0.3",
        ),
    )
)
"""The advisories of 2025 and 2026, without those about parts that are not used here: the compiler Winch, the pooling
allocator, and `wasi:http`."""
SEEN = "2026-08-21"
"""The date of the state of the database that the advisories were read from."""

HEAD = """\
# Features

<!-- Printed by docs/features.py: change the code, then run it again. -->

Each feature of WebAssembly that wasmtime can switch is switched here, whatever wasmtime's own default is. A guest that needs
one that is off is an `invalid-component` when it is loaded, and the message names the feature.
"""
MORE = """
Not in the table, because wasmtime has no setting for them and refuses them: error contexts, values as imports and exports of
components, fixed-length lists, threads of the component model, the legacy form of exceptions, and custom descriptors.
"""
ABOUT_ADVISORIES = """
## Advisories

All of these are fixed in every version of wasmtime that this package accepts (its lower bound is 50.0.1). They are those of
the [RustSec database](https://github.com/rustsec/advisory-db) of {seen} for 2025 and 2026, without those about the compiler
Winch, the pooling allocator and `wasi:http`, which are not used here. "Fixed in" is the first version from which on all later
ones are fixed; older series have patches of their own. They are also a reason for the switches above: a feature that is off
cannot be the way into the next one.
"""


def lines() -> Iterator[str]:
    """Yield the page, line by line."""
    yield HEAD
    yield "| feature | | why | advisories that touched it |"
    yield "|---|---|---|---|"
    for feature in FEATURES:
        touched = ", ".join(one.id for one in ADVISORIES if feature.setting in one.settings)
        why = feature.why[0].upper() + feature.why[1:]
        yield f"| {feature.name} (`{feature.setting}`) | {'on' if feature.is_on else '**off**'} | {why} | {touched} |"
    yield MORE.rstrip("\n")
    yield ABOUT_ADVISORIES.format(seen=SEEN)
    yield "| advisory | about | fixed in |"
    yield "|---|---|---|"
    for one in ADVISORIES:
        url = f"https://github.com/bytecodealliance/wasmtime/security/advisories/{one.ghsa}"
        yield f"| [{one.id}]({url}) | {one.title} | {one.fixed} |"


if __name__ == "__main__":
    print("\n".join(lines()))
