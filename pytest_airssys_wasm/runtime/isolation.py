"""What an engine asks of an isolation: where to do what is neither metered nor to be cancelled. `None` means here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.binary import Kind


class Isolation(Protocol):
    """Compiles guests where time and memory are bounded. Used from several threads at once."""

    def translate(self, text: bytes, name: str) -> bytes:
        """The binary of WebAssembly text.

        Raises `InvalidComponent` for other text, `ResourceLimitExceeded` where it takes too much, `RuntimeDied`
        where the translator broke down.
        """

    def compile(self, kind: Kind, binary: bytes, name: str, artefact: Path) -> None:
        """Compile a binary with the settings of every engine, and write what `deserialize_file` takes.

        Raises as `translate` does.
        """
