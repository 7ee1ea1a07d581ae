"""Which guest a test is about: the paths in its `component` marker, resolved, and its manifest."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_airssys_wasm.plugin import markers
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

if TYPE_CHECKING:
    import pytest

    from pytest_airssys_wasm.plugin.settings import Settings
    from pytest_airssys_wasm.runtime.manifest.model import Manifest

MANIFEST_NAME = "Component.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A test's guest: where it is and what is declared of it."""

    content: Path | str | bytes
    """A file, WebAssembly text, or a binary."""
    manifest: Manifest | None
    world: Path | None
    """A WIT file with the world that the guest must implement."""
    world_name: str | None

    @property
    def name(self) -> str:
        """For messages."""
        return self.content.name if isinstance(self.content, Path) else "inline component"


def find_source(item: pytest.Item, settings: Settings) -> Source | None:
    """The guest named by the closest `component` marker; `None` without one.

    Raises `InvalidConfiguration` for a file that is not there, and for a manifest that is wrong.
    """
    mark: markers.ComponentMark | None = markers.closest(item, "component")
    if mark is None:
        return None
    content = mark.source
    if not isinstance(content, bytes) and not _is_text(content):
        content = find_file(item, content, "marker component: source")
    beside = content.parent / MANIFEST_NAME if isinstance(content, Path) else None
    manifest = None
    if mark.manifest is not None:
        manifest = find_file(item, mark.manifest, "marker component: manifest")
    elif beside is not None and beside.is_file():
        manifest = beside
    world, _, world_name = os.fspath(mark.world or "").partition("#")
    return Source(
        content=content if isinstance(content, (Path, bytes)) else str(content),
        manifest=None if manifest is None else read_manifest(manifest, settings),
        world=find_file(item, world, "marker component: world") if world else None,
        world_name=world_name or None,
    )


def find_file(item: pytest.Item, name: str | os.PathLike[str], where: str) -> Path:
    """The file relative to the test file, then to the rootdir.

    Raises `InvalidConfiguration` naming both places.
    """
    places = tuple(dict.fromkeys(base / name for base in (item.path.parent, item.config.rootpath)))
    for place in places:
        if place.is_file():
            return place
    raise InvalidConfiguration(
        f"{item.nodeid}: {where}", os.fspath(name), f"a file: there is no {' and no '.join(map(str, places))}"
    )


def find_folder(item: pytest.Item, name: str | os.PathLike[str]) -> Path:
    """The directory relative to the test file, then to the rootdir; the first of them when there is none."""
    places = [base / name for base in (item.path.parent, item.config.rootpath)]
    return next((place for place in places if place.is_dir()), places[0])


def _is_text(source: str | os.PathLike[str]) -> bool:
    return isinstance(source, str) and source.lstrip().startswith(("(", ";;"))


def read_manifest(path: Path, settings: Settings) -> Manifest:
    """A manifest under the platform's rules in `settings`. Raises `InvalidConfiguration`."""
    from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE, load_manifest

    return load_manifest(
        path,
        memory_range=settings.wasm_memory_range or PLATFORM_RANGE,
        require_cpu_limits=settings.wasm_require_cpu_limits,
    )
