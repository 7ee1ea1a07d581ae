"""Trials of the tightest limits: of real guests in several languages, whose calls are made at and below each limit."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from evidence.claim import Claim
from pytest_airssys_wasm import ResourceLimits, Wasi, WasmError, analysis
from pytest_airssys_wasm.runtime.wave import write_call
from support.checkout import ROOT
from support.law_guests import LIMITS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_airssys_wasm import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component

_Call = tuple[str, tuple[Any, ...]]


def _text(chance: random.Random, most: int) -> str:
    return "".join(chance.choices('[]{},:"\\ \n1a', k=chance.randint(0, most)))


def _item(chance: random.Random) -> dict[str, Any]:
    price, tax = chance.randint(0, 10_000), chance.choice(["standard", "reduced", "exempt"])
    return {"name": _text(chance, 30), "quantity": chance.randint(0, 9), "price": price, "tax": tax}


GUESTS: dict[str, tuple[str, Callable[[random.Random], _Call]]] = {
    "C, JSON": (
        "examples/c/json-minify.wasm",
        lambda chance: ("minify", (_text(chance, 300),)),
    ),
    "C, text": (
        "fixtures/guests/text-transform/text-transform.wasm",
        lambda chance: ("transform", (_text(chance, 800),)),
    ),
    "Rust": (
        "examples/rust/invoice.wasm",
        lambda chance: ("total-of", ([_item(chance) for _ in range(chance.randint(0, 20))], None)),
    ),
    "Rust, with WASI": (
        "fixtures/guests/word-count/word-count.wasm",
        lambda chance: ("count", (_text(chance, 400),)),
    ),
    "AssemblyScript, a picture": (
        "examples/assemblyscript/sparkline.wasm",
        lambda chance: (
            "draw",
            ([chance.uniform(-9, 9) for _ in range(chance.randint(0, 60))], chance.randint(0, 120)),
        ),
    ),
    "AssemblyScript, text": (
        "fixtures/guests/as-transform/as-transform.wasm",
        lambda chance: ("transform", (_text(chance, 3_000),)),
    ),
    "C, a command": (
        "fixtures/guests/greeter/greeter.wasm",
        lambda chance: ("wasi:cli/run@0.2.12#run", ()),
    ),
}
"""Guests by their language: the path, and a function that makes a call."""
_WASI = Wasi(args=["greeter", "Ada", "Grace", "--exit=3"])
"""The grants of all guests. The command prints a line for each name."""
_NAMES = tuple(field.name for field in fields(ResourceLimits) if field.name != "timeout_ms")


def tightest(engine: WasmEngine, trials: int, more: Sequence[tuple[Path, str]] = ()) -> Claim:
    """Find the tightest limits of calls by chance, and make the calls with them, and with one unit less of each.

    `more` are further guests: the path, and an export that takes a text.
    """
    guests: list[tuple[str, Any, Callable[[random.Random], _Call]]] = [
        (language, ROOT / path, make) for language, (path, make) in GUESTS.items()
    ]
    guests += [
        (path.name, path, lambda chance, export=export: (export, (_text(chance, 200),)))  # type: ignore[misc]
        for path, export in more
    ]
    wrong: list[str] = []
    verified: dict[str, int] = dict.fromkeys(_NAMES, 0)
    for language, path, make in guests:
        guest, chance = engine.load(path), random.Random(language)
        for trial in range(trials):
            calls = [make(chance) for _ in range(chance.randint(1, 4))]
            found = analysis.tightest_limits(
                guest, [(export, *args) for export, args in calls], limits=LIMITS, wasi=_WASI
            )
            texts = [write_call(export, args, guest.parameter_types(export)) for export, args in calls]
            where = f"{language}, trial {trial}"
            before = _endings(engine, guest, calls, LIMITS)
            if not found.is_complete or _endings(engine, guest, calls, _tight(found)) != before:
                wrong.append(f"{where}: some call ends otherwise under {found}")
            for name in _NAMES:
                value = getattr(found, name)
                if not value:
                    continue
                verified[name] += 1
                less = _endings(engine, guest, calls, replace(_tight(found), **{name: value - 1}))
                changed = [texts[index] for index in range(len(calls)) if less[index] != before[index]]
                if found.witnesses.get(name) not in changed:
                    wrong.append(
                        f"{where}: {name} = {value - 1:,} changes {', '.join(changed) or 'nothing'}, "
                        f"but the witness is {found.witnesses.get(name)}"
                    )
    languages = {language.partition(",")[0] for language, _, _ in guests}
    return Claim(
        text=f"each of the tightest limits of calls of guests in {', '.join(sorted(languages))} suffices, and one unit "
        "less does not",
        trials=sum(verified.values()),
        wrong=tuple(wrong),
        note=", ".join(f"{name} {count}" for name, count in verified.items() if count),
    )


def _tight(found: ResourceLimits) -> ResourceLimits:
    """Return the limits as plain ones."""
    return ResourceLimits(**{field.name: getattr(found, field.name) for field in fields(ResourceLimits)})


def _endings(
    engine: WasmEngine, guest: Component, calls: Sequence[_Call], limits: ResourceLimits
) -> list[tuple[Any, ...]]:
    """Return how each call ends: not by the analysis, but as a test sees it."""
    found: list[tuple[Any, ...]] = []
    for export, args in calls:
        try:
            done = engine.execute(guest, export, *args, limits=limits, wasi=_WASI)
        except WasmError as error:
            found.append((error.verdict, type(error), error.stdout, error.stderr))
        else:
            found.append((repr(done.value), done.stdout, done.stderr))
    return found
