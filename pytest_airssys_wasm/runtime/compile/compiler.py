"""The compiler of an engine, which takes machine code from the cache, or compiles in this process or in isolation."""

from __future__ import annotations

import shutil
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import wasmtime
import wasmtime.component

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.binary.data_images import find_image
from pytest_airssys_wasm.runtime.binary.formats import brief, refusal, to_binary
from pytest_airssys_wasm.runtime.budget.machine import check_threads
from pytest_airssys_wasm.runtime.budget.native_threads import COMPILING
from pytest_airssys_wasm.runtime.capi import abi
from pytest_airssys_wasm.runtime.capi.memory_images import MemoryImage
from pytest_airssys_wasm.runtime.compile.artefacts import (
    CompiledGuest,
    add_image,
    class_of,
    load_artefact,
    place_of,
    write_artefact,
)
from pytest_airssys_wasm.runtime.compile.scratch import ScratchFolder, explained
from pytest_airssys_wasm.runtime.compile.wasmtime_config import fingerprint, with_feature
from pytest_airssys_wasm.runtime.errors import InvalidComponent, RuntimeDied
from pytest_airssys_wasm.runtime.lift.names import REVISION
from pytest_airssys_wasm.runtime.lift.sections import with_scalar_lifts

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.data_images import DataImage
    from pytest_airssys_wasm.runtime.binary.facts import GuestFacts
    from pytest_airssys_wasm.runtime.binary.formats import Kind
    from pytest_airssys_wasm.runtime.compile.cache import CompileCache

T = TypeVar("T")

_HARMLESS_TEXT_BYTES = 2**18
"""The size in bytes up to which text is always translated in this process, because that takes milliseconds, whatever
the text contains.
"""


class IsolatedCompiler(Protocol):
    """A compiler that translates and compiles guests in separate processes. It is thread-safe."""

    def translate(self, text: bytes, name: str) -> bytes:
        """Return the binary of WebAssembly text.

        Raises `InvalidComponent` for other text, `ResourceLimitExceeded` if it takes too much time or memory, and
        `RuntimeDied` if the translator failed.
        """

    def compile(self, kind: Kind, binary: bytes, name: str, artefact: Path) -> None:
        """Compile a binary with the settings of all engines, and write a file that wasmtime's `deserialize_file` reads.

        Raises `InvalidComponent` for an invalid binary, `ResourceLimitExceeded` if it takes too much time or memory,
        and `RuntimeDied` if the compiler failed.
        """


class Compiler:
    """The compiler of one engine. It is thread-safe."""

    def __init__(self, engine: wasmtime.Engine, cache: CompileCache | None, isolation: IsolatedCompiler | None) -> None:
        self._engine = engine
        self._cache = cache
        self._isolation = isolation
        self._has_compiled = False
        self._settings = f"{abi.WASMTIME_VERSION}-{fingerprint()}-{REVISION}"

    def to_binary(self, source: bytes, name: str) -> tuple[Kind, bytes]:
        """Return the kind of a guest and its binary; WebAssembly text is translated.

        Raises `InvalidComponent`; in isolation also `ResourceLimitExceeded` and `RuntimeDied`.
        """
        if self._isolation is None or len(source) <= _HARMLESS_TEXT_BYTES:
            return to_binary(source, name)
        return to_binary(source, name, self._isolation.translate)

    def recall(self, facts: GuestFacts) -> CompiledGuest | None:
        """Return a compiled guest from the cache, if its entry has not changed since it was last read.

        Otherwise returns `None`.
        """
        if self._cache is None:
            return None
        return self._cache.recall(self._key_of(facts), partial(self.map, facts.kind))

    def compile(self, binary: bytes, facts: GuestFacts, name: str) -> tuple[CompiledGuest, bool]:
        """Return the compiled guest, and whether it was compiled now.

        Raises `InvalidComponent`, and `UnfitHost` if the machine cannot compile; in isolation also
        `ResourceLimitExceeded` and `RuntimeDied`.
        """
        kind = facts.kind
        isolation = self._isolation
        if isolation is None:

            def compile_here() -> CompiledGuest:
                compile_one = partial(self._compile_here, kind, name)
                raw, data = _compile_without_data(binary, partial(_compile_with_lifts, facts, compile_one))
                image = None if data is None else MemoryImage.of_bytes(data.content, place_of(data))
                return CompiledGuest(raw=raw, image=image)

            return self._fetch(facts, name, compile_here, write_artefact)
        with ScratchFolder("compile") as folder:
            artefact = folder / "artefact"

            def compile_there(binary: bytes) -> None:
                isolation.compile(kind, binary, name, artefact)

            def compile_isolated() -> CompiledGuest:
                _, data = _compile_without_data(binary, partial(_compile_with_lifts, facts, compile_there))
                if data is not None:
                    with explained():
                        add_image(artefact, data.content, place_of(data))
                try:
                    return self.map(kind, artefact)  # a mapping remains usable when its file is removed
                except ValueError as error:
                    raise RuntimeDied(
                        f"{name}: the compiler wrote a file that is not an artefact: {error}", "garbage"
                    ) from None

            return self._fetch(facts, name, compile_isolated, lambda _, path: shutil.copyfile(artefact, path))

    def _compile_here(self, kind: Kind, name: str, binary: bytes) -> Any:
        COMPILING.need()
        if not self._has_compiled:
            # wasmtime starts a thread for each processor, and without them it would abort the process.
            check_threads(len(system.os.sched_getaffinity(0)))
            self._has_compiled = True
        try:
            return class_of(kind)(self._engine, binary)
        except wasmtime.WasmtimeError as error:
            raise refusal(name, with_feature(brief(error))) from None

    def _fetch(
        self,
        facts: GuestFacts,
        name: str,
        compile_: Callable[[], CompiledGuest],
        save: Callable[[CompiledGuest, Path], object],
    ) -> tuple[CompiledGuest, bool]:
        if self._cache is None:
            return compile_(), True
        compiled = []

        def compile_noted() -> CompiledGuest:
            compiled.append(True)
            return compile_()

        load = partial(self.map, facts.kind)
        found = self._cache.fetch(self._key_of(facts), name, facts.size_bytes, load, compile_noted, save)
        return found, bool(compiled)

    def _key_of(self, facts: GuestFacts) -> str:
        return f"{facts.digest[:40]}-{self._settings}"

    def map(self, kind: Kind, artefact: Path) -> CompiledGuest:
        """Return the compiled guest of an artefact. Raises `ValueError` for a file that is not one."""
        return load_artefact(kind, self._engine, artefact)


def _compile_without_data(binary: bytes, compile_: Callable[[bytes], T]) -> tuple[T, DataImage | None]:
    """Compile a binary without the data that are in its image, and return the result and the image.

    If there is no image, or if wasmtime refuses the binary without these data, the binary is compiled as it is, and any
    error is about that.
    """
    image = find_image(binary)
    if image is not None:
        with suppress(InvalidComponent):
            return compile_(image.binary), image
    return compile_(binary), None


def _compile_with_lifts(facts: GuestFacts, compile_: Callable[[bytes], T], binary: bytes) -> T:
    """Compile a binary, with scalar lifts if it is a component.

    If wasmtime refuses these, the binary is compiled as it is, and any error is about that.
    """
    lifted = with_scalar_lifts(binary, facts.digest) if facts.kind == "component" else binary
    if lifted is not binary:
        with suppress(InvalidComponent):
            return compile_(lifted)
    return compile_(binary)
