"""Programs in C that test the guard without wasmtime and without Python: compilers, sanitizers, building and running."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import build_guard
import pytest

NATIVE = Path(build_guard.__file__).parent
HERE = Path(__file__).parents[1] / "native"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")
# The guard calls these through the tests, which let them fail.
REPLACED = ("-Dpthread_create=pthread_create_or_fail", "-Dmprotect=mprotect_or_fail")
SANITIZERS = {
    "none": (),
    "address and undefined behaviour": ("-fsanitize=address,undefined", "-fno-sanitize-recover=all"),
    "threads": ("-fsanitize=thread",),
}
_OPTIONS = {
    # A test forks a process with several threads, whose child starts one.
    "TSAN_OPTIONS": "die_after_fork=0:halt_on_error=1",
    "ASAN_OPTIONS": "detect_leaks=1:detect_stack_use_after_return=1",
}


@cache
def command_of(compiler: str) -> tuple[str, ...] | None:
    """Return the command of `gcc`, `clang` or `zig`; `None` if this machine does not have it."""
    if compiler == "zig":
        return (sys.executable, "-m", "ziglang", "cc") if find_spec("ziglang") else None
    found = shutil.which(compiler)
    return (found,) if found else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A compiler with a sanitizer, and what its programs are started with."""

    compiler: str
    sanitizer: str
    prefix: tuple[str, ...] = ()

    def program(self, name: str, folder: Path, guard: Path = NATIVE / "guard.c") -> Path:
        """Build the program `name` with this guard, and return its path.

        The objects of the tests are kept in `folder`, for further programs with other guards.
        """
        ours = [self._object(HERE / f"{stem}.c", folder) for stem in ("fake_wasmtime", name)]
        made = guard.with_suffix("") if guard.parent != NATIVE else folder / f"{self._label}-{name}"
        self._compile(*REPLACED, "-c", guard, "-o", f"{made}-guard.o")
        self._compile(*ours, f"{made}-guard.o", "-o", made)
        return made

    @property
    def _label(self) -> str:
        return f"{self.compiler}-{self.sanitizer.partition(' ')[0]}"

    def _object(self, source: Path, folder: Path) -> Path:
        made = folder / f"{self._label}-{source.stem}.o"
        if not made.exists():
            self._compile("-c", source, "-o", made)
        return made

    def _compile(self, *arguments: object) -> None:
        command = command_of(self.compiler)
        assert command is not None
        flags = ("-std=gnu11", "-O1", "-g", "-pthread", f"-I{NATIVE}", f"-I{HERE}", *SANITIZERS[self.sanitizer])
        done = subprocess.run([*command, *flags, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def run(self, program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
        """Run a program that ends within two minutes, and return its output; stderr is part of it."""
        return subprocess.run(
            [*self.prefix, str(program), *map(str, arguments)],
            env={**os.environ, **_OPTIONS},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )


def toolchain(compiler: str, sanitizer: str) -> Toolchain:
    """Return a compiler with a sanitizer. Skips, and says why, if this machine does not have both."""
    found = _find(compiler, sanitizer)
    if isinstance(found, str):
        pytest.skip(found)
    return found


def first_toolchain(sanitizer: str) -> Toolchain:
    """Return the first of gcc and clang with a sanitizer. Skips, and says why, if this machine has none."""
    tried = [_find(compiler, sanitizer) for compiler in ("gcc", "clang")]
    for found in tried:
        if isinstance(found, Toolchain):
            return found
    pytest.skip("; ".join(map(str, tried)))


@cache
def _find(compiler: str, sanitizer: str) -> Toolchain | str:
    """Return a compiler with a sanitizer, or the reason why there is none."""
    command = command_of(compiler)
    if command is None:
        return f"needs {compiler}"
    folder = Path(os.environ.get("TMPDIR", "/tmp"))
    program = folder / f"sanitizer-of-{compiler}-{os.getpid()}"
    try:
        built = subprocess.run(
            [*command, *SANITIZERS[sanitizer], "-pthread", "-x", "c", "-", "-o", str(program)],
            input="int main(void) { return 0; }",
            capture_output=True,
            text=True,
        )
        if built.returncode:
            return f"{compiler} has no sanitizer of {sanitizer}"
        # Some versions of the sanitizer of threads cannot work at every address at which Linux may place a program.
        for prefix in ((), ("setarch", platform.machine(), "-R")):
            if not subprocess.run([*prefix, str(program)], capture_output=True).returncode:
                return Toolchain(compiler=compiler, sanitizer=sanitizer, prefix=prefix)
    finally:
        program.unlink(missing_ok=True)
    return f"programs with {compiler}'s sanitizer of {sanitizer} do not run here"


def planted(old, new, folder):
    """Write `guard.c` with one piece replaced into a folder, and return its path."""
    text = (NATIVE / "guard.c").read_text("utf-8")
    assert text.count(old) == 1, f"guard.c no longer has this piece once: {old}"
    guard = folder / "guard.c"
    guard.write_text(text.replace(old, new), "utf-8")
    return guard
