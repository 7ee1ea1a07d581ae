"""The members, the state and the end of process groups and sessions, without races about reused ids.

A process that has ended keeps its id until its parent waits for it. Until then its group can be killed safely, because
the id of the group cannot have been reused.
"""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

from pytest_airssys_wasm.runtime.base.originals import system


def exited(process_id: int) -> int | None:
    """Return the exit status of a child, negative for a signal; `None` while it runs. The child is not reaped."""
    try:
        found = system.waitid(os.P_PID, process_id, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return 0
    if found is None:
        return None
    return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status


def kill_group(group_id: int) -> None:
    """Kill every process of the group. The leader of the group must not have been reaped."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        system.killpg(group_id, signal.SIGKILL)


def session_members(session_id: int) -> tuple[int, ...]:
    """Return the ids of the running processes of a session; only its leader on systems without `/proc`."""
    if not Path("/proc/self/stat").exists():
        return (session_id,)
    return tuple(int(place.name) for place in Path("/proc").glob("[0-9]*") if _session(place) == session_id)


def _session(place: Path) -> int | None:
    try:
        # The name, in brackets, may hold anything; what follows is state, parent, group, session.
        after_name = (place / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2]
    except OSError:
        return None
    state, _parent, _group, session = after_name.split()[:4]
    return None if state == "Z" else int(session)


def signal_name(number: int) -> str:
    """Return the name of a signal, such as `SIGSEGV` for 11."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
