"""The build hook of hatchling, which puts the guard into wheels, and into the checkout of editable installations."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

sys.path.insert(0, str(Path(__file__).resolve().parent / "native"))  # hatchling loads this file from its path

import build_guard

from pytest_airssys_wasm import _native


class GuardBuildHook(BuildHookInterface[Any]):
    """The build of the native guard, a part of the build of each wheel. A source distribution has only the sources."""

    def dependencies(self) -> list[str]:
        """Return zig as a requirement if the machine has no C compiler that works."""
        if sys.platform == "win32":
            return []  # the build refuses it
        try:
            return [build_guard.ZIGLANG] if build_guard.needs_zig() else []
        except build_guard.CannotBuild as problem:
            self.app.abort(str(problem))
            raise

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build the library, and give the wheel the tag of the platform that the library is for."""
        self._scratch = tempfile.TemporaryDirectory()
        place = _native.LIBRARY.relative_to(_native.CHECKOUT)
        if version == "editable":
            library = _native.LIBRARY
        else:
            target = build_guard.selected_target()
            place = place.with_suffix(target.suffix) if target else place
            library = Path(self._scratch.name, place.name)
            build_data["force_include"][str(library)] = str(place)
        try:
            tag = build_guard.build(library)
        except build_guard.CannotBuild as problem:
            self.app.abort(f"pytest-airssys-wasm: {problem}")
            raise
        build_data["pure_python"], build_data["tag"] = False, f"py3-none-{tag}"

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the copy of the library that is outside of the wheel."""
        self._scratch.cleanup()
