"""The types of messages and files are prepared before threads use them: msgspec crashes when two are the first."""

from __future__ import annotations

import subprocess
import sys

import pytest

MANIFEST = '[component]\nname = "a"\nversion = "1"\n[resources.memory]\nmax_bytes = 1048576\n'

FIRST = {
    "an answer": (
        "from pytest_airssys_wasm.protocol.answers import read_run",
        """lambda: read_run(b'{"id": 1, "steps": [{"verdict": "ok"}]}', 1)""",
    ),
    "a request": (
        "import io\nfrom pytest_airssys_wasm.protocol.server import Server",
        """lambda: Server(True, None, io.BytesIO()).answer(1, b'{"id": 1, "op": "hello", "protocol": 0}')""",
    ),
    "a request where there are sessions": (
        "import io\nfrom pytest_airssys_wasm.protocol.server import Server",
        """lambda: Server(True, True, io.BytesIO()).answer(1, b'{"id": 1, "op": "hello", "protocol": 0}')""",
    ),
    "a reply": (
        "import io\nfrom pytest_airssys_wasm.protocol.server import Server",
        """lambda: Server(True, True, io.BytesIO()).take(b'{"for": 1, "host_return": 2}', None)""",
    ),
    "a case": (
        "from pytest_airssys_wasm.conformance.loader import find_chapters\ncase, *_ = find_chapters()[0].cases()",
        "case.load",
    ),
    "a manifest": (
        "from pathlib import Path\nfrom pytest_airssys_wasm.runtime.manifest.loading import parse_manifest",
        f"lambda: parse_manifest({MANIFEST!r}, Path('Component.toml'))",
    ),
}

SCRIPT = """
import sys, threading
{imports}
read = {read}
sys.setswitchinterval(1e-5)
together, done = threading.Barrier(16), []

def run():
    together.wait()
    read()
    done.append(True)

threads = [threading.Thread(target=run) for _ in range(16)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
sys.exit(0 if len(done) == 16 else 3)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FIRST)
def test_many_threads_may_be_the_first_to_read(name):
    imports, read = FIRST[name]
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", SCRIPT.format(imports=imports, read=read)], check=False)
        assert done.returncode == 0
