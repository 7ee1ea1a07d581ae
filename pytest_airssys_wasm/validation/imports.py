"""The check `imports`: every import is provided. Those that are not are named in groups, one for each remedy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_airssys_wasm.runtime.base.printable import counted
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_NOT_GRANTED
from pytest_airssys_wasm.validation.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport
    from pytest_airssys_wasm.validation.candidate import Candidate

_FEW = 3
"""The maximum number of imports that the first line of a failure names."""
_IN_PYTHON = "a conftest.py beside it, in a fixture that overrides `wasm_host` or in the hook `pytest_wasm_host`"
_MOST_LISTED = 100
"""The maximum number of imports or interfaces that the further lines of a failure name."""


def check_imports(candidate: Candidate) -> str:
    """Check that every import is WASI that is granted, or a registered host function."""
    component = candidate.need("loads", candidate.load)
    served = candidate.served(component)
    unmet = list(component.unmet_imports(served.host, candidate.wasi))
    if unmet:
        raise _Groups(unmet, has_manifest=candidate.manifest is not None).unfit()
    if not component.imports:
        return "it imports nothing"
    return f"{counted(len(component.imports), 'import')}, all provided{served.note()}"


class _Groups:
    """The unmet imports by remedy, with the lines about each group."""

    def __init__(self, unmet: Sequence[UnmetImport], *, has_manifest: bool) -> None:
        self._has_manifest = has_manifest
        self._manifest = "its Component.toml" if has_manifest else "a Component.toml beside it"
        self._reasons: list[str] = []
        self._details: list[str] = []
        self._remedies: list[str] = []
        groups: dict[str, list[UnmetImport]] = {"wasi": [], "own": [], "odd": [], "misfits": []}
        for one in unmet:
            groups[_group_of(one)].append(one)
        self._is_mixed = sum(map(bool, groups.values())) > 1
        for say, group in zip((self._say_wasi, self._say_own, self._say_odd, self._say_misfits), groups.values()):
            if group:
                say(group)

    def unfit(self) -> Unfit:
        return Unfit("; ".join(self._reasons), "; ".join(self._remedies), self._details)

    def _say_wasi(self, wasi: Sequence[UnmetImport]) -> None:
        interfaces: dict[str, list[str]] = {}
        for one in wasi:
            interface, _, name = one.name.partition("#")
            interfaces.setdefault(interface, []).append(name)
        self._reasons.append(f"it imports WASI, which is not granted: {_some([*interfaces])}")
        if len(interfaces) > _FEW or self._is_mixed:
            self._list("WASI, by interface", [f"{name}: {', '.join(of)}" for name, of in interfaces.items()])
        flag = "" if self._has_manifest else "; so does --wasm-wasi, for guests without one"
        self._remedies.append(
            f"write a table [wasi] into {self._manifest}: an empty one links WASI and grants no access to the machine"
            f"{flag}"
        )

    def _say_own(self, own: Sequence[UnmetImport]) -> None:
        texts = [one.short_text for one in own]
        few = texts if len(own) <= _FEW else [one.name for one in own]
        self._reasons.append(f"nothing provides {counted(len(own), 'import')}: {_some(few)}")
        if len(own) > _FEW:
            self._list("imports that nothing provides", texts)
        functions = [one for one in own if not one.name.rpartition("#")[2].startswith("[") and one.type != "resource"]
        if functions:
            it = "it" if len(functions) == 1 else "them"
            self._remedies.append(
                f"answer {it} with [[imports]] in {self._manifest}, or register {it} in {_IN_PYTHON}: "
                f"host.register({functions[0].name!r}, function)"
            )
        resources = [one for one in own if one.type == "resource"]
        if resources:
            class_ = "a class" if len(resources) == 1 else "classes"
            calls = ", ".join(f"host.register_resource({one.name!r}, class)" for one in resources[:_FEW])
            self._remedies.append(f"register {class_} {'there' if functions else f'in {_IN_PYTHON}'}: {calls}")

    def _say_odd(self, odd: Sequence[UnmetImport]) -> None:
        self._reasons.append(f"this host cannot provide {counted(len(odd), 'import')}: {_some([o.name for o in odd])}")
        self._list("cannot be provided", [one.short_text for one in odd])
        self._remedies.append(
            f"build it without the {'import' if len(odd) == 1 else 'imports'} that no host can provide"
        )

    def _say_misfits(self, misfits: Sequence[UnmetImport]) -> None:
        few = [str(one) if len(misfits) == 1 else one.name for one in misfits]
        self._reasons.append(f"another signature is registered for {counted(len(misfits), 'import')}: {_some(few)}")
        if len(misfits) > 1:
            self._list("registered with another signature", [str(one) for one in misfits])
        self._remedies.append(
            "register functions with the declared signatures, or declare the signatures of those that are registered"
        )

    def _list(self, title: str, lines: Sequence[str]) -> None:
        self._details += [f"{title}:", *_indented(lines)]


def _group_of(one: UnmetImport) -> str:
    if one.is_registered:
        return "misfits"
    if one.why == WASI_NOT_GRANTED:
        return "wasi"
    return "odd" if one.why.startswith("the host cannot") else "own"


def _indented(lines: Sequence[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:_MOST_LISTED])
    if len(lines) > _MOST_LISTED:
        yield f"  and {len(lines) - _MOST_LISTED:,} more"


def _some(names: Sequence[str]) -> str:
    more = len(names) - _FEW
    return ", ".join(names[:_FEW]) + (f" and {more:,} more" if more > 0 else "")
