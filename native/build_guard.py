"""The build of the native guard: `python native/build_guard.py` rebuilds the library of a checkout after an edit.

`hatch_build.py` uses this module to put the library into wheels. It takes the first C compiler that works: that of the
environment variable `CC`, `cc`, `gcc` or `clang`, else zig from the package `ziglang`. If `AIRSSYS_WASM_TARGET` names a
row of `TARGETS`, zig builds for that platform. Only the standard library is used, because it runs before any
dependency is installed.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass
from pathlib import Path

NATIVE = Path(__file__).resolve().parent

sys.path.insert(0, str(NATIVE.parent))  # the build of a wheel does not have the checkout on its path

from pytest_airssys_wasm import _native  # noqa: E402

ZIGLANG = "ziglang==0.17.0"
"""The requirement that brings zig, at the version that `fixtures/guests/toolchains.py` also pins."""

FLAGS = ("-std=gnu11", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread")
"""The options for every compiler. None of them depends on the machine or the folder."""

OLDEST_MACOS = "11.0"

_SELECTED_TARGET = "AIRSSYS_WASM_TARGET"

# Some machines have a compiler without the headers of the C library, which is of no use.
_TRIAL = """
#include <pthread.h>
#include <sys/mman.h>
int trial(void);
int trial(void) { return (int)PTHREAD_CREATE_DETACHED + MAP_PRIVATE; }
"""


class CannotBuild(Exception):
    """The library cannot be built on this machine. The text says why, and what would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A platform for which zig builds the library."""

    zig: str
    """The platform in zig's words, with the oldest C library that is supported."""
    wheel_tag: str
    """The platform tag of the wheel."""
    suffix: str = ".so"
    """The ending of the library's name."""


TARGETS = {
    "x86_64-linux-gnu": Target(zig="x86_64-linux-gnu.2.17", wheel_tag="manylinux_2_17_x86_64"),
    "aarch64-linux-gnu": Target(zig="aarch64-linux-gnu.2.17", wheel_tag="manylinux_2_17_aarch64"),
    # wasmtime's own wheels have these tags, too.
    "x86_64-linux-musl": Target(zig="x86_64-linux-musl", wheel_tag="musllinux_1_2_x86_64"),
    "aarch64-linux-musl": Target(zig="aarch64-linux-musl", wheel_tag="musllinux_1_2_aarch64"),
    "x86_64-macos": Target(zig=f"x86_64-macos.{OLDEST_MACOS}", wheel_tag="macosx_11_0_x86_64", suffix=".dylib"),
    "aarch64-macos": Target(zig=f"aarch64-macos.{OLDEST_MACOS}", wheel_tag="macosx_11_0_arm64", suffix=".dylib"),
}
"""The platforms for which zig builds, by the names that `AIRSSYS_WASM_TARGET` takes."""


def refuse_windows() -> None:
    """Raise `CannotBuild` on Windows."""
    if sys.platform == "win32":
        raise CannotBuild(
            "pytest-airssys-wasm does not support Windows: the native guard needs POSIX threads and memory mappings. "
            "Use Linux, for example in WSL."
        )


def machine() -> str:
    """Return the processor that this Python is built for, such as `x86_64` or `aarch64`."""
    name = sysconfig.get_platform().rpartition("-")[2]
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name.lower(), name)


def target_of_this_python() -> Target:
    """Return the target that fits this Python. Raises `CannotBuild` if there is none."""
    if sys.platform == "darwin":
        name = f"{machine()}-macos"
    else:
        is_musl = "musl" in str(sysconfig.get_config_var("HOST_GNU_TYPE"))
        name = f"{machine()}-linux-{'musl' if is_musl else 'gnu'}"
    if name not in TARGETS:
        raise CannotBuild(f"zig is not tried for this platform, {name}. Install a C compiler, such as gcc, and repeat.")
    return TARGETS[name]


def selected_target() -> Target | None:
    """Return the target that `AIRSSYS_WASM_TARGET` names; `None` if it is not set.

    Raises `CannotBuild` for an unknown name.
    """
    name = os.environ.get(_SELECTED_TARGET)
    if not name:
        return None
    if name not in TARGETS:
        raise CannotBuild(f"{_SELECTED_TARGET}: expected one of {', '.join(TARGETS)}, got {name!r}")
    return TARGETS[name]


def native_compiler() -> tuple[str, ...] | None:
    """Return the command of the first C compiler that works for this Python; `None` if there is none."""
    asked = os.environ.get("CC", "")
    for name in filter(None, (asked, "cc", "gcc", "clang")):
        command = tuple(shlex.split(name))
        if shutil.which(command[0]) and _works(command):
            return command
    return None


def _works(command: tuple[str, ...]) -> bool:
    """Return whether a compiler makes a library for the processor of this Python."""
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "trial.c"), Path(folder, "trial.so")
        source.write_text(_TRIAL)
        done = subprocess.run([*command, *FLAGS, str(source), "-o", str(library)], capture_output=True, check=False)
        return done.returncode == 0 and (sys.platform != "linux" or _elf_kind(library) == _elf_kind(sys.executable))


def _elf_kind(path: Path | str) -> tuple[bytes, bytes]:
    """Return the word size and byte order, and the processor, of an ELF file."""
    with Path(path).open("rb") as file:
        header = file.read(20)
    return header[4:6], header[18:20]


def needs_zig() -> bool:
    """Return whether zig has to build the library, because it is asked for or there is no other compiler."""
    return selected_target() is not None or native_compiler() is None


def build(library: Path) -> str:
    """Build the library at the path `library`, and return the platform tag of a wheel with it.

    An existing library is replaced as a whole, so that a process that has loaded it goes on undisturbed. Raises
    `CannotBuild`.
    """
    refuse_windows()
    target, compiler = selected_target(), None
    if target is None:
        compiler = native_compiler()
    if compiler is None:
        target = target or target_of_this_python()
    with tempfile.TemporaryDirectory() as scratch:
        unfinished = library.with_name(f".{library.name}.{os.getpid()}")
        try:
            if target is None:
                assert compiler is not None
                flags = shlex.split(os.environ.get("CFLAGS", "")), shlex.split(os.environ.get("LDFLAGS", ""))
                _run([*compiler, *flags[0], *FLAGS, *_sources(), *flags[1], "-o", str(unfinished)], Path(scratch))
                tag = _tag_of_this_machine()
            else:
                _run([*_zig(), "-target", target.zig, "-s", *FLAGS, *_sources(), "-o", str(unfinished)], Path(scratch))
                tag = target.wheel_tag
            unfinished.replace(library)
        finally:
            unfinished.unlink(missing_ok=True)
    return tag


def _sources() -> list[str]:
    """Return the C sources, which are named relative to their folder, and the definition of their digest."""
    names = [path.name for path in _native.sources_of(NATIVE) if path.suffix == ".c"]
    return [f'-DGUARD_SOURCES_SHA256="{_native.digest_of(NATIVE)}"', *names]


def _tag_of_this_machine() -> str:
    """Return the tag of a wheel that is only for machines like this one, with the same C library."""
    if sys.platform == "darwin":
        return target_of_this_python().wheel_tag
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _zig() -> list[str]:
    if importlib.util.find_spec("ziglang") is None:
        raise CannotBuild(
            "the native guard is written in C, and no C compiler was found: `CC`, `cc`, `gcc` and `clang` are missing "
            f"or cannot compile a library for {sys.executable}. Install one of them, or run `pip install {ZIGLANG}` "
            "and repeat. pip does the latter by itself unless it is told `--no-build-isolation`."
        )
    return [sys.executable, "-m", "ziglang", "cc"]


def _run(command: list[str], scratch: Path) -> None:
    """Run a compiler in the folder of the sources. Raises `CannotBuild` with what it printed."""
    environment = {"MACOSX_DEPLOYMENT_TARGET": OLDEST_MACOS, **os.environ, "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig")}
    if not os.access(os.environ.get("HOME", ""), os.W_OK):
        environment.setdefault("ZIG_GLOBAL_CACHE_DIR", str(scratch / "zig-global"))  # zig fails without a cache folder
    try:
        done = subprocess.run(command, cwd=NATIVE, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise CannotBuild(f"{shlex.join(command)} cannot be started: {error}") from None
    if done.returncode:
        raise CannotBuild(f"{shlex.join(command)} failed with status {done.returncode}:\n{done.stderr}")


if __name__ == "__main__":
    try:
        print(f"{_native.LIBRARY}: {build(_native.LIBRARY)}")
    except CannotBuild as problem:
        sys.exit(str(problem))
