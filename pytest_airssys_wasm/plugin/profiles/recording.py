"""The plugin that profiles tests, and writes the profiles, in the process that runs the tests."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest
from msgspec import to_builtins

from pytest_airssys_wasm.analysis.errors import CannotRepeat
from pytest_airssys_wasm.analysis.fuel_profile import INSTANTIATION, timeline_of
from pytest_airssys_wasm.analysis.profiled_call import ProfiledCall, profile_again
from pytest_airssys_wasm.plugin.profiles.earlier import Unreadable, read_profile
from pytest_airssys_wasm.plugin.profiles.entry import Profiled
from pytest_airssys_wasm.plugin.profiles.names import DIFFERENCE, file_stem, shown_path
from pytest_airssys_wasm.plugin.report.mishaps import telling
from pytest_airssys_wasm.plugin.settings import SETTINGS
from pytest_airssys_wasm.plugin.stash import KIND
from pytest_airssys_wasm.reporting.anchors import Anchors
from pytest_airssys_wasm.reporting.flamegraph import SUFFIXES, Origin, address_of
from pytest_airssys_wasm.runtime.base.outcome import Verdict
from pytest_airssys_wasm.runtime.base.printable import printable
from pytest_airssys_wasm.runtime.errors import WasmError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Sequence
    from pathlib import Path

    from pytest_airssys_wasm.analysis.fuel_profile import Profile
    from pytest_airssys_wasm.runtime.base.outcome import Finished

PROFILE = "airssys_wasm_profile"
"""The attribute of a report that holds the result of profiling its test, as plain data."""
SAMPLES = 400
"""The number of runs for each profile."""
TIME_S = 10.0
"""The time in seconds that the profile of one test may take, before it is multiplied by `--wasm-timeout-scale`."""
_IN_REPORT, _TO_PROFILE = "The test in the report", "Profile of this run"
_TO_DIFFERENCE = "Difference from the earlier profile"
_STEM = pytest.StashKey[str]()
"""The name of the files of a test, from the node id with which it was collected: xdist may change it afterwards."""


class Recorder:
    """A plugin that profiles the dearest call of each test, and writes the profile after the test.

    Calls that fixtures make are left out. The guest runs again while the fixtures of the test still exist. The files
    are written after the teardown of the fixtures, because a fixture may have replaced the file system.
    """

    def __init__(self, config: pytest.Config, folder: Path) -> None:
        settings = config.stash[SETTINGS]
        self._folder = folder
        self._shown_from = config.invocation_params.dir
        self._against = settings.wasm_profile_against
        self._report = _relative_report(settings.wasm_report, folder, config.invocation_params.dir)
        self._ceilings = settings.ceilings
        self._time_s = TIME_S * settings.wasm_timeout_scale
        self._is_measuring = False
        self._dearest: Finished | None = None
        self._pending: tuple[Finished, ProfiledCall | str] | None = None

    def see(self, finished: Finished) -> None:
        """Keep an execution if it is the dearest call of the test so far."""
        if not self._is_measuring or finished.call.export is None:
            return
        if self._dearest is None or _fuel(finished) > _fuel(self._dearest):
            self._dearest = finished

    @pytest.hookimpl(tryfirst=True)
    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Store the name of the files of a test."""
        item.stash[_STEM] = file_stem(item.nodeid)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_call(self, item: pytest.Item) -> None:
        """Start to measure a test, and forget the calls of its fixtures and of an earlier attempt."""
        self._dearest = self._pending = None
        self._is_measuring = _is_profiled(item)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Profile the dearest call after the test, write the profile after its fixtures, and report the result."""
        report = yield
        if call.when == "call":
            self._is_measuring = False
            dearest, self._dearest = self._dearest, None
            if dearest is not None:
                self._pending = dearest, self._profile(dearest)
        elif call.when == "teardown" and self._pending is not None:
            (finished, found), self._pending = self._pending, None
            setattr(report, PROFILE, to_builtins(self._entry(item, report.nodeid, finished, found)))
        return report

    def _profile(self, finished: Finished) -> ProfiledCall | str:
        """Return the profile of a call, or the reason why there is none."""
        verdict = finished.outcome.verdict
        if verdict is not Verdict.OK:
            return f"it ended with {verdict}"
        reason: list[str] = []
        with telling(reason.append):
            try:
                return profile_again(finished.call, ceilings=self._ceilings, samples=SAMPLES, time_s=self._time_s)
            except CannotRepeat as obstacle:
                return printable(str(obstacle))
            except WasmError as error:
                return printable(f"when it was made again in a fresh instance, it ended with {error.verdict}: {error}")
        return f"it could not be made again: {reason[0]}"

    def _entry(self, item: pytest.Item, node_id: str, finished: Finished, found: ProfiledCall | str) -> Profiled:
        """Write the files of a profile, and return its entry in the section."""
        test, call = printable(item.nodeid), printable(finished.call.text)
        if isinstance(found, str):
            return Profiled(test=test, call=call, total=_fuel(finished), reason=found)
        reason: list[str] = []
        with telling(reason.append):
            return self._written(item, node_id, finished, found)
        return Profiled(
            test=test, call=call, total=_fuel(finished), reason=f"the profile could not be written: {reason[0]}"
        )

    def _written(self, item: pytest.Item, node_id: str, finished: Finished, found: ProfiledCall) -> Profiled:
        profile = found.profile
        stem = item.stash.get(_STEM, None) or file_stem(item.nodeid)
        remarks = [*_remarks(finished, found)]
        # It is read first, because the new profile may replace it.
        earlier = self._earlier(stem, remarks.append)
        links = [] if self._report is None else [(_IN_REPORT, address_of(self._report, Anchors.of("test", node_id)))]
        other = [] if earlier is None else [(_TO_DIFFERENCE, address_of(f"{stem}{DIFFERENCE}.html"))]
        _write(profile, self._folder / stem, Origin(test=item.nodeid, links=(*other, *links)))
        difference = None
        if earlier is None:
            for suffix in SUFFIXES:  # a difference that an earlier run wrote belongs to another profile
                (self._folder / f"{stem}{DIFFERENCE}{suffix}").unlink(missing_ok=True)
        else:
            compared = profile.minus(earlier)
            other = [(_TO_PROFILE, address_of(f"{stem}.html"))]
            _write(compared, self._folder / f"{stem}{DIFFERENCE}", Origin(test=item.nodeid, links=(*other, *links)))
            name, (own, _) = next(iter(compared.by_function().items()), ("", (0, 0)))
            fuels = compared.stacks.values()
            difference = sum(one for one in fuels if one > 0), sum(one for one in fuels if one < 0), name, own
        functions = profile.by_function()
        instantiation, _ = functions.pop(INSTANTIATION, (0, 0))
        function, (own, _) = next(iter(functions.items()), ("", (0, 0)))
        page = self._folder / f"{stem}{'' if earlier is None else DIFFERENCE}.html"
        return Profiled(
            test=printable(item.nodeid),
            call=printable(profile.title),
            total=profile.total,
            call_fuel=found.call_fuel,
            file=shown_path(page, self._shown_from),
            function=function,
            place=str(profile.places.get(function, "")),
            own=own,
            instantiation=instantiation,
            memory=_growths_text(profile),
            remarks=tuple(remarks),
            difference=difference,
            earlier_call=earlier.title if earlier is not None and earlier.title != profile.title else None,
        )

    def _earlier(self, stem: str, tell: Callable[[str], object]) -> Profile | None:
        """Return the earlier profile of a test. Pass the reason to `tell` and return `None` if it cannot be read."""
        if self._against is None:
            return None
        try:
            return read_profile(self._against / f"{stem}.speedscope.json")
        except FileNotFoundError:
            tell("there is no earlier profile of this test")
        except OSError as error:
            tell(f"the earlier profile cannot be read: {printable(error.strerror or str(error))}")
        except Unreadable as error:
            tell(f"the earlier profile cannot be read: {error}")
        return None


def _relative_report(reports: Sequence[Path], folder: Path, seen_from: Path) -> str | None:
    """Return the path of the HTML report of this run from a folder; `None` if there is none to which a path leads."""
    for path in reports:
        if path.suffix.lower() == ".html":
            with suppress(ValueError):  # it is on another drive
                return os.path.relpath(seen_from / path, seen_from / folder)
    return None


def _write(profile: Profile, path: Path, origin: Origin) -> None:
    for suffix in SUFFIXES:
        profile.write(path.with_name(path.name + suffix), origin=origin)


def _growths_text(profile: Profile) -> str:
    """Return a sentence about the growths of memory; an empty text if there is none."""
    memory = None if profile.memory is None else timeline_of(profile.memory)
    if memory is None or not memory.steps:
        return ""
    return f"the memory {memory.summary}"


def _remarks(finished: Finished, found: ProfiledCall) -> Generator[str, None, None]:
    """Yield remarks on a profile that is less exact than usual, or whose call cost another amount in the test."""
    profile, fuel = found.profile, _fuel(finished)
    if fuel not in (found.call_fuel, profile.total):
        yield f"the call took {fuel:,} fuel in the test, and {found.call_fuel:,} in a fresh instance"
    if not profile.is_complete:
        yield f"only {profile.samples:,} of {SAMPLES:,} samples were taken in time, so the shares are less exact"


def _fuel(finished: Finished) -> int:
    usage = finished.outcome.usage
    return 0 if usage is None else usage.fuel.consumed


def _is_profiled(item: pytest.Item) -> bool:
    """Return whether the calls of a test are profiled: those of a Python test or of an entry `[[tests]]`.

    The calls of other checks, and of tests with generated arguments, were not written by the user.
    """
    kind = item.stash.get(KIND, "test")
    if kind == "check":
        return item.name.startswith("tests[")
    return kind == "test" and not getattr(getattr(item, "obj", None), "is_hypothesis_test", False)
