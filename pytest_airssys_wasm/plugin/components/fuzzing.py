"""The checks that `--wasm-fuzz` adds to a component, as pytest items."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from pytest_airssys_wasm.plugin.engine import the_engine
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import load_component
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.manifest.model import FuzzTable
from pytest_airssys_wasm.validation.unfit import Blocked, Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pytest

    from pytest_airssys_wasm.fuzzing.search import Plan
    from pytest_airssys_wasm.plugin.sources import Source
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.validation.candidate import Candidate

    Check = Callable[[Candidate], str]


def fuzz_checks(file: pytest.File, source: Source) -> Iterator[tuple[str, Check]]:
    """Yield the names and the functions of the checks that fuzz a component: none with `--wasm-fuzz=off`.

    The component is loaded, because its exports are the names of the checks. If that fails, the only check is `fuzz`.
    """
    profile = file.config.stash[SETTINGS].wasm_fuzz
    if profile == "off":
        return
    try:
        component = load_component(source, the_engine(file.config), file.config)
    except Exception:  # noqa: BLE001 the check `loads` meets the same error, and puts it into words
        yield "fuzz", _blocked
        return
    yield from _Checks(file=file, profile=profile, source=source).of(component)


def _blocked(candidate: Candidate) -> str:
    candidate.need("loads", candidate.load)
    raise Blocked("loads", "it could not be loaded when the checks were collected")


class _Checks(Struct, frozen=True, kw_only=True):
    """The checks of one component."""

    file: pytest.File
    profile: str
    source: Source

    def of(self, component: Component) -> Iterator[tuple[str, Check]]:
        from pytest_airssys_wasm.fuzzing.export_check import check_export
        from pytest_airssys_wasm.fuzzing.limit_laws import check_limit_laws
        from pytest_airssys_wasm.fuzzing.profiles import PROFILES
        from pytest_airssys_wasm.fuzzing.sequences import check_sequences
        from pytest_airssys_wasm.fuzzing.worst_cases import check_worst_case
        from pytest_airssys_wasm.validation.exports import callable_exports, is_excluded, reachable_exports

        profile, table = PROFILES[self.profile], self._table()
        yield from self._mistakes(component, table)
        every = [*reachable_exports(component)]
        reachable = [name for name in every if not is_excluded(name, table.exclude)]
        fuzzed = [name for name in callable_exports(component) if name in reachable]
        count = 2 * len(fuzzed) + bool(reachable) + bool(fuzzed)
        # The longest checks come first: xdist then divides them about evenly between its workers.
        if reachable:
            plan = partial(self._plan, "fuzz-sequence", count, profile.sequences)
            yield "fuzz-sequence", partial(_planned, check=check_sequences, plan=plan)
        for name in fuzzed:
            plan = partial(self._plan, f"fuzz[{name}] {component.function_names()[name]}", count, profile.examples)
            yield f"fuzz[{printable(name)}]", partial(_planned, check=partial(check_export, export=name), plan=plan)
        for name in fuzzed:
            plan = partial(self._plan, f"worst-case[{name}]", count, profile.worst)
            check = partial(check_worst_case, export=name)
            yield f"worst-case[{printable(name)}]", partial(_planned, check=check, plan=plan)
        if fuzzed:
            plan = partial(self._plan, "fuzz-limits", count, profile.limits)
            ceilings = self.file.config.stash[SETTINGS].ceilings
            yield "fuzz-limits", partial(_planned, check=partial(check_limit_laws, ceilings=ceilings), plan=plan)

    def _table(self) -> FuzzTable:
        return FuzzTable() if self.source.manifest is None else self.source.manifest.fuzz

    def _mistakes(self, component: Component, table: FuzzTable) -> Iterator[tuple[str, Check]]:
        """Yield a failing check for each name in the table `[fuzz]` that no export has."""
        from pytest_airssys_wasm.validation.exports import is_excluded

        names = component.function_names()
        for pattern in table.exclude:
            if not any(is_excluded(name, [pattern]) for name in names):
                yield f"fuzz[{printable(pattern)}]", partial(_unknown, key="exclude", name=pattern)
        for name in table.allow:
            if name not in names:
                yield f"fuzz[{printable(name)}]", partial(_unknown, key="allow", name=name)

    def _plan(self, key: str, checks: int, examples: int | None) -> Plan:
        from pytest_airssys_wasm.fuzzing.profiles import new_plan

        config = self.file.config
        return new_plan(
            self.profile,
            f"{self.file.nodeid} {key}",
            checks=checks,
            examples=examples,
            seed=config.stash[SETTINGS].wasm_fuzz_seed,
            root=config.rootpath,
        )


def _planned(candidate: Candidate, *, check: Callable[..., str], plan: Callable[[], Plan]) -> str:
    return check(candidate, plan=plan())


def _unknown(candidate: Candidate, *, key: str, name: str) -> str:
    component = candidate.need("loads", candidate.load)
    from pytest_airssys_wasm.runtime.guest.component import UnknownExport

    known = component.function_names()
    if key == "exclude":
        raise Unfit(f"exclude under [fuzz] has {name!r}, which matches no export", "correct the pattern, or remove it")
    raise Unfit(f"[fuzz.allow] has {name!r}, which is not exported", str(UnknownExport.among(component, name, known)))
