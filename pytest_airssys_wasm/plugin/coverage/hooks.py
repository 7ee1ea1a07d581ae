"""The plugins that measure coverage at the end of a session, and write it to the directory."""

from __future__ import annotations

import hashlib
import re
import zlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from pytest_airssys_wasm.analysis.guest_coverage.block_lines import block_lines
from pytest_airssys_wasm.plugin import engine
from pytest_airssys_wasm.plugin.coverage.measuring import MeasuredGuest, Part, measure, merged
from pytest_airssys_wasm.plugin.coverage.recording import Recorder
from pytest_airssys_wasm.plugin.output_directory import make_directory
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.worker_parts import WorkerPart, part_of
from pytest_airssys_wasm.reporting.coverage_listing import lcov, list_functions, listing, source_lcov
from pytest_airssys_wasm.reporting.coverage_page import GuestOnPage, page
from pytest_airssys_wasm.reporting.formatting import cut
from pytest_airssys_wasm.reporting.write import replace_file
from pytest_airssys_wasm.runtime.base.printable import counted, printable
from pytest_airssys_wasm.runtime.base.regular_files import GUEST_BYTES, read_regular
from pytest_airssys_wasm.runtime.binary.formats import to_binary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.coverage import Coverage

PART = "airssys_wasm_coverage"
"""The key, in the output of an xdist worker, of what its tests have reached."""
_SECTION = "WebAssembly coverage"
_UNSAFE = re.compile(r"(?:[^A-Za-z0-9._]|\.{2,})+")
_MOST_STEM = 100
_DIGITS = 8
_MOST_NAME = 60
_MOST_TESTS = 3


def register(config: pytest.Config) -> None:
    """Make the directory, and register the plugin that records executions and, in the process that the user started,
    the plugin that writes the coverage.

    Raises `pytest.UsageError` if the directory cannot be made.
    """
    folder = config.stash[SETTINGS].wasm_coverage
    assert folder is not None
    make_directory(folder, "--wasm-coverage")
    recorder = Recorder(config)
    engine.listen(config, recorder.see)
    config.pluginmanager.register(recorder)
    if hasattr(config, "workerinput"):
        config.pluginmanager.register(WorkerPart(config, PART, lambda: msgspec.json.encode(measure(recorder)).decode()))
    else:
        config.pluginmanager.register(CoverageHooks(config, folder, recorder))


class CoverageHooks:
    """A plugin that merges the coverage of all processes, writes it, and shows it in the terminal."""

    def __init__(self, config: pytest.Config, folder: Path, recorder: Recorder) -> None:
        self._config = config
        self._folder = folder
        self._recorder = recorder
        self._parts: list[Part] = []
        self._told: list[tuple[str, bool]] = []

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        """Take the coverage of an xdist worker. A worker that crashed has none."""
        part = part_of(node, PART)
        if part is None:
            self._tell("A worker process of xdist has ended early: what its tests reached is missing.", is_bad=True)
        else:
            self._parts.append(msgspec.json.decode(part, type=Part))

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Measure the coverage of the tests of this process, and write all of it.

        The run fails if a file cannot be written.
        """
        is_done = False
        with telling(lambda mishap: self._tell(f"The coverage is not written: {mishap}", is_bad=True)):
            self._conclude()
            is_done = True
        if not is_done and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _conclude(self) -> None:
        self._parts.append(measure(self._recorder))
        for part in self._parts:
            for mishap in part.mishaps:
                self._tell(f"Something is missing: {mishap}", is_bad=True)
        guests: dict[tuple[str, str], list[MeasuredGuest]] = {}
        for one in (one for part in self._parts for one in part.guests):
            guests.setdefault((one.name, one.digest), []).append(one)
        shown, others = [], []
        stems: set[str] = set()
        where = self._shown(self._folder / "index.html")
        for name, digest in sorted(guests):
            parts = guests[name, digest]
            binary = self._binary(parts, digest)
            found = "its file has changed since it was run" if binary is None else merged(parts, binary)
            if isinstance(found, str):
                others.append((name, found))
                self._tell(f"coverage: {cut(name, _MOST_NAME)} is not measured: {found}")
                continue
            assert binary is not None
            stem = _stem(name, digest, stems)
            lines = block_lines(found, binary)
            functions = list_functions(found, binary, lines.lines)
            files = {f"{stem}.txt": listing(name, functions), f"{stem}.info": lcov(f"{stem}.txt", functions)}
            if lines.lines:
                files[f"{stem}.sources.info"] = source_lcov(functions)
            for file, text in files.items():
                replace_file(self._folder / file, text)
            shown.append(GuestOnPage(coverage=found, functions=functions, files=tuple(files)))
            self._told.extend((line, False) for line in _lines(found, where))
            if lines.obstacle is not None:
                self._tell(f"  source lines are missing: {lines.obstacle}")
        replace_file(self._folder / "index.html", page(shown, others))
        left_out = sum(part.left_out for part in self._parts)
        if left_out:
            self._tell(f"coverage: {counted(left_out, 'more guest')} not measured: there are too many")
        if not guests:
            self._tell("No test has run a guest.")

    def _binary(self, parts: Sequence[MeasuredGuest], digest: str) -> bytes | None:
        """Return the binary of a guest; `None` if there is none with this digest any more."""
        own = next((one.binary for one in self._recorder.guests.values() if one.digest == digest and one.binary), None)
        if own is not None:
            return own
        for part in parts:
            binary = b""
            if part.path is None:
                binary = zlib.decompress(part.binary)
            else:
                with telling(lambda _: None):
                    _, binary = to_binary(read_regular(part.path, GUEST_BYTES), part.name)
            if hashlib.sha256(binary).hexdigest() == digest:
                return binary
        return b"" if any(part.obstacle is not None for part in parts) else None

    def _shown(self, path: Path) -> str:
        start = self._config.invocation_params.dir
        return printable(str(path.relative_to(start) if path.is_relative_to(start) else path))

    def _tell(self, text: str, *, is_bad: bool = False) -> None:
        self._told.append((text, is_bad))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Show the coverage of each guest, and what was not measured."""
        terminalreporter.section(_SECTION)
        for text, is_bad in self._told:
            terminalreporter.line(printable(text), red=is_bad)


def _stem(name: str, digest: str, taken: set[str]) -> str:
    """Return the name of the files of a guest, without a suffix, which no other guest has."""
    readable = _UNSAFE.sub("-", name)[-_MOST_STEM:].strip("-.")
    stem = readable if readable and readable != "index" and readable not in taken else f"{readable}-{digest[:_DIGITS]}"
    taken.add(stem)
    return stem


def _lines(found: Coverage, where: str) -> Iterator[str]:
    functions = f"{found.reached_functions:,} of {counted(len(found.functions), 'function')}"
    blocks = f"{found.reached_blocks:,} of {counted(found.blocks, 'block')}"
    yield f"coverage: {functions}, {blocks} of {cut(found.guest, _MOST_NAME)}, see {where}"
    if found.cut:
        yield f"  {counted(found.cut, 'execution')} ran out of fuel or stack: what they reached last is not sure"
    for one in found.unmeasured:
        tests = ", ".join(one.tests[:_MOST_TESTS])
        more = f" and {counted(len(one.tests) - _MOST_TESTS, 'more test')}" if len(one.tests) > _MOST_TESTS else ""
        yield f"  not measured: {counted(one.executions, 'execution')}, because {one.reason} ({tests}{more})"
