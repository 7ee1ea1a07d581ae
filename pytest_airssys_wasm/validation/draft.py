"""The draft of a manifest for a binary: its imports as stubs, its need of WASI, limits as measured, and first tests."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from pytest_airssys_wasm.runtime.base.figures import exact_size, measured_ms, size, widened_range
from pytest_airssys_wasm.runtime.base.printable import counted, is_printable, printable
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import UnfitHost, WasmError
from pytest_airssys_wasm.runtime.host.functions import HostFunctions
from pytest_airssys_wasm.runtime.host.unmet_imports import WASI_NOT_GRANTED
from pytest_airssys_wasm.runtime.manifest.model import ImportStub
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
from pytest_airssys_wasm.runtime.store.store import LimitedStore
from pytest_airssys_wasm.validation.placeholders import NoPlaceholder, placeholder, toml_string
from pytest_airssys_wasm.validation.stubs import imported_functions, serve_stubs
from pytest_airssys_wasm.validation.unfit import MANIFEST_PAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_airssys_wasm.runtime.base.usage import Usage
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.host.unmet_imports import UnmetImport

_REGISTERING = "python -m pytest_airssys_wasm.docs howto#serve-what-a-guest-imports"
"""The command that prints how functions are registered."""
_PRINTING = "python -m pytest_airssys_wasm.docs howto#grant-wasi"
"""The command that prints how the output of a command is tested."""
_MOST_TESTS = 20
"""The most exports for which a test is begun."""
_MOST_LISTED = 20
"""The most interfaces or imports that a comment lists."""
_MOST_COMMENT = 200
"""The most characters of a text of the guest in a comment."""
_TIMES = 2
"""The factor from the memory and the fuel that the instantiation took to the limits."""
_PAGE = 65_536
_TIME_TIMES = 10
"""The factor from the time that the instantiation took to the limit, where the default is less."""


class Draft(Struct, frozen=True, kw_only=True):
    """A manifest for its author to complete."""

    text: str
    """The content of the file."""
    remarks: tuple[str, ...]
    """The things that its author has to look at, each in one line."""


def draft_manifest(
    engine: WasmEngine, component: Component, file: str, limits: ResourceLimits, memory_range: tuple[int, int]
) -> Draft:
    """Return the manifest for the binary `file` beside it, which is instantiated once under `limits`.

    Limits are chosen within `memory_range` where that is enough.
    """
    return _Writer(engine, component, file, limits, memory_range).draft()


class _Writer:
    def __init__(
        self, engine: WasmEngine, component: Component, file: str, limits: ResourceLimits, memory_range: tuple[int, int]
    ) -> None:
        self._engine = engine
        self._component = component
        self._file = file
        self._limits = limits
        self._range = memory_range
        self._remarks: list[str] = []
        unmet = list(component.unmet_imports(None, None))
        self._wasi = [one for one in unmet if one.why == WASI_NOT_GRANTED]
        self._own = [one for one in unmet if one.why != WASI_NOT_GRANTED]

    def draft(self) -> Draft:
        stubs, written = self._stubs()
        is_served = len(written) == len(stubs)
        usage, failure = self._instantiated(stubs) if is_served else (None, "")
        if not is_served:
            self._remarks.append("the limits are guesses: it cannot be instantiated before that")
        elif failure:
            self._remarks.append(f"the limits are guesses, because its instantiation ended with {failure}")
        parts = [
            self._head(),
            self._resources(usage),
            *(["\n".join(self._wasi_table())] if self._wasi else []),
            *written,
            *self._fuzz(),
            "\n".join(self._tests()),
        ]
        return Draft(text="\n\n".join(parts) + "\n", remarks=tuple(self._remarks))

    def _head(self) -> str:
        stem = self._file.rpartition(".")[0] or self._file
        name = stem if is_printable(stem) and stem.strip() else "component"
        lines = ["[component]", f"name = {toml_string(name)}", 'version = "0.1.0"']
        if self._file != f"{name}.wasm":
            lines.append(f"wasm = {toml_string(self._file)}")
        return "\n".join(lines)

    def _resources(self, usage: Usage | None) -> str:
        low, high = self._range
        if usage is None:
            return "\n".join(
                [
                    "[resources.memory]",
                    f"max_bytes = {_size(high)}  # the most that is allowed: nothing could be measured",
                    "",
                    "[resources.cpu]",
                    f"max_fuel = {ResourceLimits.DEFAULT_FUEL:_}",
                    f"timeout_ms = {ResourceLimits.DEFAULT_TIMEOUT_MS:g}",
                ]
            )
        peak = usage.peak_memory_bytes
        wanted = _TIMES * _in_pages(peak)
        # A guest that does not fit into the range needs another one, which may as well have room for its calls.
        memory = max(low, min(wanted, high) if peak <= high else wanted)
        if memory > high:
            self._remarks.append(
                f"it takes {size(peak)} of memory, more than the {size(high)} that are allowed: write "
                f"`{widened_range(low, memory)}` into the section [pytest] of pytest.ini, or reserve less (C "
                "toolchains: link with -Wl,-z,stack-size=65536)"
            )
        fuel = _rounded_up(_TIMES * usage.fuel.consumed + ResourceLimits.DEFAULT_FUEL)
        timeout_ms = max(ResourceLimits.DEFAULT_TIMEOUT_MS, _rounded_up(_TIME_TIMES * usage.wall_ms))
        return "\n".join(
            [
                "[resources.memory]",
                f"# the instantiation took {size(peak)}; the rest is for calls",
                f"max_bytes = {_size(memory)}",
                "",
                "[resources.cpu]",
                f"# for the instantiation, which took {usage.fuel.consumed:,}, and for each call",
                f"max_fuel = {fuel:_}",
                f"# the instantiation took {measured_ms(usage.wall_ms)} ms",
                f"timeout_ms = {timeout_ms:g}",
            ]
        )

    def _wasi_table(self) -> Iterator[str]:
        interfaces = dict.fromkeys(one.name.partition("#")[0] for one in self._wasi)
        yield f"# it imports {counted(len(interfaces), 'interface')} of WASI; nothing of the machine is granted"
        yield from (_comment(one) for one in list(interfaces)[:_MOST_LISTED])
        if len(interfaces) > _MOST_LISTED:
            yield f"#   and {len(interfaces) - _MOST_LISTED:,} more"
        yield "[wasi]"
        yield '# args = ["program"]'
        yield '# env = { LANG = "C" }'
        yield '# stdin = ""'
        yield '# preopen = { "/data" = "data" }'

    def _stubs(self) -> tuple[Sequence[ImportStub], list[str]]:
        """Return the stubs for the imports that are not of WASI, and their text with other imports as comments."""
        types = imported_functions(self._component)
        stubs, written = [], []
        for one in self._own:
            if one.name.rpartition("#")[2].startswith("["):
                continue  # a function of a resource, which is served by the class of the resource
            known = types.get(one.name)
            try:
                if known is None:
                    raise NoPlaceholder("it is not a function")
                lines, stub = self._stub(one, known[1])
            except NoPlaceholder as error:
                written.append(
                    f"# no stub can serve this import, because {printable(str(error))}: register it in "
                    f"conftest.py\n{_comment(f'{one.name}: {one.type}')}"
                )
                continue
            stubs.append(stub)
            written.append("\n".join(lines))
        if stubs:
            answers = counted(len(stubs), "import")
            self._remarks.append(f"{answers} answered with placeholders: write real answers into [[imports]]")
        if len(written) > len(stubs):
            left = counted(len(written) - len(stubs), "import")
            self._remarks.append(f"{left} to be registered in Python: {_REGISTERING}")
        return stubs, written

    @staticmethod
    def _stub(one: UnmetImport, results: Sequence[Any]) -> tuple[list[str], ImportStub]:
        from pytest_airssys_wasm.runtime.base import toml

        if one.why or not is_printable(one.name) or not one.name.strip():
            raise NoPlaceholder(one.why or "its name cannot be printed")
        values = [placeholder(type_) for type_ in results]
        lines = [_comment(f"{one.name}: {one.type}"), "[[imports]]", f"name = {toml_string(one.name)}"]
        if values:
            value = values[0] if len(values) == 1 else f"[{', '.join(values)}]"
            lines.append(f"returns = {value}  # a placeholder")
            return lines, ImportStub(name=one.name, returns=toml.loads(f"value = {value}")["value"])
        return lines, ImportStub(name=one.name)

    def _instantiated(self, stubs: Sequence[ImportStub]) -> tuple[Usage | None, str]:
        """Instantiate the guest, and return what that took, or why it could not be done."""
        host = serve_stubs(self._component, HostFunctions(), stubs).host
        wasi = Wasi() if self._wasi else None
        with LimitedStore(self._engine, self._limits, host=host, wasi=wasi) as store:
            try:
                store.instantiate(self._component)
            except UnfitHost:
                raise
            except WasmError as error:
                return None, f"{error.verdict}: {printable(str(error).partition(chr(10))[0])}"
            return store.usage, ""

    def _tests(self) -> Iterator[str]:
        """Write a comment with a test for each export that can be called with values of TOML."""
        names = self._component.function_names()
        of_authors = [(name, type_) for name, type_ in names.items() if not _is_of_toolchain(name, type_, names)]
        tests = [lines for name, type_ in of_authors if (lines := list(self._test(name, type_)))]
        tests += [lines for name in names if (lines := list(self._resource(name, names)))]
        if not tests:
            yield f"# It exports no function that can be called with values of TOML: {MANIFEST_PAGE}#tests"
            return
        yield "# First tests: remove the comment signs, and write real arguments and results. How values are written:"
        yield f"#   {MANIFEST_PAGE}#tests"
        for lines in tests[:_MOST_TESTS]:
            yield ""
            yield from lines
        if len(tests) > _MOST_TESTS:
            yield f"# … and {len(tests) - _MOST_TESTS:,} more exports"

    def _test(self, name: str, type_: str) -> Iterator[str]:
        if not is_printable(name) or name == "_initialize":  # which the instantiation calls
            return
        try:
            args = ", ".join(placeholder(one) for one in self._component.parameter_types(name))
        except NoPlaceholder:
            return
        try:
            results = [placeholder(one) for one in self._component.result_types(name)]
        except NoPlaceholder:
            return
        yield _comment(f"{name}: {type_}")
        if name == "_start" or name.startswith("wasi:cli/run@"):
            yield _comment(f"what it prints is tested in Python: {_PRINTING}")
        yield "# [[tests]]"
        yield f"# name = {toml_string(f'{name} returns')}"
        yield f"# call = {toml_string(name)}"
        if args:
            yield f"# args = [{args}]"
        expected = f"  # or returns = {results[0]}" if len(results) == 1 else ""
        yield f'# verdict = "ok"{expected}'

    def _resource(self, constructor: str, names: Mapping[str, str]) -> Iterator[str]:
        """Write a comment with a test that makes a resource and calls its methods, for the name of a constructor."""
        interface, mark, function = constructor.partition("[constructor]")
        if not mark or not is_printable(constructor):
            return
        begins = f"{interface}[method]{function}."
        steps, listed = [], [_comment(f"{constructor}: {names[constructor]}")]
        for name in (constructor, *(one for one in names if one.startswith(begins))):
            types = list(self._component.parameter_types(name))[name != constructor :]  # without `self`
            try:
                args = [placeholder(one) for one in types]
            except NoPlaceholder:
                continue
            if name == constructor:
                call = f'args = [{", ".join(args)}], save = "it"'
            else:
                listed.append(_comment(f"{name}: {names[name]}"))
                call = f"args = [{', '.join([_IT, *args])}]"
            steps.append(f"# {{ call = {toml_string(name)}, {call} }},")
        if not steps or "save = " not in steps[0]:
            return
        yield from listed
        yield "# [[tests]]"
        yield f"# name = {toml_string(f'{interface}{function} is made and used')}"
        yield "# steps = ["
        yield from steps
        yield "# ]"

    def _fuzz(self) -> Iterator[str]:
        """Write the table that leaves functions of toolchains out of fuzzing, if there are any."""
        names = self._component.function_names()
        found = [toml_string(name) for name, type_ in names.items() if _is_of_toolchain(name, type_, names)]
        if found:
            its = "a function" if len(found) == 1 else "functions"
            yield f"# {its} of the toolchain, not of the author\n[fuzz]\nexclude = [{', '.join(found)}]"


_IT = '{ saved = "it" }'
_OF_TOOLCHAINS = {
    "exports#init": "func(app-name: string, symbols: ",  # componentize-py
    "init": "func(shim: string, script: string, ",  # componentize-qjs, the backend `quickjs` of jco
}
"""The functions that toolchains call while they build a component, and leave in it: the beginnings of their types."""


_MAIN = ("main", "(func (param i32 i32) (result i32))")
"""The name and the type of the function that the `_start` of a command calls, with the address of its arguments."""


def _is_of_toolchain(name: str, type_: str, names: Mapping[str, str]) -> bool:
    """Return whether an export is a function of the toolchain; `names` are all exports with their types."""
    if (name, type_) == _MAIN:
        return "_start" in names
    return name in _OF_TOOLCHAINS and type_.startswith(_OF_TOOLCHAINS[name])


def _comment(text: str) -> str:
    text = printable(text)
    return f"#   {text if len(text) <= _MOST_COMMENT else text[: _MOST_COMMENT - 1] + '…'}"


def _in_pages(count_bytes: int) -> int:
    return math.ceil(count_bytes / _PAGE) * _PAGE


def _rounded_up(number: float) -> int:
    """Return the number with one digit that is not zero, rounded up."""
    step: int = 10 ** max(0, len(f"{int(number)}") - 1)
    return math.ceil(number / step) * step


def _size(count_bytes: int) -> str:
    """Return a size in TOML, with the largest unit that divides it."""
    written = exact_size(count_bytes)
    return written if written.isdecimal() else f'"{written}"'
