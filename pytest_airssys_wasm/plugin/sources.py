"""The guests of tests, which are found by the paths in the `component` marker, and loaded once per process and
session.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from msgspec import Struct

from pytest_airssys_wasm.plugin.file_cache import FileCache
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.binary.formats import is_text
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_airssys_wasm.plugin.markers import ComponentMark
    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.guest.component import Component
    from pytest_airssys_wasm.runtime.manifest.model import Manifest
    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

MANIFEST_NAME = "Component.toml"

_MANIFESTS: pytest.StashKey[FileCache[Manifest]] = pytest.StashKey()
_COMPONENTS: pytest.StashKey[FileCache[Component]] = pytest.StashKey()
_PLACES: pytest.StashKey[tuple[Path, ...]] = pytest.StashKey()


class Source(Struct, frozen=True, kw_only=True):
    """The guest of a test: its content or path, and its declarations."""

    content: Path | str | bytes
    """The path of a file, WebAssembly text, or the bytes of a binary."""
    manifest: Manifest | None = None
    world: Path | None = None
    """The path of a WIT file with the world that the guest must implement."""
    world_name: str | None = None
    """The name of the world that the guest must implement; `None` if the WIT file has only one."""
    wasi_without_manifest: Wasi | None = None
    """The grants if no manifest has a table `[wasi]`."""

    @property
    def wasi(self) -> Wasi | None:
        """The grants of WASI; `None` if WASI is not to be linked."""
        declared = self.manifest.wasi if self.manifest else None
        return self.wasi_without_manifest if declared is None else declared

    @property
    def name(self) -> str:
        """The name of the file, for messages."""
        return self.content.name if isinstance(self.content, Path) else "inline component"


def find_source(item: pytest.Item, mark: ComponentMark | None) -> Source | None:
    """Return the guest that the item's `component` marker names; `None` without a marker.

    Raises `InvalidConfiguration` for a file that does not exist, and for a wrong manifest.
    """
    if mark is None:
        return None
    return source_of(mark, item.config, _folders(item), f"{item.nodeid}: marker component")


def source_of(mark: ComponentMark, config: pytest.Config, folders: Sequence[Path], where: str) -> Source:
    """Return the guest for the arguments of a `component` marker or factory, with paths relative to one of the folders.

    Raises `InvalidConfiguration`, whose message begins with `where`, for a missing file and for a wrong manifest.
    """
    content = mark.source
    if not isinstance(content, bytes) and not is_text(content):
        content = _find_file(folders, content, f"{where}: source")
    beside = content.parent / MANIFEST_NAME if isinstance(content, Path) else None
    manifest = None
    if mark.manifest is not None:
        manifest = _find_file(folders, mark.manifest, f"{where}: manifest")
    elif beside is not None and system.os.path.lexists(beside):
        manifest = beside
    world, _, world_name = os.fspath(mark.world or "").partition("#")
    return Source(
        content=content if isinstance(content, (Path, bytes)) else str(content),
        manifest=None if manifest is None else read_manifest(manifest, config),
        world=_find_file(folders, world, f"{where}: world") if world else None,
        world_name=world_name or None,
    )


def find_folder(item: pytest.Item, name: str | os.PathLike[str]) -> Path:
    """Return the directory relative to the test file, or else relative to the rootdir; the former if neither exists."""
    places = [base / name for base in _folders(item)]
    return next((place for place in places if system.os.path.isdir(place)), places[0])


def read_manifest(path: Path, config: pytest.Config) -> Manifest:
    """Return a manifest that follows the platform's rules in the settings. An unchanged file is read once.

    Raises `InvalidConfiguration` for a manifest that is not valid.
    """
    from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE, load_manifest

    settings = config.stash[SETTINGS]

    def read() -> Manifest:
        return load_manifest(
            path,
            memory_range=settings.wasm_memory_range or PLATFORM_RANGE,
            require_cpu_limits=settings.wasm_require_cpu_limits,
            places=_places(config),
        )

    try:
        return config.stash.setdefault(_MANIFESTS, FileCache()).get(path, read)
    except OSError:  # says in its own words why the file cannot be read
        return read()


def _places(config: pytest.Config) -> tuple[Path, ...]:
    """Return the places beside its folder in which a manifest and its binary may be: see `load_manifest`."""
    if _PLACES not in config.stash:
        named = [*config.stash[SETTINGS].wasm_component, *(path_of(argument, config) for argument in config.args)]
        config.stash[_PLACES] = (config.rootpath.resolve(), *(path.resolve() for path in named))
    return config.stash[_PLACES]


def path_of(argument: str, config: pytest.Config) -> Path:
    """Return the path in an argument of the command line, which may be a node id."""
    path, _, _ = argument.partition("::")
    return Path(os.path.normpath(config.invocation_params.dir / path))


def in_utf_8(text: str) -> str:
    """Return a text that can be encoded in UTF-8: undecodable bytes of file names become escapes."""
    return text.encode("utf-8", "backslashreplace").decode()


def load_component(source: Source, engine: WasmEngine, config: pytest.Config) -> Component:
    """Return the compiled guest. An unchanged file is loaded once by each engine; every test has a new store.

    Raises the errors of `WasmEngine.load`.
    """

    def load() -> Component:
        from pytest_airssys_wasm.runtime.manifest.loading import check_binary

        manifest = source.manifest
        if manifest is not None and source.content == manifest.wasm:
            check_binary(manifest, _places(config))  # links may have changed since the manifest was read
        return engine.load(source.content, manifest=manifest)

    if not isinstance(source.content, Path):
        return load()
    if _COMPONENTS not in config.stash:
        config.stash[_COMPONENTS] = FileCache()
        config.add_cleanup(config.stash[_COMPONENTS].clear)
    # Manifests that are equal but not the same were read from a file that changed in between.
    return config.stash[_COMPONENTS].get(source.content, load, id(engine), id(source.manifest))


def _folders(item: pytest.Item) -> tuple[Path, Path]:
    """Return the folders to which the paths in an item's markers are relative."""
    return item.path.parent, item.config.rootpath


def _find_file(folders: Sequence[Path], name: str | os.PathLike[str], where: str) -> Path:
    """Return the path of a file in the first of the folders that contains it.

    Raises `InvalidConfiguration`, which lists all paths that were tried, if none does.
    """
    places = tuple(dict.fromkeys(base / name for base in folders))
    for place in places:
        if system.os.path.isfile(place):
            return place
    raise InvalidConfiguration(where, os.fspath(name), f"an existing file: {' or '.join(map(str, places))}")
