"""The option `--wasm-init`, which writes a `Component.toml` beside a binary and ends."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_airssys_wasm.plugin.engine import the_engine
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import MANIFEST_NAME
from pytest_airssys_wasm.runtime.base.printable import printable, printable_lines
from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, WasmError
from pytest_airssys_wasm.runtime.manifest.loading import PLATFORM_RANGE, parse_manifest

if TYPE_CHECKING:
    from pytest_airssys_wasm.validation.draft import Draft

_MEMORY, _TIMEOUT_MS = "256 MiB", 10_000.0
"""The limits of the instantiation that is measured, below the ceilings of the ini file."""
_NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)


def write_manifest(config: pytest.Config, wasm: Path) -> int:
    """Write a manifest for a binary, print what is to be done next, and return the exit status.

    Raises `pytest.UsageError` if there is a manifest already, the binary is not valid, or the file cannot be written.
    """
    path = wasm.parent / MANIFEST_NAME
    if os.path.lexists(path):
        raise pytest.UsageError(f"--wasm-init: {path} exists, and is not overwritten")
    draft = _draft(config, wasm, path)
    try:
        _create(path, draft.text)
    except FileExistsError:
        raise pytest.UsageError(f"--wasm-init: {path} exists by now, and is not overwritten") from None
    except OSError as error:
        raise pytest.UsageError(f"--wasm-init: {path} cannot be written: {error.strerror}") from None
    shown = os.path.relpath(path, config.invocation_params.dir)
    print(f"wasm: wrote {printable(shown)}")
    for remark in draft.remarks:
        print(f"  - {printable(remark)}")
    print(f"next: pytest --airssys-wasm {printable(str(Path(shown).parent))}")
    return pytest.ExitCode.OK


def _draft(config: pytest.Config, wasm: Path, path: Path) -> Draft:
    from pytest_airssys_wasm.validation.draft import draft_manifest

    settings = config.stash[SETTINGS]
    engine = the_engine(config)
    limits = ResourceLimits(memory=_MEMORY, fuel=None, timeout_ms=_TIMEOUT_MS * settings.wasm_timeout_scale)
    memory_range = settings.wasm_memory_range or PLATFORM_RANGE
    try:
        component = engine.load(wasm)
        draft = draft_manifest(engine, component, wasm.name, settings.ceilings.lower(limits), memory_range)
    except (WasmError, OSError) as error:
        raise pytest.UsageError(f"--wasm-init: {wasm}: {printable_lines(str(error))}") from None
    try:
        parse_manifest(draft.text, path, memory_range=(0, 2**48))
    except InvalidConfiguration as error:  # a guest with odd names: a manifest with mistakes is not written
        raise pytest.UsageError(f"--wasm-init: no manifest can be written for {wasm}: {error}") from None
    return draft


def _create(path: Path, text: str) -> None:
    """Write a new file, which appears with all of its content. Raises `FileExistsError` if there is one."""
    descriptor, unfinished = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
            os.fchmod(descriptor, 0o644)
        os.link(unfinished, path)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        with path.open("x", encoding="utf-8") as file:  # a file system without hard links
            file.write(text)
    finally:
        Path(unfinished).unlink()
