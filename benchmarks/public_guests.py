"""Known faults of published packages, found again: programs of others are fetched from PyPI and npm in a pinned version,
built into components, and fuzzed with the profile `ci`. Where a later version is mended, it is fuzzed, too, and passes.

    python benchmarks/public_guests.py                   every program
    python benchmarks/public_guests.py ujson             one of them
    python benchmarks/public_guests.py --tools DIR       keeps the toolchains there for the next run

A program that cannot be fetched is skipped by name. The exit status is 1 if a fault was not found, or a mended version
was accused. Nothing of the packages is in this repository, only the exports around them: tests/fuzzing/guests/public.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import re
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures" / "guests"
GUESTS = ROOT / "tests" / "fuzzing" / "guests" / "public"


class Unfetched(Exception):
    """The error for a package that a registry did not give."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package in the version that has a fault, or in one that is mended."""

    registry: str
    """`npm` or `PyPI`."""
    name: str
    version: str
    sha256: str
    """The digest of the archive, in hexadecimal."""

    @property
    def title(self) -> str:
        """The name and the version for messages."""
        return f"{self.name} {self.version} ({self.registry})"

    def fetch(self, folder: Path) -> Path:
        """Unpack the package below a folder, and return the folder of its contents.

        Raises `Unfetched` if it cannot be had, and `SystemExit` if it is another one than was tested.
        """
        folder = folder / f"{self.name}-{self.version}"
        folder.mkdir(parents=True)
        command: list[str | Path] = ["npm", "pack", "--silent", "--ignore-scripts", f"{self.name}@{self.version}"]
        if self.registry == "PyPI":
            # pip runs the build of a source archive, so it has to know the digest.
            required = folder.with_suffix(".txt")
            required.write_text(f"{self.name}=={self.version} --hash=sha256:{self.sha256}\n", "utf-8")
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"]
            command = [*pip, "--requirement", required]
        try:
            subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=True)
        except (OSError, subprocess.SubprocessError) as error:
            raise Unfetched(self.title) from error
        (archive,) = folder.iterdir()
        self.check(archive)
        with tarfile.open(archive) as opened:
            opened.extractall(folder, filter="data")
        (contents,) = (path for path in folder.iterdir() if path.is_dir())
        return contents

    def check(self, archive: Path) -> None:
        """Raise `SystemExit` if an archive is another one than was tested."""
        digest = hashlib.sha256(archive.read_bytes()).hexdigest()
        if digest != self.sha256:
            raise SystemExit(f"{self.title} has the SHA-256 digest {digest}, expected {self.sha256}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A component made of packages."""

    packages: tuple[Package, ...]
    build: Callable[[Any, Mapping[str, Path]], Path]
    """The function that makes the component, given a workshop and the folders of the packages by their names."""
    found: Mapping[str, str]
    """The checks that must fail, with patterns of the first line of their message."""
    passing: tuple[str, ...] = ()
    """The checks that must pass, because what they fuzz is mended, or was always sound."""


HTML = ("html", "houdini_html_e", "houdini_href_e")
"""The files in C of the renderer of HTML."""


def build_sundown(shop: Any, packages: Mapping[str, Path]) -> Path:
    """Compile the Markdown parser in C."""
    source = packages["robotskirt"] / "sundown"
    files = [*sorted((source / "src").glob("*.c")), *(source / "html" / f"{name}.c" for name in HTML)]
    return compile_c(shop, "sundown", [source / "src", source / "html"], files)


def build_ujson(shop: Any, packages: Mapping[str, Path]) -> Path:
    """Compile the JSON encoder in C."""
    source = packages["ujson"] / "lib"
    # The buffer of 64 KiB is on the stack.
    return compile_c(shop, "ujson", [source], [source / "ultrajsonenc.c"], "-Wl,-z,stack-size=131072")


def compile_c(shop: Any, name: str, includes: list[Path], files: list[Path], *flags: str) -> Path:
    """Compile C of others with the exports of this repository, without warnings about it."""
    folders = [f"-I{folder}" for folder in (FIXTURES / "abi", *includes)]
    sources = [f"{name}.c", FIXTURES / "abi" / "abi.c", *files]
    made = shop.zig_cc("-w", "-std=gnu11", *flags, "-mexec-model=reactor", *folders, *sources, name=f"{name}-core.wasm")
    return shop.component(made, name)


def build_commonjs(shop: Any, packages: Mapping[str, Path]) -> Path:
    """Put the module of a package of npm, which is of the kind CommonJS, in front of the export of the same name."""
    ((name, folder),) = packages.items()
    before = "const packaged = (() => { const module = { exports: {} }; ((module, exports) => {"
    after = "})(module, module.exports); return module.exports; })();"
    texts = [before, (folder / "index.js").read_text("utf-8"), after, (shop.source / f"{name}.js").read_text("utf-8")]
    whole, component = shop.scratch / f"{name}.js", shop.scratch / "component.wasm"
    whole.write_text("\n".join(texts), "utf-8")
    jco = shop.tools.npm("@bytecodealliance/jco").parents[1] / ".bin" / "jco"
    flags = ["--backend", "quickjs", "--backend-qjs-disable-async", "-w", "world.wit", "-n", name]
    importlib.import_module("toolchains").run(jco, "componentize", whole, *flags, "-o", component, cwd=shop.source)
    return component


ROBOTSKIRT = Package(
    registry="npm",
    name="robotskirt",
    version="2.7.1",
    sha256="be3c276a51c02141da4a9560bc695beb906396f032db4418bf3a1d9c84234966",
)
UJSON = Package(
    registry="PyPI",
    name="ujson",
    version="5.1.0",
    sha256="a88944d2f99db71a3ca0c63d81f37e55b660edde0b07216fb65a3e46403ef004",
)
UJSON_MENDED = Package(
    registry="PyPI",
    name="ujson",
    version="5.2.0",
    sha256="163191b88842d874e081707d35de2e205e0e396e70fd068d1038879bca8b17ad",
)
MS = Package(
    registry="npm",
    name="ms",
    version="0.7.0",
    sha256="28a765e4f1a1961c91382672fbd116e3693f706ff8b42aed9fbfd179af0fd70b",
)
TRIM = Package(
    registry="npm",
    name="trim",
    version="0.0.1",
    sha256="1ba51464620dddb322062585b02f3f0ad12b82f5acef319c158fce0c99339cb6",
)
TRIM_MENDED = Package(
    registry="npm",
    name="trim",
    version="1.0.1",
    sha256="a1b10e95bc08d811b42fcd1539b79c19132a7b36703124c6faeebcca44adaf9b",
)
PROGRAMS = {
    # "hoedown, which derives from sundown" takes 18 s for 50,000 brackets, says the page why-cmark-and-not-x of cmark.
    "sundown": Program(
        packages=(ROBOTSKIRT,),
        build=build_sundown,
        found={"worst-case[render]": r'render\(".*\[{20}.*"\) ended with out-of-fuel; the cost grows like n\^2'},
        passing=("fuzz[render]", "fuzz-sequence", "fuzz-limits"),
    ),
    # CVE-2021-45958: indentation is written beyond the end of the buffer.
    "ujson": Program(
        packages=(UJSON,),
        build=build_ujson,
        found={
            "fuzz[dumps]": r"dumps\(\[.*\], \d+\) ended with trap \(memory-out-of-bounds\)",
        },
        passing=("fuzz-limits",),
    ),
    "ujson, mended": Program(
        packages=(UJSON_MENDED,),
        build=build_ujson,
        found={},
        passing=("fuzz[dumps]", "worst-case[dumps]", "fuzz-sequence", "fuzz-limits"),
    ),
    # CVE-2020-7753 and CVE-2015-8315: regular expressions that backtrack.
    "trim": Program(
        packages=(TRIM,),
        build=build_commonjs,
        found={"worst-case[trim]": r'trim\(".*"\) ended with out-of-fuel; the cost grows like n\^2'},
        passing=("fuzz-limits",),
    ),
    "trim, mended": Program(
        packages=(TRIM_MENDED,),
        build=build_commonjs,
        found={},
        passing=("fuzz[trim]", "worst-case[trim]", "fuzz-sequence", "fuzz-limits"),
    ),
    "ms": Program(
        packages=(MS,),
        build=build_commonjs,
        found={"worst-case[ms]": r'ms\("\d+.*"\) ended with out-of-fuel; the cost grows like n\^2'},
        passing=("fuzz-limits",),
    ),
}
"""The programs by their names. What follows a comma is not part of the folder's name."""


def fuzz(folder: Path) -> tuple[str, float, float]:
    """Fuzz the component in a folder, and return the output, the elapsed seconds and those of a processor."""
    options = ["-rA", "-p", "no:cacheprovider", "--airssys-wasm", "--wasm-conformance=never", "--wasm-fuzz=ci"]
    command = [sys.executable, "-m", "pytest", *options, "-k", "fuzz or worst-case", "."]
    before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    environment = {**os.environ, "COLUMNS": "400"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout + done.stderr, time.monotonic() - started, processor_s


def judge(program: Program, output: str) -> list[str]:
    """Return the lines of the faults that were found. Raises `SystemExit` if a known one is missing, or a sound check fails."""
    ended = dict(
        reversed(found) for found in re.findall(r"^(PASSED|FAILED) \S+?::(.+?)(?: - |$)", output, re.MULTILINE)
    )
    expected = {**dict.fromkeys(program.found, "FAILED"), **dict.fromkeys(program.passing, "PASSED")}
    wrong = [f"{check} should have {end.lower()}" for check, end in expected.items() if ended.get(check) != end]
    lines = []
    for check, pattern in program.found.items():
        match = re.search(rf"^{pattern}", output, re.MULTILINE)
        if match is None:
            wrong.append(f"{check} does not say {pattern!r}")
        else:
            lines.append(f"{check}: {match[0]}")
    if wrong:
        raise SystemExit("\n".join([output[-4_000:], *wrong]))
    return [*lines, f"passed: {', '.join(program.passing)}"]


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("programs", nargs="*", help=", ".join({name.partition(",")[0] for name in PROGRAMS}))
    parser.add_argument("--tools", type=Path, help="folder in which toolchains are kept")
    options = parser.parse_args()
    sys.path.insert(0, str(FIXTURES))
    workshop, toolchains = importlib.import_module("build"), importlib.import_module("toolchains")
    with tempfile.TemporaryDirectory() as temporary:
        tools = toolchains.Tools(folder=(options.tools or Path(temporary, "tools")).resolve())
        for number, (name, program) in enumerate(PROGRAMS.items()):
            guest = name.partition(",")[0]
            if options.programs and guest not in options.programs:
                continue
            scratch, folder = Path(temporary, str(number), "scratch"), Path(temporary, str(number), "guest")
            scratch.mkdir(parents=True)
            folder.mkdir()
            try:
                packages = {one.name: one.fetch(scratch / "packages") for one in program.packages}
            except Unfetched as error:
                print(f"{name}: skipped, cannot be fetched: {error}", flush=True)
                continue
            shop = workshop.Workshop(source=GUESTS / guest, scratch=scratch, tools=tools)
            shutil.copy(program.build(shop, packages), folder / f"{guest}.wasm")
            shutil.copy(GUESTS / guest / "Component.toml", folder)
            output, elapsed_s, processor_s = fuzz(folder)
            titles = ", ".join(one.title for one in program.packages)
            print(f"{name}: {titles}: {elapsed_s:.1f} s, {processor_s:.1f} s of a processor")
            print(*(f"  {line}" for line in judge(program, output)), sep="\n", flush=True)


if __name__ == "__main__":
    main()
