"""Builds the guest till in one of its languages, with the toolchains of fixtures/guests/toolchains.py.

python build_till.py LANGUAGE OUT              OUT is the file of the binary
python build_till.py LANGUAGE OUT --tools DIR  keeps the toolchains there for the next run
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
TESTS = FOLDER.parents[1]
LANGUAGES = ("C", "AssemblyScript", "JavaScript")


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("language", choices=LANGUAGES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--tools", type=Path, help="folder in which toolchains are kept")
    options = parser.parse_args()
    sys.path[:0] = [str(TESTS / "fuzzing" / "guests"), str(TESTS.parent / "fixtures" / "guests")]
    from build_planted import build
    from toolchains import Tools

    with tempfile.TemporaryDirectory() as temporary:
        tools = Tools(folder=(options.tools or Path(temporary)).resolve())
        scratch = Path(temporary) / "scratch"
        scratch.mkdir()
        binary = build("till", scratch, tools, source=FOLDER / "till", language=options.language)
        options.out.write_bytes(binary)
        print(f"{options.out.name}: {len(binary)} bytes")


if __name__ == "__main__":
    main()
