"""WASI grants on their way to the worker."""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_airssys_wasm.runtime.errors import InvalidConfiguration
from pytest_airssys_wasm.runtime.manifest.wasi import Wasi

if TYPE_CHECKING:
    from collections.abc import Mapping


def wasi_to_wire(wasi: Wasi) -> dict[str, Any]:
    """The grants as data. Raises `InvalidConfiguration` for what another process cannot have."""
    if wasi.inherit:
        wanted = "False: the guest runs in a process of its own, which has no terminal and no environment"
        raise InvalidConfiguration("wasi.inherit", wasi.inherit, wanted)
    stdin = wasi.stdin.encode() if isinstance(wasi.stdin, str) else wasi.stdin
    return {
        "args": [*wasi.args],
        "env": dict(wasi.env),
        "stdin": {"bytes": base64.b64encode(stdin).decode()},
        # The worker stands in another folder.
        "preopen": {
            guest: [str(Path(os.fspath(host)).absolute()), access] for guest, (host, access) in wasi.preopen.items()
        },
    }


def wasi_from_wire(grants: Mapping[str, Any]) -> Wasi:
    """What `wasi_to_wire` was given; stdin may be text."""
    stdin = grants.get("stdin", "")
    return Wasi(**{**grants, "stdin": base64.b64decode(stdin["bytes"]) if isinstance(stdin, dict) else stdin})
