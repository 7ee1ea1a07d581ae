"""Builds the planted guests of this folder, with the toolchains of fixtures/guests/toolchains.py.

python build_planted.py                        the committed guests, beside their sources
python build_planted.py words --out DIR        one that is not committed
python build_planted.py --check                compares with the committed binaries instead of replacing them
python build_planted.py --tools DIR            keeps the toolchains there for the next run
"""

from __future__ import annotations

import argparse
import importlib
import shutil
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
FIXTURES = FOLDER.parents[2] / "fixtures" / "guests"
LANGUAGES = {"parcels": "C", "orders": "Rust", "notes": "AssemblyScript", "words": "JavaScript", "teams": "Python"}
"""The guests and their languages."""
TOO_LARGE = ("words", "teams")
"""The guests whose binaries are not committed."""
STACK_BYTES = 65_536


def build(name: str, scratch: Path, tools, *, source: Path | None = None, language: str | None = None) -> bytes:
    """Build one guest, and return its binary.

    The source is in the folder of its name here, and in its language, unless another folder and language are given.
    """
    language = language or LANGUAGES[name]
    workshop = importlib.import_module("build")
    run = importlib.import_module("toolchains").run
    shop = workshop.Workshop(source=source or FOLDER / name, scratch=scratch, tools=tools)
    module = scratch / f"{name}.wasm"
    match language:
        case "C":
            abi = FIXTURES / "abi" / "abi.c"
            return shop.component(
                shop.zig_cc("-mexec-model=reactor", f"{name}.c", abi, name=module.name), name
            ).read_bytes()
        case "Rust":
            flags = ["--edition", "2021", "--target", "wasm32-unknown-unknown", "--crate-type", "cdylib"]
            codegen = [
                "opt-level=s",
                "strip=debuginfo",
                "panic=abort",
                f"link-arg=-zstack-size={STACK_BYTES}",
                "lto=yes",
            ]
            options = [word for option in codegen for word in ("-C", option)]
            run(tools.rustc(), *flags, *options, "-o", module, f"{name}.rs", cwd=shop.source)
            return shop.component(module, name).read_bytes()
        case "AssemblyScript":
            asc = tools.npm("assemblyscript") / "bin" / "asc.js"
            flags = ["-O2", "--shrinkLevel", "1", "--runtime", "incremental", "--use", "abort=", "--debug"]
            run("node", asc, f"{name}.ts", *flags, "-o", module, cwd=shop.source)
            return shop.component(module, name).read_bytes()
        case "Python":
            # From a copy, because the interpreter leaves its byte code beside the source.
            for file in (f"{name}.py", "world.wit"):
                shutil.copy(shop.source / file, scratch)
            script = ["-c", "import componentize_py, sys; sys.exit(componentize_py.script())"]
            flags = ["-d", "world.wit", "-w", name, "componentize", name]
            run(tools.python_with("componentize-py"), *script, *flags, "-o", module, cwd=scratch)
            return module.read_bytes()
        case _:
            jco = tools.npm("@bytecodealliance/jco").parents[1] / ".bin" / "jco"
            flags = ["--backend", "quickjs", "--backend-qjs-disable-async", "-w", "world.wit", "-n", name]
            run(jco, "componentize", f"{name}.js", *flags, "-o", module, cwd=shop.source)
            return module.read_bytes()


def main() -> int:
    """Run the command line; the exit status is 1 when `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("guests", nargs="*", metavar="GUEST", help=", ".join(LANGUAGES))
    parser.add_argument("--out", type=Path, help="folder for the binaries, instead of beside their sources")
    parser.add_argument("--tools", type=Path, help="folder in which toolchains are kept")
    parser.add_argument("--check", action="store_true", help="only compare with the committed binaries")
    options = parser.parse_args()
    names = options.guests or [name for name in LANGUAGES if name not in TOO_LARGE]
    if unknown := [name for name in names if name not in LANGUAGES]:
        parser.error(f"no such guest: {', '.join(unknown)} (there are {', '.join(LANGUAGES)})")
    if not options.out and (large := [name for name in names if name in TOO_LARGE]):
        parser.error(f"too large to lie beside the source, say where with --out: {', '.join(large)}")
    sys.path.insert(0, str(FIXTURES))
    toolchains = importlib.import_module("toolchains")
    is_same = True
    with tempfile.TemporaryDirectory() as temporary:
        tools = toolchains.Tools(folder=(options.tools or Path(temporary)).resolve())
        for name in names:
            scratch = Path(temporary) / "scratch" / name
            scratch.mkdir(parents=True)
            built = build(name, scratch, tools)
            committed = FOLDER / name / f"{name}.wasm"
            if name not in TOO_LARGE:
                is_same &= committed.exists() and committed.read_bytes() == built
            print(f"{name}.wasm: {len(built)} bytes")
            if not options.check:
                out = options.out or committed.parent
                out.mkdir(parents=True, exist_ok=True)
                (out / committed.name).write_bytes(built)
    return 0 if is_same or not options.check else 1


if __name__ == "__main__":
    sys.exit(main())
