"""The checks of components as pytest items: `<path>/Component.toml::<check>`, or `<path>/x.wasm::<check>`."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_airssys_wasm.plugin.components.cost_laws import law_checks
from pytest_airssys_wasm.plugin.components.fuzzing import fuzz_checks
from pytest_airssys_wasm.plugin.item_settings import SOURCE, OriginatedLimits, settings_of, tell_overruled, wasi_of
from pytest_airssys_wasm.plugin.report.failure_text import failure_text
from pytest_airssys_wasm.plugin.report.mishaps import in_words
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.sources import MANIFEST_NAME, Source, load_component, path_of, read_manifest
from pytest_airssys_wasm.plugin.stash import CHECKED_EXPORT, CUT_OFF, FINDINGS, KIND, NOTE, RERUN_FLAGS
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration, UnfitHost
from pytest_airssys_wasm.validation import WITHOUT_LIMITS
from pytest_airssys_wasm.validation.cut_off import SearchCutOff
from pytest_airssys_wasm.validation.unfit import MANIFEST_PAGE, Blocked, NotChecked, Unfit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_airssys_wasm.runtime.engine import WasmEngine
    from pytest_airssys_wasm.runtime.host.functions import HostFunctions
    from pytest_airssys_wasm.validation.candidate import Candidate, Finding

    Check = Callable[[Candidate], str]

_BINARIES = (".wasm", ".wat")


class ValidationHooks:
    """A plugin that collects manifests, and the binaries that `--wasm-component` or, with `--airssys-wasm`, an argument
    names.
    """

    def __init__(self, config: pytest.Config) -> None:
        settings = config.stash[SETTINGS]
        self._all_manifests = settings.airssys_wasm
        self._named = {subject_of(path, config) for path in settings.wasm_component}
        if settings.airssys_wasm:
            config.args[:] = [self._subject_of_argument(argument, config) for argument in config.args]
        if config.option.deselect:
            config.option.deselect = [_with_subject(node_id, config) for node_id in config.option.deselect]
        given = {path_of(argument, config) for argument in config.args}
        config.args.extend(str(path) for path in sorted(self._named - given))

    def _subject_of_argument(self, argument: str, config: pytest.Config) -> str:
        """Return an argument of the command line, with the manifest of a binary instead of the binary."""
        path = path_of(argument, config)
        if path.suffix not in _BINARIES or not os.path.isfile(path):  # noqa: PTH113 never raises an error
            return argument
        subject = subject_of(path, config)
        self._named.add(subject)
        if subject == path:
            return argument
        _, *check = argument.partition("::")
        return "".join([str(subject), *check])

    def pytest_collect_file(self, file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        """Return a node for a manifest, or for a binary that was named."""
        if file_path in self._named and file_path.name != MANIFEST_NAME:
            return BinaryFile.from_parent(parent, path=file_path, nodeid=_node_id(file_path, parent.config))
        if file_path.name == MANIFEST_NAME and (self._all_manifests or file_path in self._named):
            return ManifestFile.from_parent(parent, path=file_path, nodeid=_node_id(file_path, parent.config))
        return None


def _with_subject(node_id: str, config: pytest.Config) -> str:
    """Return the beginning of a node id, with the manifest of a binary instead of the binary."""
    file, *check = node_id.partition("::")
    path = Path(os.path.normpath(config.rootpath / file))
    if path.suffix not in _BINARIES or not os.path.isfile(path):  # noqa: PTH113 never raises an error
        return node_id
    subject = subject_of(path, config)
    if subject == path:
        return node_id
    return "".join([_node_id(subject, config) or subject.relative_to(config.rootpath).as_posix(), *check])


def _node_id(path: Path, config: pytest.Config) -> str | None:
    """Return the absolute path as node id of a file outside the rootdir, where pytest would drop it; else `None`, so
    that pytest chooses the node id.
    """
    return None if path.is_relative_to(config.rootpath) else path.as_posix()


def subject_of(path: Path, config: pytest.Config) -> Path:
    """Return the file whose node validates a binary: the manifest beside it that names it, or the binary itself."""
    beside = path.parent / MANIFEST_NAME
    if not os.path.lexists(beside):
        return path
    try:
        manifest = read_manifest(beside, config)
    except InvalidConfiguration:
        return beside  # its check `manifest` says what is wrong
    return beside if manifest.wasm.resolve() == path.resolve() else path


class ManifestFile(pytest.File):
    """A `Component.toml`, with its checks and tests."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the checks, and a test for each entry of `[[tests]]`; only the check `manifest` if the manifest is not
        valid.
        """
        from pytest_airssys_wasm.validation.checks import CHECKS
        from pytest_airssys_wasm.validation.steps import check_entry

        try:
            manifest = read_manifest(self.path, self.config)
        except InvalidConfiguration as error:
            yield CheckItem.make(self, "manifest", _refusal(error, self.path), None)
            return
        source = Source(content=manifest.wasm, manifest=manifest)
        for name, check in CHECKS.items():
            yield CheckItem.make(self, name, _runner(check, source), source)
        for test in manifest.tests:
            check = partial(check_entry, test=test)
            yield CheckItem.make(self, f"tests[{test.name}]", _runner(check, source), source)
        yield from _searching_items(self, source)


class BinaryFile(pytest.File):
    """A binary that the manifest beside it, if there is one, does not name. Such a manifest still sets the limits."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the checks that do not need a manifest."""
        from pytest_airssys_wasm.runtime.manifest.wasi import Wasi
        from pytest_airssys_wasm.validation.checks import CHECKS

        beside = self.path.parent / MANIFEST_NAME
        manifest = read_manifest(beside, self.config) if os.path.lexists(beside) else None
        wasi = Wasi() if self.config.stash[SETTINGS].wasm_wasi else None
        source = Source(content=self.path, manifest=manifest, wasi_without_manifest=wasi)
        for name, check in CHECKS.items():
            if name != "manifest":
                yield CheckItem.make(self, name, _runner(check, source), source)
        yield from _searching_items(self, source)


def _searching_items(file: pytest.File, source: Source) -> Iterator[pytest.Item]:
    for name, check in fuzz_checks(file, source):
        yield CheckItem.make(file, name, _runner(check, source), source)
    for name, check, export in law_checks(file, source):
        item = CheckItem.make(file, name, _runner(check, source), source)
        if export is not None:
            item.stash[CHECKED_EXPORT] = export
        item.stash[RERUN_FLAGS] = (*item.stash[RERUN_FLAGS], "--wasm-laws")
        yield item


class _Agreement:
    """The checks that passed, and those that kept another check from being made, by file and name.

    If a check fails when another check needs it, and passes when it runs itself, all checks would be skipped or
    passed, and the run would succeed although nothing was checked.
    """

    def __init__(self, items: Iterable[pytest.Item]) -> None:
        # Sessions may have tens of thousands of checks, and each that is blocked asks for another one.
        self._all = {(item.file_id, item.name) for item in items if isinstance(item, CheckItem)}
        self._passed: set[tuple[str, str]] = set()
        self._blocking: dict[tuple[str, str], str] = {}

    def includes(self, item: CheckItem, check: str) -> bool:
        """Return whether the check of this name also runs in this session, for the same file."""
        return (item.file_id, check) in self._all

    def passes(self, item: CheckItem) -> str | None:
        """Note that a check passed. Return the reason for which it failed before, if it did."""
        self._passed.add((item.file_id, item.name))
        return self._blocking.get((item.file_id, item.name))

    def blocks(self, item: CheckItem, blocked: Blocked) -> None:
        """Note that a check was skipped because another one of its file fails."""
        self._blocking.setdefault((item.file_id, blocked.check), blocked.reason)

    def was_passed(self, item: CheckItem, check: str) -> bool:
        """Return whether the check of this name passed before, for the same file."""
        return (item.file_id, check) in self._passed


_AGREEMENT: pytest.StashKey[_Agreement] = pytest.StashKey()
_UNSTABLE = "find out what differs between the two runs; on a slow or busy machine use --wasm-timeout-scale"


class CheckItem(pytest.Function):
    """One check. The item is a pytest function, so that it can use fixtures such as `wasm_host`."""

    @classmethod
    def make(cls, parent: pytest.File, name: str, function: Callable[..., None], source: Source | None) -> CheckItem:
        """Return an item that runs `function` with the fixtures that its parameters name.

        `source` is the guest, if known.
        """
        item: CheckItem = cls.from_parent(parent, name=name, callobj=function)
        item.stash[SOURCE] = source
        item.stash[KIND] = "check"
        item.stash[RERUN_FLAGS] = _flags(parent)
        return item

    @property
    def id(self) -> Any:
        """The node id in the form in which pytest reads it from its cache, where `--lf` and `--sw` look for it.

        pytest 9.2 separates the text in brackets from the name when it reads a node id, but not when it makes one.
        """
        made = super().id
        return type(made).parse(str(made))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Return the reason and the remedy; a traceback only if the cause is in this package or in a host function."""
        lines: tuple[str, ...]
        match excinfo.value:
            case Unfit(reason=reason, remedy=remedy, details=details):
                lines = (reason, *details, f"to do: {remedy}")
            case (Blocked() | UnfitHost()) as error:
                lines = (str(error),)
            case _:
                return super().repr_failure(excinfo)
        words = in_words(self, lambda: failure_text(excinfo, self.path, *lines))
        return super().repr_failure(excinfo) if words is None else words

    def reportinfo(self) -> tuple[Any, int | None, str]:
        """Return the location of the check: the manifest or binary, no line, and the name of the check."""
        file, _, check = self.nodeid.partition("::")
        return self.path, 0, f"{check} of {file}"

    @property
    def file_id(self) -> str:
        """The node id of the manifest or binary."""
        return self.nodeid.partition("::")[0]

    @property
    def agrees(self) -> _Agreement:
        """The outcomes of checks in this session, which must not contradict each other."""
        if _AGREEMENT not in self.config.stash:
            self.config.stash[_AGREEMENT] = _Agreement(self.session.items)
        return self.config.stash[_AGREEMENT]

    def fails_elsewhere(self, check: str) -> bool:
        """Return whether the check of this name also runs in this session, so that it reports the failure that blocks
        this check.
        """
        return self.agrees.includes(self, check)


def _flags(file: pytest.File) -> tuple[str, ...]:
    config = file.config
    if file.path.name == MANIFEST_NAME:
        return ("--airssys-wasm",)
    wasi = ("--wasm-wasi",) if config.stash[SETTINGS].wasm_wasi else ()
    if file.path.suffix in _BINARIES:
        return ("--airssys-wasm", *wasi)
    return ("--wasm-component", os.path.relpath(file.path, config.invocation_params.dir), *wasi)


def _runner(check: Check, source: Source) -> Callable[..., None]:
    def run(request: pytest.FixtureRequest, wasm_engine: WasmEngine, wasm_host: HostFunctions) -> None:
        item = request.node
        if item.name not in WITHOUT_LIMITS:
            tell_overruled(item)
        try:
            note = check(_candidate(request, source, wasm_engine, wasm_host))
        except Blocked as blocked:
            if not item.fails_elsewhere(blocked.check):
                raise
            if item.agrees.was_passed(item, blocked.check):
                reason = f"{blocked.check} passed, and then failed when {item.name} needed it: {blocked.reason}"
                raise Unfit(reason, _UNSTABLE) from blocked
            item.agrees.blocks(item, blocked)
            raise pytest.skip.Exception(str(blocked), _use_item_location=True) from None
        except NotChecked as error:
            raise pytest.skip.Exception(str(error), _use_item_location=True) from None
        if blocked_before := item.agrees.passes(item):
            raise Unfit(f"it passed, but failed when another check needed it: {blocked_before}", _UNSTABLE)
        item.user_properties.append((NOTE, note))
        cut_off = next((one for one in item.stash[FINDINGS] if isinstance(one, SearchCutOff)), None)
        if cut_off is not None:
            item.user_properties.append((CUT_OFF, round(cut_off.time_s, 3)))

    return run


def _refusal(error: InvalidConfiguration, path: Path) -> Callable[[], None]:
    def run() -> None:
        first, *others = str(error).replace(f"{path.parent}{os.sep}", "").split("\n")
        raise Unfit(first, f"correct it as the message says; `{MANIFEST_PAGE}` shows a complete manifest", others)

    return run


def _candidate(request: pytest.FixtureRequest, source: Source, engine: WasmEngine, host: HostFunctions) -> Candidate:
    from pytest_airssys_wasm.validation.candidate import Candidate

    try:
        limits = request.getfixturevalue("wasm_limits")
    except InvalidConfiguration as error:
        limits = error
    resolved = settings_of(request.node).limits
    # A fixture of the user may override `wasm_limits`.
    origins = resolved.origins if isinstance(resolved, OriginatedLimits) and limits is resolved.values else {}
    assert isinstance(source.content, Path)
    findings: list[Finding] = []
    request.node.stash[FINDINGS] = findings
    return Candidate(
        engine=engine,
        wasm=source.content,
        loader=lambda: load_component(source, engine, request.config),
        manifest=source.manifest,
        declared_limits=limits,
        origins=origins,
        host=host,
        wasi=wasi_of(request.node),
        tell=findings.append,
    )
