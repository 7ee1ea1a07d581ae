"""What an engine asks of an isolation: where to compile guests, and where to run them. `None` means here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary.formats import Kind
    from pytest_airssys_wasm.runtime.guest.backend import Homes


@runtime_checkable
class Isolation(Protocol):
    """Keeps guests out of this process. Used from several threads at once."""

    def homes(self) -> Homes | None:
        """Where the stores of one engine are; `None` means in this process."""

    def translate(self, text: bytes, name: str) -> bytes:
        """The binary of WebAssembly text.

        Raises `InvalidComponent` for other text, `ResourceLimitExceeded` where it takes too much, `RuntimeDied`
        where the translator broke down.
        """

    def compile(self, kind: Kind, binary: bytes, name: str, artefact: Path) -> None:
        """Compile a binary with the settings of every engine, and write what `deserialize_file` takes.

        Raises as `translate` does.
        """
