"""The blocks of a Markdown page, and how each kind of them is tried.

A page is a folder of its own, in which the project's `adapters` are: its blocks are tried in order, and a comment
above a block says what it is.

    <!-- file: test_a.py -->   the content of this file in the page's folder
    <!-- not run: why -->      nothing is done with it

Without a comment: `console` is run, and shows what comes out, `…` alone on a line for any lines; `python` is run as
a script; `sh` and `yaml` use options that exist; `toml` is a manifest (or a part of one), a conformance case or
pytest's settings; `ini` is pytest's settings; `wat` is WebAssembly text. A block of any other kind is a mistake.
Test files that no `console` has run are run at the end of the page.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import wasmtime

from pytest_airssys_wasm.conformance.loader import convert
from pytest_airssys_wasm.conformance.model import Case
from pytest_airssys_wasm.runtime.base import toml
from pytest_airssys_wasm.runtime.manifest.loading import parse_manifest
from support.checkout import ADAPTERS

if TYPE_CHECKING:
    from support.fork_server import Forks

_BLOCK = re.compile(
    r"^(?:<!-- (?P<note>[^\n]*) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)^```$", re.DOTALL | re.MULTILINE
)
_WIDTH = "100"
_ANY_MEMORY = (0, 2**40)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    place: str
    """Page and line, for messages."""
    note: str
    """The comment above it, empty without one."""
    language: str
    text: str

    @property
    def file(self):
        """The file whose content it is; empty when it is none."""
        return self.note.removeprefix("file: ") if self.note.startswith("file: ") else ""

    @property
    def is_passed_over(self):
        """Whether nothing is to be done with it."""
        return self.note.startswith("not run: ")


def blocks_of(page: Path) -> list[Block]:
    """All blocks, in order."""
    text = page.read_text("utf-8")
    return [
        Block(f"{page.name}:{text.count(chr(10), 0, found.start()) + 1}", found["note"] or "", *found.group(2, 3))
        for found in _BLOCK.finditer(text)
    ]


class Untrue(AssertionError):
    """A block that is not as things are."""


class Folder:
    """The folder in which the blocks of one page are tried."""

    def __init__(self, path: Path, forks: Forks, *options: str) -> None:
        """Make the folder, in which pytest always has these options."""
        self.path = path / "work"
        self._forks = forks
        self.path.mkdir()
        (self.path / "adapters").symlink_to(ADAPTERS)
        self._has_new_tests = False
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV_CORE_"))}
        self._environment = {
            **kept,
            "COLUMNS": _WIDTH,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept.get("PATH", os.defpath)]),
            # The one warns of settings that no page needs, the other shows tests in any order.
            "PYTEST_ADDOPTS": " ".join(("-p no:asyncio -p no:randomly", *options)),
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "XDG_CACHE_HOME": str(path / "cache"),
        }

    def try_block(self, block: Block) -> None:
        """Raise `Untrue` when it does not do what it says."""
        if block.is_passed_over:
            return
        if block.file:
            self._write(block.file, block.text)
            self._has_new_tests = self._has_new_tests or Path(block.file).name.startswith("test_")
        elif block.language in _KINDS:
            try:
                _KINDS[block.language](self, block.text)
            except Untrue as error:
                raise Untrue(f"{block.place}: {error}") from None
            except Exception as error:
                raise Untrue(f"{block.place}: {type(error).__name__}: {error}") from error
        else:
            raise Untrue(f"{block.place}: nobody knows what to do with `{block.language}` without a comment above it")

    def _write(self, name, text):
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def run(self, *command: str) -> tuple[int, str]:
        """Return the exit status and the output of a Python program in the folder."""
        if command[:2] == ("-m", "pytest"):
            return self._forks.run(command[2:], cwd=self.path, environment=self._environment, timeout_s=300)
        done = subprocess.run(
            [sys.executable, *command],
            cwd=self.path,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        return done.returncode, done.stdout

    def run_tests(self) -> None:
        """Run the tests that no block has run. Raise `Untrue` when one fails."""
        if self._has_new_tests:
            code, output = self.run("-m", "pytest", "-q", "-W", "error", "--strict-markers")
            if code:
                raise Untrue(output)

    def _console(self, text):
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            program, *arguments = shlex.split(command, comments=True)
            if program not in ("pytest", "python"):
                raise Untrue(f"only pytest and python are run, not {command!r}")
            self._has_new_tests = False
            _, output = self.run(*(["-m", "pytest"] if program == "pytest" else []), *arguments)
            compare(command, shown, output.replace(str(self.path), "/work"))

    def _script(self, text):
        if "def test_" in text:
            raise Untrue("a test needs a comment that names its file")
        code, output = self.run("-W", "error", "-c", text)
        if code:
            raise Untrue(output)

    def _toml(self, text):
        table = toml.loads(text)
        if "tool" in table:
            self._settings(text, "pyproject.toml")
        elif "requirement" in table:
            convert(table, Case, "case")
        elif "failures" in table:
            assert all(one.keys() <= {"reason", "cases", "sometimes"} for one in table["failures"])
        else:
            for folder in table.get("wasi", {}).get("preopen", {}).values():
                (self.path / folder).mkdir(parents=True, exist_ok=True)
            head = "" if "component" in table else "[component]\nname = 'x'\nversion = '1'\n"
            memory = "" if "memory" in table.get("resources", {}) else "[resources.memory]\nmax_bytes = 1048576\n"
            parse_manifest(f"{head}{memory}{text}", self.path / "Component.toml", memory_range=_ANY_MEMORY)

    def _settings(self, text, name="pytest.ini"):
        alone = self.path / "settings"
        alone.mkdir(exist_ok=True)
        (alone / name).write_text(text, "utf-8")
        strictly = ("--strict-config", "-W", "error", "--collect-only", "-q")
        code, output = self.run("-m", "pytest", *strictly, "-c", str(alone / name), str(alone))
        (alone / name).unlink()
        if code not in (0, 5):  # 5: no tests collected
            raise Untrue(output)

    def _shell(self, text):
        for line in text.replace("\\\n", " ").splitlines():
            _, is_pytest, arguments = line.partition("pytest ")
            used = re.findall(r"(?<=\s)--[a-z][\w-]*", f" {arguments}") if is_pytest else []
            unknown = set(used) - known_options()
            if unknown:
                raise Untrue(f"no such option: {', '.join(sorted(unknown))}")

    def _wat(self, text):
        wasmtime.wat2wasm(text)


_KINDS = {
    "console": Folder._console,
    "python": Folder._script,
    "toml": Folder._toml,
    "ini": Folder._settings,
    "sh": Folder._shell,
    "yaml": Folder._shell,
    "wat": Folder._wat,
}


@cache
def known_options() -> frozenset[str]:
    """Every long option of pytest with this plugin."""
    done = subprocess.run([sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True)
    return frozenset(re.findall(r"--[a-z][\w-]*", done.stdout))


def compare(command: str, shown: str, output: str) -> None:
    """Raise `Untrue` when the output is not as shown, times and alignment aside."""
    wanted, got = same_everywhere(shown), same_everywhere(output)
    pattern = "".join(r"(?:.*\n)*?" if line == "…" else re.escape(line) + r"\n" for line in wanted)
    if not re.fullmatch(pattern, "".join(f"{line}\n" for line in got)):
        raise Untrue(f"$ {command}\nshown:\n{shown}\ncomes out:\n{output}")


def same_everywhere(text: str) -> list[str]:
    """Lines without what differs from run to run or with the width of the terminal; no empty ones."""
    text = re.sub(r"[\d.,]+ (ms|s)\b", r"N \1", re.sub(r"\bin \d[\d.]*s\b", "in N s", text))
    text = re.sub(r" \(N ms of processor time\)", "", text)
    text = re.sub(r"^(time .*)\(<?[\d.]+ %\)", r"\1(N %)", text, flags=re.MULTILINE)
    text = re.sub(r"(?<=\s)\d+\.\d\d?(?=\s)", "N", text)
    text = re.sub(r"\d+ deselected", "N deselected", text)  # the suite grows
    text = re.sub(r"([=_-])\1{2,}", r"\1", text)
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]
