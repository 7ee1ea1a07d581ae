"""docs/protocol.md says what is so of sessions: the conversation is what is said, and every name is on the page."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest

from pytest_airssys_wasm.protocol import session_messages as sessions
from support.checkout import DOCS

PAGE = (DOCS / "protocol.md").read_text("utf-8")
KINDS = [one for one in vars(sessions).values() if isinstance(one, type) and one.__module__ == sessions.__name__]


def block(info):
    (found,) = re.findall(rf"^```{info}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("program", ["isolation.worker", "adapter"])
def test_the_conversation_is_what_is_said(program, tmp_path):
    (tmp_path / "tally.wat").write_text(block("tally"))
    lines = block("session").replace("/guests", str(tmp_path)).splitlines()
    command = [sys.executable, "-m", f"pytest_airssys_wasm.{program}"]
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)
    for line in lines:
        if line.startswith(">"):
            worker.stdin.write(line[2:] + "\n")
            worker.stdin.flush()
            continue
        said = json.dumps(json.loads(worker.stdout.readline()))
        pattern = re.escape(line[2:]).replace("…", r".+?")
        pattern = re.sub(r'("(?:wall|cpu|host)_ms":\\ )[\d.\\]+', r"\1[0-9.e-]+", pattern)
        assert re.fullmatch(pattern, said), (line, said)
    worker.stdin.close()
    assert worker.wait(60) == 0
    worker.stdout.close()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_name_of_a_message_is_explained(kind):
    section = PAGE.partition("## `session`")[2].partition("## Errors")[0]
    names = kind.__struct_encode_fields__ if hasattr(kind, "__struct_encode_fields__") else ()
    missing = [name for name in names if f"`{name}`" not in section and f"`{name}`" not in PAGE]
    assert missing == []
    tag = kind.__struct_config__.tag
    assert tag is None or f"`{tag}`" in section
