"""The grants of WASI. A guest has access only to the parts of the machine that are granted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration


@dataclass(frozen=True, slots=True, kw_only=True)
class Wasi:
    """The grants of WASI. `Wasi()` links WASI and grants nothing: no arguments, environment, files, network or stdin.

    Stdout and stderr are captured, bounded by `ResourceLimits.output`, unless `inherit` is set.

    Raises `InvalidConfiguration` for a grant of a wrong type or a directory that does not exist.
    """

    args: Sequence[str] = ()
    """The arguments, beginning with the name of the program."""
    env: Mapping[str, str] = field(default_factory=dict)
    """The environment variables."""
    stdin: bytes | str = b""
    """The content of stdin; a string is encoded as UTF-8."""
    preopen: Mapping[str, tuple[str | os.PathLike[str], Literal["ro", "rw"]]] = field(default_factory=dict)
    """The directories of the guest, as a mapping from a guest directory to `(host directory, "ro" or "rw")`. The amount
    of data written to files is not limited.
    """
    inherit: bool = False
    """Whether the guest inherits the stdin, stdout, stderr, arguments and environment of this process."""

    def __post_init__(self) -> None:
        """Check the grants when they are created, so that the error names the grant. Raises `InvalidConfiguration`."""
        if isinstance(self.args, str) or not all(map(_is_text, self.args)):
            raise InvalidConfiguration("wasi.args", self.args, "a sequence of strings without NUL")
        if not isinstance(self.env, Mapping) or not all(
            _is_text(k) and _is_text(v) and k and "=" not in k for k, v in self.env.items()
        ):
            raise InvalidConfiguration("wasi.env", self.env, "a mapping of names to strings without NUL")
        if not isinstance(self.stdin, (bytes, str)):
            raise InvalidConfiguration("wasi.stdin", self.stdin, "bytes or a string")
        if not isinstance(self.inherit, bool):
            raise InvalidConfiguration("wasi.inherit", self.inherit, "True or False")
        if not isinstance(self.preopen, Mapping):
            raise InvalidConfiguration(
                "wasi.preopen", self.preopen, "{guest directory: (host directory, 'ro' or 'rw')}"
            )
        for guest, grant in self.preopen.items():
            where = f"wasi.preopen[{guest!r}]"
            if not isinstance(grant, Sequence) or len(grant) != 2 or grant[1] not in ("ro", "rw"):
                raise InvalidConfiguration(where, grant, "(host directory, 'ro' or 'rw')")
            if not system.os.path.isdir(grant[0]):
                raise InvalidConfiguration(where, os.fspath(grant[0]), "an existing directory of the host")


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value
