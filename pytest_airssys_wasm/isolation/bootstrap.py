"""The start of a child process: this program sets its own limits, and then runs the module that it was started for.

The file is run by its path, in an interpreter that has inherited nothing (see `spawn.py`). The limits are not set
between fork and exec, because Python code that runs there may wait for locks of threads that no longer exist. Only the
standard library may be imported before the limits are set.
"""

from __future__ import annotations

import json
import resource
import runpy
import sys


def main() -> None:
    """Run the module that is the first argument; the second is a JSON object with `limits`, `path` and
    the `arguments` of the module.
    """
    module, order = sys.argv[1], json.loads(sys.argv[2])
    for name, limit in order["limits"].items():
        _limit(getattr(resource, name), limit)
    sys.path += order["path"]
    from pytest_airssys_wasm.isolation.network import refuse_network

    refuse_network()
    sys.argv[1:] = order["arguments"]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _limit(kind: int, limit: int) -> None:
    # Never above what this process was given itself.
    hard = resource.getrlimit(kind)[1]
    bound = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (bound, bound))


if __name__ == "__main__":
    main()
