"""The adapter that `--wasm-runtime` names. It is started once in each process that runs cases."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, RuntimeDied

if TYPE_CHECKING:
    from pytest_airssys_wasm.conformance.adapter import AdapterRuntime
    from pytest_airssys_wasm.protocol.messages import HelloAnswer

SECTION = "adapter"
_ADAPTER: pytest.StashKey[AdapterRuntime] = pytest.StashKey()
_HELLO: pytest.StashKey[HelloAnswer] = pytest.StashKey()


def introduce(config: pytest.Config) -> None:
    """Request the name and version of the runtime from the adapter, before anything is collected.

    Raises `pytest.UsageError` if the adapter cannot be started or its answer is not valid.
    """
    settings = config.stash[SETTINGS]
    if not settings.may_run_suite or settings.wasm_runtime is None or hasattr(config, "workerinput"):
        return
    adapter = the_adapter(config)
    assert adapter is not None
    try:
        config.stash[_HELLO] = adapter.hello()
    except InvalidConfiguration as error:
        raise pytest.UsageError(f"--wasm-runtime: expected {error.wanted}: {settings.wasm_runtime}") from None
    except RuntimeDied as error:
        said = "".join(f"\n  {line}" for line in (*adapter.transcript.lines, *adapter.transcript.stderr))
        raise pytest.UsageError(f"--wasm-runtime: {settings.wasm_runtime}: {error}{said}") from None
    finally:
        if config.getoption("dist", "no") != "no" or _HELLO not in config.stash:
            adapter.close()  # each worker starts its own


def the_adapter(config: pytest.Config) -> AdapterRuntime | None:
    """Return the adapter of this process, which is started by the first request.

    Returns `None` if the suite runs on the bundled runtime.
    """
    command = config.stash[SETTINGS].wasm_runtime
    if command is None:
        return None
    if _ADAPTER not in config.stash:
        from pytest_airssys_wasm.conformance.adapter import AdapterRuntime, Patience

        settings = config.stash[SETTINGS]
        patience = Patience()
        if settings.wasm_patience_ms is not None:
            patience = replace(patience, most_s=settings.wasm_patience_ms / 1_000)
        patience = patience.scaled(settings.wasm_timeout_scale)
        adapter = config.stash[_ADAPTER] = AdapterRuntime(command.words, folder=command.folder, patience=patience)
        config.add_cleanup(adapter.close)
    return config.stash[_ADAPTER]


def runtime_name(config: pytest.Config) -> tuple[str, str] | None:
    """Return the name and version of the runtime behind the adapter; `None` without an adapter."""
    hello = config.stash.get(_HELLO, None)
    return None if hello is None else (hello.runtime, hello.version)


def begin_case(item: pytest.Item) -> None:
    """Clear the transcript of the adapter at the beginning of a case."""
    adapter = the_adapter(item.config)
    if adapter is not None:
        adapter.transcript.clear()


def transcript_text(config: pytest.Config) -> str | None:
    """Return the last requests to the adapter, its answers, and the end of its stderr, for a failure; else `None`."""
    adapter = the_adapter(config)
    if adapter is None:
        return None
    lines = [*adapter.transcript.lines]
    if adapter.transcript.stderr:
        lines += ["stderr:", *(f"  {line}" for line in adapter.transcript.stderr)]
    return "\n".join(lines)


def rerun_flags(config: pytest.Config) -> str:
    """Return the flags with which pytest runs a case of the suite against the same runtime."""
    settings = config.stash[SETTINGS]
    given = ["--airssys-wasm" if settings.wasm_runtime is None else f"--wasm-runtime={settings.wasm_runtime}"]
    if settings.wasm_timeout_scale != 1:
        given.append(f"--wasm-timeout-scale={settings.wasm_timeout_scale!r}")
    if settings.wasm_patience_ms is not None:
        given.append(f"--wasm-patience-ms={settings.wasm_patience_ms:f}".rstrip("0").rstrip("."))
    return shlex.join(given)
