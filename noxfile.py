"""The gates of the project, each a session: `nox` runs those of CI, `nox -s lint` one of them, `nox --list` names them.

Arguments after `--` go to pytest: `nox -s wheel-3.13 -- -k fuel`. A session writes into a scratch folder, which is
removed when nox ends; tests run on a copy there, so that they find the installed package and not the checkout.
"""

from __future__ import annotations

import atexit
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

import nox
from nox.command import CommandFailed
from packaging.requirements import Requirement
from packaging.tags import sys_tags
from packaging.utils import parse_wheel_filename
from packaging.version import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

nox.needs_version = ">=2025.2.9"
nox.options.sessions = [
    "readme",
    "lint",
    "build",
    "bare",
    "site",
    "browser",
    "native",
    "wheel-3.13",
    "suite",
    "guests",
    "matrix",
]

ROOT = Path(__file__).parent
PROJECT = nox.project.load_toml(ROOT / "pyproject.toml")
SCRATCH = Path(tempfile.mkdtemp(prefix="gates-"))
atexit.register(shutil.rmtree, SCRATCH, ignore_errors=True)

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache"))
LOWEST_PYTHON = 10
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
EVERYTHING_FAST_AND_SLOW = ["-m", "not guests and not matrix"]


# What sessions need


def interpreter_of(minor: int) -> str | None:
    """Return the path of Python 3.`minor`, on the path or where pyenv keeps it; `None` where there is none."""
    for candidate in (f"python3.{minor}", *map(str, sorted(PYENV.glob(f"versions/3.{minor}.*/bin/python")))):
        asked = "import venv, ensurepip, sys; print(sys.version_info[1], sys.executable)"
        try:
            told = subprocess.run([candidate, "-c", asked], capture_output=True, text=True, check=True).stdout
        except (OSError, subprocess.CalledProcessError):  # not there; a shim of pyenv; without venv
            continue
        found, _, path = told.strip().partition(" ")
        if int(found) == minor:
            return path
    return None


@cache
def python(minor: int) -> str:
    """Return the path of Python 3.`minor`, or of the Python that runs nox where there is none."""
    return interpreter_of(minor) or sys.executable


@cache
def newest_python() -> str:
    """Return the path of the newest Python of this machine."""
    return next(filter(None, map(interpreter_of, range(20, LOWEST_PYTHON - 1, -1))), sys.executable)


def prepare(session: nox.Session) -> None:
    """Let the session keep compiled guests in the scratch folder and bytecode as a user does, and repeat its tests."""
    session.env.update(
        CI="true",  # property tests are repeatable
        XDG_CACHE_HOME=str(SCRATCH / "cache"),
        PIP_CACHE_DIR=str(CACHE / "pip"),
        ZIG_GLOBAL_CACHE_DIR=str(CACHE / "zig"),  # the C library, which takes zig a minute
        ZIG_LOCAL_CACHE_DIR=str(SCRATCH / "zig"),
        PIP_NO_COMPILE="1",  # most of what is installed is never imported
        PYTHONDONTWRITEBYTECODE=None,  # hundreds of processes would compile the same again
    )


@cache
def copied_tests() -> Path:
    """Return a folder with the tests and all that they read, outside the checkout."""
    folder = SCRATCH / "user"
    folder.mkdir()
    for name in ("tests", "native", "examples", "adapters", "fixtures", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "node_modules"))
    for name in ("pyproject.toml", "README.md", "CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md", "mkdocs.yml"):
        shutil.copy(ROOT / name, folder)
    return folder


def empty_folder() -> Path:
    """Return a folder without tests or settings."""
    folder = SCRATCH / "empty"
    folder.mkdir(exist_ok=True)
    return folder


def wheel(extras: str = "") -> str:
    """Return the requirement of what the session `build` built."""
    (built,) = (SCRATCH / "dist").glob("*.whl")
    return f"pytest-airssys-wasm[{extras}] @ {built.as_uri()}" if extras else str(built)


def enter_environment(session: nox.Session, minor: int | None, extras: str, *more: str) -> None:
    """Let a session without an environment use the one with the wheel on Python 3.`minor`, or on that of nox, and
    install `more` there.

    Sessions of the same Python and extras share it: to make one takes half a minute.
    """
    prepare(session)
    folder = SCRATCH / "environments" / f"{minor or 'nox'}-{extras or 'bare'}"
    session.env.update(VIRTUAL_ENV=str(folder), PATH=f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    if not (folder / "complete").exists():
        interpreter = sys.executable if minor is None else python(minor)
        # nox brings virtualenv, which is quicker than venv: it does not run pip to install pip.
        session.run(sys.executable, "-m", "virtualenv", "--quiet", "--clear", "--python", interpreter, str(folder))
        run(session, "python", "-m", "pip", "install", wheel(extras), silent=True)
        check_wheel_is_found(session)
        (folder / "complete").touch()
    if more:
        run(session, "python", "-m", "pip", "install", *more, silent=True)
    session.cd(empty_folder())


def run(session: nox.Session, program: str, *arguments: str, **options: Any) -> Any:
    """Run a program of the environment that the session uses."""
    return session.run(shutil.which(program, path=session.env.get("PATH")) or program, *arguments, **options)


def check_wheel_is_found(session: nox.Session) -> None:
    """Check that Python finds the package outside the checkout, and compile it."""
    session.cd(empty_folder())
    where = "import pytest_airssys_wasm, sys; print(sys.version, pytest_airssys_wasm.__file__)"
    told = run(session, "python", "-c", where, silent=True)
    session.log(told.strip())
    if str(ROOT) in told:
        session.error("the tests would try the checkout, not the wheel")
    # Worker processes cannot write what they compile.
    run(session, "python", "-m", "compileall", "-q", str(Path(told.split()[-1]).parent))


# Gates


@nox.session(venv_backend="none")
def readme(session: nox.Session) -> None:
    """Run the two commands of README.md, as a reader copies them, in a clone, with the oldest Python as `python3`."""
    prepare(session)
    session.env.update(PIP_NO_COMPILE=None, PYTEST_ADDOPTS=ENDS_HANGING_TESTS)
    session.env["PATH"] = f"{folder_with_python3(python(LOWEST_PYTHON))}{os.pathsep}{os.environ['PATH']}"
    clone = SCRATCH / "clone"
    session.run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone), external=True)
    commands = commands_of_readme()
    if len(commands) != 2:
        session.error(f"README.md: expected two commands, found {len(commands)}")
    with session.chdir(clone):
        for command in commands:
            more = IN_NO_HURRY if "--airssys-wasm" in command else []
            try_failures_again(session, clone / ".pytest_cache", partial(run_in_bash, session, command), more)


def folder_with_python3(interpreter: str) -> Path:
    """Return a folder in which the command `python3` starts this interpreter."""
    folder = SCRATCH / "bin"
    folder.mkdir()
    command = folder / "python3"
    # A link would not do: Python looks for its library beside the link.
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(interpreter)} "$@"\n')
    command.chmod(0o755)
    return folder


def run_in_bash(session: nox.Session, command: str, *arguments: str) -> None:
    """Run a command line with further arguments."""
    session.run("bash", "-euo", "pipefail", "-c", " ".join((command, *arguments)), external=True)


def commands_of_readme() -> list[str]:
    """Return the commands between the markers in README.md."""
    _, _, after = (ROOT / "README.md").read_text("utf-8").partition("<!-- two commands -->")
    block, _, _ = after.partition("<!-- end -->")
    return re.findall(r"^python3 .*$", block, re.MULTILINE)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, format, types and the direction of imports."""
    prepare(session)
    session.install("-e", ".[test]", *nox.project.dependency_groups(PROJECT, "lint"))
    session.run("ruff", "check", "--no-cache", ".")
    session.run("ruff", "format", "--check", "--no-cache", ".")
    session.run("mypy", "--cache-dir", str(SCRATCH / "mypy"))
    session.run("lint-imports", "--no-cache")


@nox.session
def build(session: nox.Session) -> None:
    """Build the wheel, which the sessions below install."""
    prepare(session)
    session.install("build")
    session.run("python", "-m", "build", "--wheel", "--outdir", str(SCRATCH / "dist"), ".")


@nox.session(venv_backend="none", requires=["build"])
def bare(session: nox.Session) -> None:
    """Try the wheel without any extra on the oldest Python: a chapter of the suite passes, and laws are skipped."""
    enter_environment(session, LOWEST_PYTHON, "")
    run(session, "pytest", "--airssys-wasm", "-q", "-p", "no:cacheprovider", "conformance/fuel", "conformance/laws")


@nox.session(venv_backend="none", requires=["build"])
def site(session: nox.Session) -> None:
    """Build the pages as a site. Broken links and anchors, and pages outside the navigation, are errors."""
    enter_environment(session, None, "fuzz", *nox.project.dependency_groups(PROJECT, "site"))
    run_tests(session, *EVERYTHING_FAST_AND_SLOW, "tests/docs/test_site.py", processes=1)


BROWSER = {"chromium": "chromium", "chromedriver": "chromium-driver"}
"""The programs that the browser tests start, with the Debian packages that have them."""


@nox.session(venv_backend="none", requires=["build"])
def browser(session: nox.Session) -> None:
    """Try the HTML report in Chromium, which is installed if root runs this on Debian, and else has to be there."""
    lack = lack_of_a_browser(session)
    if lack:
        session.skip(lack)
    enter_environment(session, None, "fuzz", *nox.project.dependency_groups(PROJECT, "browser"))
    run_tests(session, *EVERYTHING_FAST_AND_SLOW, "tests/reporting/test_browser.py", processes=1)


def lack_of_a_browser(session: nox.Session) -> str | None:
    """Install the programs of `BROWSER` that are not there. Return why some still are not; `None` if all are."""
    missing = [program for program in BROWSER if not shutil.which(program)]
    if not missing:
        return None
    packages = [BROWSER[program] for program in missing]
    needs = f"needs {' and '.join(missing)} (Debian: apt-get install {' '.join(packages)})"
    if os.geteuid() or not shutil.which("apt-get"):
        return needs
    apt = ("apt-get", "--quiet=2", "-o", "Acquire::Retries=1", "-o", "Acquire::http::Timeout=20")
    unasked = {"DEBIAN_FRONTEND": "noninteractive"}
    try:
        session.run(*apt, "update", external=True)
        session.run(*apt, "install", "--yes", "--no-install-recommends", *packages, external=True, env=unasked)
    except CommandFailed:
        return f"{needs}, and installing failed"
    return None if all(map(shutil.which, missing)) else f"{needs}, which the installed packages do not have"


@nox.session(venv_backend="none", requires=["build"])
def native(session: nox.Session) -> None:
    """Try the native guard by itself: its build, and its tests in C under the sanitizers of gcc and clang."""
    enter_environment(session, 13, "fuzz", zig(), *PROJECT["build-system"]["requires"])
    for name in ("hatch_build.py", "LICENSE", ".gitignore"):
        shutil.copy(ROOT / name, copied_tests())
    run_tests(session, *EVERYTHING_FAST_AND_SLOW, "tests/native")


def zig() -> str:
    """Return the requirement that brings zig, with its version."""
    listed = PROJECT["project"]["optional-dependencies"]["guests"]
    return next(requirement for requirement in listed if requirement.startswith("ziglang"))


@nox.session(name="wheel-3.13", venv_backend="none", requires=["build"])
def wheel_on_a_new_python(session: nox.Session) -> None:
    """Run every test on Python 3.13, the slow ones included; not the planted defects, which no Python changes."""
    enter_environment(session, 13, "test")
    run_tests(session, *EVERYTHING_FAST_AND_SLOW, "--ignore=tests/mutants", "--ignore=tests/native")


def run_tests(session: nox.Session, *arguments: str, processes: int = 2) -> None:
    """Run pytest on the copy of the tests."""
    session.cd(copied_tests())
    # By worksteal the tests of a file stay together, so that most of what they share is made once.
    spread = ["-n", str(processes), "--dist=worksteal"] if processes > 1 else []
    run_pytest(session, *spread, *arguments)


def run_pytest(session: nox.Session, *arguments: str, again: Sequence[str] = ()) -> None:
    """Run pytest in the session's environment. `again` are arguments for the run of what has failed."""
    session.env["PYTEST_ADDOPTS"] = ENDS_HANGING_TESTS
    cache = SCRATCH / f"cache-of-{session.name}"
    slowest = ("--durations=10", "--durations-min=10")
    command = ("pytest", "-q", *slowest, "-o", f"cache_dir={cache}", *arguments, *session.posargs)
    try_failures_again(session, cache, partial(run, session, *command), again)


ENDS_HANGING_TESTS = "-o faulthandler_timeout=600 -o faulthandler_exit_on_timeout=true"
"""The options with which a test that hangs shows where, and fails, instead of taking all the time of the gates."""
IN_NO_HURRY = ["--wasm-timeout-scale=4"]
"""The argument with which cases that failed are tried again, on a machine that may be slow."""


def try_failures_again(session: nox.Session, cache: Path, run: Callable[..., object], more: Sequence[str] = ()) -> None:
    """Run tests; if some fail, run only those again with `more` arguments, and fail unless all of them pass now.

    As in the gates of CPython: a fault fails again, but not a test that failed because the machine was busy. Both runs
    are shown, so that such a test can be made steadier. `cache` is the folder in which pytest keeps what failed.
    """
    try:
        run()
    except CommandFailed:
        if not (cache / "v" / "cache" / "lastfailed").exists():
            raise  # it was not for a test
        session.warn("some tests failed: running only these again")
        run("--last-failed", "--last-failed-no-failures=none", *more)
        session.warn("the tests that failed above have passed without the others: they depend on the machine's speed")


RUNTIMES = ["threads", "processes", "adapter", "raw-adapter"]


@nox.session(venv_backend="none", requires=["build"])
@nox.parametrize("runtime", RUNTIMES, ids=RUNTIMES)
def suite(session: nox.Session, runtime: str) -> None:
    """Run the conformance suite in an empty folder: in threads, in processes, behind our adapter, behind a raw one."""
    enter_environment(session, 13, "fuzz")
    interpreter = Path(session.env["VIRTUAL_ENV"] or "", "bin", "python")
    raw = copied_tests() / "adapters" / "raw_wasmtime"
    arguments = {
        "threads": ["--airssys-wasm"],
        "processes": ["--airssys-wasm", "--wasm-isolation=process"],
        "adapter": [f"--wasm-runtime={interpreter} -m pytest_airssys_wasm.adapter"],
        # It fails where its list says, and nowhere else.
        "raw-adapter": [
            f"--wasm-runtime={interpreter} {raw.with_suffix('.py')}",
            f"--wasm-expectations={raw.with_suffix('.toml')}",
            "--wasm-patience-ms=4000",
        ],
    }
    run_pytest(session, *arguments[runtime], "-n", "2", again=IN_NO_HURRY)


@nox.session(venv_backend="none", requires=["build"])
def guests(session: nox.Session) -> None:
    """Guests of every toolchain that is a Python package: built, and tested."""
    enter_environment(session, 13, "test", *PROJECT["project"]["optional-dependencies"]["guests"])
    run_tests(session, "-m", "guests")


@nox.session(venv_backend="none", requires=["build"])
def matrix(session: nox.Session) -> None:
    """Try a conviction of each planted defect, and one by each case."""
    enter_environment(session, 13, "test")
    run_tests(session, "-m", "matrix", "tests/mutants/test_honest.py")
    run_tests(session, "-m", "matrix", "tests/mutants/test_matrix.py", processes=1)  # it has several at once itself


# By hand and in jobs of their own


@nox.session(name="matrix-anew", default=False)
def matrix_anew(session: nox.Session) -> None:
    """Run the whole suite against every planted defect, and write docs/matrix.md and its record anew (40 minutes).

    Fails where a defect is convicted by no case, a case convicts no defect, or the sound runtime is convicted.
    """
    session.install(".[test]")
    prepare(session)
    session.run("python", "tests/mutants/matrix.py", "--again", *session.posargs)
    changed = ["docs/matrix.md", "tests/mutants/matrix.json"]
    session.run("git", "--no-pager", "diff", "--stat", "--", *changed, external=True)


@nox.session(default=False)
def docs(session: nox.Session) -> None:
    """Write anew the pages that code prints, and try every block of every page."""
    session.install("-e", ".", *nox.project.dependency_groups(PROJECT, "docs"))
    prepare(session)
    for script, page in (
        ("docs/reference.py", "docs/reference.md"),
        ("docs/features.py", "docs/features.md"),
        ("docs/failures/page.py", "docs/failures.md"),
    ):
        text = session.run("python", script, silent=True, stderr=None)
        (ROOT / page).write_text(text, "utf-8")
    session.run("pytest", "-q", "-p", "no:cacheprovider", *EVERYTHING_FAST_AND_SLOW, "tests/docs", *session.posargs)


# Releases

RELEASED = ("x86_64-linux-gnu", "aarch64-linux-gnu", "x86_64-linux-musl", "aarch64-linux-musl")
"""The platforms of the wheels, by their names in native/build_guard.py."""
LIBRARY = "pytest_airssys_wasm/_native/guard.so"
ELF_MACHINES = {"x86_64": 62, "aarch64": 183}
NEEDED = """
import sys
from elftools.elf.elffile import ELFFile
with open(sys.argv[1], "rb") as file:
    dynamic = ELFFile(file).get_section_by_name(".dynamic")
    print(*(tag.needed for tag in dynamic.iter_tags("DT_NEEDED")))
"""
"""Prints the libraries that a library needs, with the package pyelftools, which auditwheel brings."""
SMOKE_TEST = ["pytest", "--airssys-wasm", "-q", "-p", "no:cacheprovider", "conformance/fuel", "conformance/memory"]


@nox.session(default=False)
def release(session: nox.Session) -> None:
    """Build the source distribution and the wheels of a release into dist/, and check them. Nothing is uploaded."""
    prepare(session)
    version = PROJECT["project"]["version"]
    check_changelog(session, version)
    missing = {"Documentation", "Changelog", "Source"} - PROJECT["project"].get("urls", {}).keys()
    if missing:
        session.warn(
            f"pyproject.toml: no {', '.join(sorted(missing))} under [project.urls], so the index will link to none"
        )
    session.install("build", "twine", "auditwheel", zig(), *PROJECT["build-system"]["requires"])
    dist = ROOT / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    session.run("python", "-m", "build", "--sdist", "--no-isolation", "--outdir", str(dist), ".")
    (archive,) = dist.iterdir()
    # Wheels come from the source distribution, which thereby is known to be complete.
    shutil.unpack_archive(archive, SCRATCH / "source")
    (source,) = (SCRATCH / "source").iterdir()
    for platform in RELEASED:
        wheel = build_for(session, platform, source, dist)
        again = build_for(session, platform, source, SCRATCH / "again")
        if wheel.read_bytes() != again.read_bytes():
            session.error(f"{wheel.name}: a second build is another file")
        check_wheel(session, wheel, platform)
    check_source(session, archive)
    session.run("twine", "check", "--strict", *map(str, sorted(dist.iterdir())))
    install_and_try(session, archive)
    tags = set(map(str, sys_tags()))
    for wheel in sorted(dist.glob("*.whl")):
        if tags.isdisjoint(map(str, parse_wheel_filename(wheel.name)[3])):
            session.warn(f"{wheel.name}: not installed, for this machine cannot run it")
        else:
            install_and_try(session, wheel)
    for path in sorted(dist.iterdir()):
        session.log(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}, {path.stat().st_size:,} bytes")


def check_changelog(session: nox.Session, version: str) -> None:
    """Check that CHANGELOG.md begins with this version, and has nothing for a later one."""
    text = (ROOT / "CHANGELOG.md").read_text("utf-8")
    headings = re.findall(r"^## \[(.+?)\]", text, re.MULTILINE)
    unreleased = text.partition("## [Unreleased]")[2].partition("\n## ")[0]
    if version not in headings[:2] or unreleased.strip():
        session.error(f"CHANGELOG.md: expected [{version}] as the first version, and nothing under [Unreleased]")


def build_for(session: nox.Session, platform: str, source: Path, folder: Path) -> Path:
    """Build the wheel of a platform, and return its path."""
    before = set(folder.glob("*.whl"))
    build = ("python", "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source))
    session.run(*build, env={"AIRSSYS_WASM_TARGET": platform})
    (made,) = set(folder.glob("*.whl")) - before
    return made


def check_wheel(session: nox.Session, wheel: Path, platform: str) -> None:
    """Check the contents of a wheel, the machine of its library, and that the library keeps what the tag promises."""
    machine = platform.partition("-")[0]
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        content = archive.read(LIBRARY)
    foreign = [name for name in names if not name.startswith(("pytest_airssys_wasm/", "pytest_airssys_wasm-"))]
    libraries = [name for name in names if re.search(r"\.(so|dylib|dll|a|o)$", name)]
    if foreign or libraries != [LIBRARY]:
        session.error(f"{wheel.name}: expected the package and one library, found {foreign + libraries}")
    if content[:5] != b"\x7fELF\x02" or int.from_bytes(content[18:20], "little") != ELF_MACHINES[machine]:
        session.error(f"{wheel.name}: {LIBRARY} is not for {machine}")
    library = SCRATCH / f"{platform}.so"
    library.write_bytes(content)
    needed = session.run("python", "-c", NEEDED, str(library), silent=True).split()
    if platform.endswith("musl"):  # musl has no versions of symbols, and answers to this name
        keeps_tag = needed == ["libc.so"]
    else:
        told = " ".join(session.run("auditwheel", "show", str(wheel), silent=True).split())
        lowest = re.search(rf'consistent with the following platform tag: "manylinux_2_(\d+)_{machine}"', told)
        keeps_tag = lowest is not None and int(lowest[1]) <= 17
    if not keeps_tag:
        session.error(f"{wheel.name}: the library, which needs {needed}, does not keep what the tag promises")
    session.log(f"{wheel.name}: {len(names)} files, one library that needs {', '.join(needed)}")


def check_source(session: nox.Session, archive: Path) -> None:
    """Check that a source distribution has all that is in git, except what CI runs, and nothing that was built."""
    with tarfile.open(archive) as file:
        names = {member.name.partition("/")[2] for member in file.getmembers() if member.isfile()}
    listed = session.run("git", "ls-files", external=True, silent=True).splitlines()
    tracked = {name for name in listed if not name.startswith((".ci/", ".github/"))}
    if names != tracked | {"PKG-INFO"}:
        session.error(f"{archive.name}: differs from git in {sorted(names ^ (tracked | {'PKG-INFO'}))}")
    session.log(f"{archive.name}: {len(names)} files")


def install_and_try(session: nox.Session, distribution: Path) -> None:
    """Install a distribution into an empty environment, and run a part of the suite there."""
    environment = SCRATCH / f"try-{distribution.name}"
    session.run("python", "-m", "venv", str(environment))
    session.run(str(environment / "bin" / "pip"), "install", "--quiet", str(distribution), external=True)
    with session.chdir(empty_folder()):
        session.run(str(environment / "bin" / SMOKE_TEST[0]), *SMOKE_TEST[1:], external=True)


# The bounds of every dependency

ASSUMPTIONS = "tests/test_dependencies.py"
PLUGIN_AT_WORK = [
    "tests/plugin/suite/test_suite.py",
    "tests/plugin/test_fixtures.py",
    "tests/plugin/test_markers.py",
    "tests/plugin/test_running_item.py",
    "tests/plugin/report/test_reports.py",
]
TRIED_AT_THE_BOUNDS = [ASSUMPTIONS, "tests/runtime", *PLUGIN_AT_WORK]


def requirements() -> dict[str, Requirement]:
    """Return what the package and its extras require, but for the toolchains of guests, which are pinned."""
    project = PROJECT["project"]
    extras = {extra: listed for extra, listed in project["optional-dependencies"].items() if extra != "guests"}
    listed = map(Requirement, [*project["dependencies"], *(text for extra in extras.values() for text in extra)])
    return {one.name: one for one in listed if one.name != project["name"]}


def lowest_version(requirement: Requirement) -> str:
    """Return the lowest version that a requirement allows."""
    return next(one.version for one in requirement.specifier if one.operator in (">=", "=="))


@nox.session(python=python(LOWEST_PYTHON), default=False)
def lowest(session: nox.Session) -> None:
    """Try the lowest version of every dependency, on Python 3.10. A failure is tried with one at a time, to name it."""
    (tool,) = map(Requirement, PROJECT["build-system"]["requires"])
    session.install("build")
    builder = SCRATCH / "lowest-builder.txt"
    builder.write_text(f"{tool.name}=={lowest_version(tool)}\n")
    command = ("python", "-m", "build", "--wheel", "--outdir", str(SCRATCH / "dist"), ".")
    session.run(*command, env={"PIP_CONSTRAINT": str(builder)})
    bounds = {name: lowest_version(one) for name, one in requirements().items()}
    constraints = SCRATCH / "lowest.txt"
    constraints.write_text("".join(f"{name}=={version}\n" for name, version in bounds.items()))
    prepare(session)
    session.install(wheel("test"), "--constraint", str(constraints))
    check_wheel_is_found(session)
    failures = SCRATCH / "failures"
    try:
        try_bounds(session, failures)
    except CommandFailed:
        if fails_with(session, failures):
            session.error("what failed also fails with the newest versions: no lower bound is at fault")
        pins = [f"{name}=={version}" for name, version in bounds.items()]
        alone = ", ".join(pin for pin in pins if fails_with(session, failures, pin))
        session.error(f"what failed also fails with each of these alone: {alone or 'none, only with several'}")


def try_bounds(session: nox.Session, cache: Path, *arguments: str) -> None:
    """Run the tests for the bounds; pytest keeps in `cache` which of them failed."""
    session.cd(copied_tests())
    session.run("pytest", "-q", "-n", "2", "-o", f"cache_dir={cache}", *arguments, *TRIED_AT_THE_BOUNDS)


def fails_with(session: nox.Session, failures: Path, *pinned: str) -> bool:
    """Return whether what failed also fails with these versions, and the newest of all other dependencies."""
    session.install("--upgrade", "--upgrade-strategy", "eager", *map(str, requirements().values()), *pinned)
    cache = shutil.copytree(failures, SCRATCH / "failures-again", dirs_exist_ok=True)
    try:
        try_bounds(session, cache, "--last-failed")
    except CommandFailed:
        return True
    return False


@nox.session(python=newest_python(), default=False, requires=["build"])
def newest(session: nox.Session) -> None:
    """Try the newest version of every dependency, on the newest Python there is; then those beyond an upper bound."""
    prepare(session)
    session.install(wheel("test"))
    check_wheel_is_found(session)
    session.run("python", "-m", "pip", "list", "--outdated")
    try_bounds(session, SCRATCH / "failures")
    for name, requirement in requirements().items():
        if not any(one.operator in ("<", "<=", "==", "~=") for one in requirement.specifier):
            continue
        session.install("--upgrade", "--no-deps", name)
        code = f"from importlib.metadata import version; print(version({name!r}))"
        version = session.run("python", "-c", code, silent=True).strip()
        if requirement.specifier.contains(Version(version)):
            session.log(f"{name} {version} is the newest, and within {requirement.specifier}")
            continue
        try:
            run_tests(session, ASSUMPTIONS)
        except CommandFailed:
            session.warn(f"{name} {version} is beyond {requirement.specifier}: what fails above no longer holds")
        else:
            session.warn(f"{name} {version} is beyond {requirement.specifier}, and every assumption about it holds")
