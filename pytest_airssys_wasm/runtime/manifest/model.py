"""The manifest `Component.toml`, and its tables as msgspec decodes them.

The docstring of a key is its entry in docs/reference.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from pytest_airssys_wasm.runtime.budget.limits import ResourceLimits

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_airssys_wasm.runtime.manifest.wasi import Wasi


class StubAnswer(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An element of `when` in `[[imports]]`: the answer to calls with these arguments."""

    args: list[Any]
    """The arguments to which this is the answer."""
    returns: Any = msgspec.UNSET
    """The value that the call returns; left out for a function without a result."""
    fails: str | msgspec.UnsetType = msgspec.UNSET
    """The message with which the call fails, instead of returning: the execution ends with `host-error`."""


class ImportStub(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry `[[imports]]`: a stub for a function that the guest imports, for checks without Python.

    A function that is registered in Python wins over a stub. A call for which a stub has no answer ends with
    `host-error`.
    """

    name: str
    """The full name of the import: `pkg:name/iface@1.0.0#function`, `function` at the root of a world, or
    `module#function` for a core module."""
    returns: Any = msgspec.UNSET
    """The value that calls return, unless `when` has an answer; left out for a function without a result."""
    fails: str | msgspec.UnsetType = msgspec.UNSET
    """The message with which calls fail, unless `when` has an answer: the execution ends with `host-error`."""
    when: list[StubAnswer] = []
    """The answers to calls with certain arguments; the first that fits counts."""
    calls: int | msgspec.UnsetType = msgspec.UNSET
    """The number of times that the steps of each `[[tests]]` entry must call the function, in each repetition; left
    out, it is not judged."""


class ManifestStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An element of `steps` in `[[tests]]`: one call.

    Without `returns`, `verdict` and `trap` it may return any value.
    """

    call: str
    """The full name of the export, also of a method: `pkg:name/iface@1.0.0#[method]bucket.get`."""
    args: list[Any] = []
    """The arguments of the call; `{ saved = "name" }` stands for a value that an earlier step saved."""
    returns: Any = msgspec.UNSET
    """The value that the call must return; `{}` for no value."""
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    """The verdict that the call must end with. Only the last step may end otherwise than with `ok`."""
    trap: str | msgspec.UnsetType = msgspec.UNSET
    """The kind of trap that the call must end with."""
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET
    """The maximum fuel that the call may use."""
    save: str | msgspec.UnsetType = msgspec.UNSET
    """The name under which later steps find the result, which may be a resource. Resources are dropped at the end of
    each repetition."""


class ManifestTest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An entry `[[tests]]`: a call and its expected end, or several. A manifest may have any number of entries."""

    name: str
    """The name of the test, a sentence that must be unique; the check is named `tests[<name>]`."""
    call: str | msgspec.UnsetType = msgspec.UNSET
    """The full name of the export: `transform`, or `pkg:name/iface@1.0.0#transform` inside an interface. Either this
    or `steps` is required."""
    args: list[Any] = []
    """The arguments of the call."""
    returns: Any = msgspec.UNSET
    """The value that the call must return; `{}` for no value. Either this, or `verdict` or `trap`, is required."""
    verdict: str | msgspec.UnsetType = msgspec.UNSET
    """The verdict that the call must end with, such as `"out-of-fuel"`; `"ok"` accepts every value."""
    trap: str | msgspec.UnsetType = msgspec.UNSET
    """The kind of trap that the call must end with, such as `"unreachable"`."""
    max_fuel: int | msgspec.UnsetType = msgspec.UNSET
    """The maximum fuel that the call may use."""
    steps: list[ManifestStep] = []
    """The calls that are made one after the other in one instance, instead of `call`."""
    repeat: int = 1
    """The number of times that all steps are made in the same instance; at most 50,000 calls in all."""
    max_growth: int | str | msgspec.UnsetType = msgspec.UNSET
    """The bytes of memory that may be added after the first repetition, such as `0` or `"64 KiB"`; left out, growth is
    shown and not judged."""
    max_denied_growths: int | msgspec.UnsetType = msgspec.UNSET
    """The number of growths that the memory limit may refuse although the calls return; left out, they are shown and
    not judged."""
    imports: list[ImportStub] = []
    """The stubs of this entry, as `[[tests.imports]]`. They come before those of `[[imports]]`."""

    @property
    def sequence(self) -> tuple[ManifestStep, ...]:
        """The calls of the entry: its steps, or the only call as one step."""
        if self.steps or self.call is msgspec.UNSET:
            return tuple(self.steps)
        one = ManifestStep(
            call=self.call,
            args=self.args,
            returns=self.returns,
            verdict=self.verdict,
            trap=self.trap,
            max_fuel=self.max_fuel,
        )
        return (one,)


class ComponentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The required table `[component]`."""

    name: str
    """The name of the component, without slashes."""
    version: str
    """The version of the component."""
    wasm: str | None = None
    """The binary or WAT file, relative to the manifest. The default is `<name>.wasm` beside it.

    It must lie below the manifest's folder or pytest's root directory, or be named on the command line."""
    description: str | None = None
    """A description for people."""


class MemoryTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[resources.memory]`, which is required because memory has no default."""

    max_bytes: int | str
    """The limit on all memories together, in bytes or with a unit (`"1 MiB"`), within the platform's range (ini key
    `wasm_memory_range`)."""


class CpuTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[resources.cpu]`: the limits of each instantiation and each call."""

    max_fuel: int | None = None
    """The limit in units of fuel; 1,000,000 by default."""
    timeout_ms: float | str | None = None
    """The limit on the wall-clock time, in milliseconds or with a unit (`"2 s"`); 100 by default."""
    timeout_seconds: float | None = None
    """The limit in seconds on the wall-clock time, as an alternative to `timeout_ms`."""


class ResourcesTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The required table `[resources]`."""

    memory: MemoryTable
    cpu: CpuTable | None = None


class WasiTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[wasi]`.

    If it is present, even empty, WASI is linked; only the access that its keys declare is granted.
    """

    args: list[str] = []
    """The arguments, beginning with the name of the program."""
    env: dict[str, str] = {}
    """The environment variables, as a table `[wasi.env]`."""
    stdin: str = ""
    """The text that the guest reads from stdin."""
    preopen: dict[str, str] = {}
    """The directories of the guest, as a table `[wasi.preopen]` from guest directories to folders below that of the
    manifest, which are read-only.
    """


class FuzzTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The table `[fuzz]`: the inputs and the accepted ends of the checks that `--wasm-fuzz` adds."""

    max_size: int = 64
    """The maximum size of the arguments of a call: elements of lists and bytes of strings, in all."""
    exclude: list[str] = []
    """The exports that are not fuzzed, as patterns of full names in which `*` stands for any text."""
    allow: dict[str, list[str]] = {}
    """The ends that are right for an export, as a table `[fuzz.allow]` from full names to lists: a verdict
    (`"out-of-fuel"`), a kind of trap (`"trap:unreachable"`), or `"growth"` for memory that grows with each call.
    """


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The decoded content of the whole file."""

    component: ComponentTable
    resources: ResourcesTable
    wasi: WasiTable | None = None
    imports: list[ImportStub] = []
    tests: list[ManifestTest] = []
    fuzz: FuzzTable | None = None


_NO_FUZZ = FuzzTable()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """The checked content of a `Component.toml`.

    CPU limits that the file does not declare are `None`; other settings apply to them.
    """

    path: Path
    """The path of the manifest."""
    name: str
    """The name of the component."""
    version: str
    """The version of the component."""
    wasm: Path
    """The path of the binary or WAT file of the component."""
    memory_bytes: int
    """The memory limit in bytes."""
    max_fuel: int | None
    """The limit in units of fuel on each execution."""
    timeout_ms: float | None
    """The limit in milliseconds on the wall-clock time of each execution."""
    wasi: Wasi | None
    """The grants of the table `[wasi]`; `None` without that table, in which case WASI is not linked."""
    tests: tuple[ManifestTest, ...]
    """The entries `[[tests]]`, in the order of the file."""
    imports: tuple[ImportStub, ...] = ()
    """The entries `[[imports]]`, in the order of the file."""
    fuzz: FuzzTable = _NO_FUZZ
    """The table `[fuzz]`, with the defaults of the keys that the file leaves out."""

    def limits(self) -> ResourceLimits:
        """Return the limits of this manifest, with the built-in defaults for limits that it does not declare."""
        return ResourceLimits(
            memory=self.memory_bytes,
            fuel=ResourceLimits.DEFAULT_FUEL if self.max_fuel is None else self.max_fuel,
            timeout_ms=ResourceLimits.DEFAULT_TIMEOUT_MS if self.timeout_ms is None else self.timeout_ms,
        )
