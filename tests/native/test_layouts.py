"""The structs and formats in Python have the layout of those in `native/guard.h`."""

from __future__ import annotations

import ctypes
import subprocess
from struct import calcsize

import build_guard
import pytest

from pytest_airssys_wasm.runtime.capi import guard, guard_frames

EXPECTED = [
    ("sizeof(guard_run)", ctypes.sizeof(guard.GuardRun)),
    ("sizeof(guard_part)", ctypes.sizeof(guard.GuardPart)),
    ("sizeof(guard_lifted)", ctypes.sizeof(guard.GuardLifted)),
    ("sizeof(guard_block)", guard.BLOCK_BYTES),
    ("sizeof(guard_parked)", ctypes.sizeof(guard.GuardParkedThread)),
    ("sizeof(guard_import)", ctypes.sizeof(guard.GuardImport)),
    ("sizeof(guard_export)", ctypes.sizeof(guard_frames.GuardExport)),
    ("sizeof(guard_pipes)", ctypes.sizeof(guard_frames.GuardPipes)),
    ("offsetof(guard_pipes, wait_ns)", guard_frames.FRAME_AT),
    ("offsetof(guard_pipes, written)", guard_frames.GuardPipes.written.offset),
    ("offsetof(guard_pipes, read)", guard_frames.READ_AT),
    ("sizeof(guard_call_frame)", guard_frames.CALL_BYTES),
    (
        "offsetof(guard_pipes, written) + sizeof(guard_call_frame) - offsetof(guard_pipes, wait_ns)",
        calcsize(f"<{guard_frames.CALL}"),
    ),
    ("sizeof(guard_answer_frame)", guard_frames.ANSWER_BYTES),
    ("sizeof(guard_answer_frame)", calcsize(f"<{guard_frames.ANSWER}")),
    ("GUARD_FRAME_BYTES", guard_frames.FRAME_BYTES),
    ("GUARD_NOTHING_READ", guard_frames.NOTHING_READ),
    ("GUARD_NOT_WRITTEN", guard_frames.NOT_WRITTEN),
    ("GUARD_CALL_FAILED", guard_frames.CALL_FAILED),
]


@pytest.mark.skipif(build_guard.native_compiler() is None, reason="needs a C compiler")
def test_python_and_the_header_agree(tmp_path):
    program = tmp_path / "layouts"
    printed = "\n".join(f'  printf("%ld\\n", (long)({expression}));' for expression, _ in EXPECTED)
    source = f'#include <stdio.h>\n#include "guard.h"\nint main(void) {{\n{printed}\n}}\n'
    command = [*build_guard.native_compiler(), f"-I{build_guard.NATIVE}", "-x", "c", "-", "-o", str(program)]
    subprocess.run(command, input=source, text=True, check=True)
    told = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    assert [(expression, int(value)) for (expression, _), value in zip(EXPECTED, told.split())] == EXPECTED
