"""The grants of WASI. A guest has access only to the parts of the machine that are granted."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from pytest_airssys_wasm.runtime.base.originals import system
from pytest_airssys_wasm.runtime.budget.machine import lack_of
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
    of data written to files is not limited. A store may hold 128 files open.
    """
    inherit: bool = False
    """Whether the guest inherits the stdin, stdout, stderr, arguments and environment of this process."""

    def __post_init__(self) -> None:
        """Check the grants when they are created, so that the error names the grant. Raises `InvalidConfiguration`."""
        if isinstance(self.args, str) or not all(map(_is_text, self.args)):
            raise InvalidConfiguration("wasi.args", self.args, f"a sequence of {_TEXTS}")
        if not isinstance(self.env, Mapping) or not all(
            _is_text(k) and _is_text(v) and k and "=" not in k for k, v in self.env.items()
        ):
            raise InvalidConfiguration("wasi.env", self.env, f"a mapping of names to {_TEXTS}")
        if not isinstance(self.stdin, bytes) and (not isinstance(self.stdin, str) or not _is_encodable(self.stdin)):
            raise InvalidConfiguration("wasi.stdin", self.stdin, "bytes, or a string without lone surrogates")
        if not isinstance(self.inherit, bool):
            raise InvalidConfiguration("wasi.inherit", self.inherit, "True or False")
        if not isinstance(self.preopen, Mapping):
            raise InvalidConfiguration(
                "wasi.preopen", self.preopen, "{guest directory: (host directory, 'ro' or 'rw')}"
            )
        for guest, grant in self.preopen.items():
            where = f"wasi.preopen[{guest!r}]"
            if not _is_text(guest) or not guest:
                raise InvalidConfiguration("wasi.preopen", guest, "the name of a guest directory: " + _NAME)
            if not isinstance(grant, Sequence) or len(grant) != 2 or grant[1] not in ("ro", "rw"):
                raise InvalidConfiguration(where, grant, "(host directory, 'ro' or 'rw')")
            host = grant[0]
            if not isinstance(host, (str, os.PathLike)) or not _is_text(os.fspath(host)):
                raise InvalidConfiguration(where, host, "a directory of the host: " + _NAME)
        self.check_directories()

    def check_directories(self) -> None:
        """Raise `InvalidConfiguration` for a directory of the host that does not exist or cannot be opened."""
        for guest, (host, _) in self.preopen.items():
            try:
                system.os.close(system.os.open(host, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
            except OSError as error:
                lack = lack_of(error)
                if lack is not None:
                    raise lack from None
                wanted = f"an existing directory of the host ({error.strerror})"
                raise InvalidConfiguration(f"wasi.preopen[{guest!r}]", os.fspath(host), wanted) from None


_TEXTS = "strings without NUL and lone surrogates"
_NAME = "text without NUL and lone surrogates"


def _is_text(value: object) -> bool:
    return isinstance(value, str) and "\0" not in value and _is_encodable(value)


def _is_encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
