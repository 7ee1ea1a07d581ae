"""A project with some of everything: what stands in it, which of it fails, and how a session in it went."""

from __future__ import annotations

import json
import re
from collections import Counter

from support.checkout import GUESTS

GUEST = GUESTS / "text-transform" / "text-transform.wasm"
MANIFEST = """
    [component]
    name = "text-transform"
    version = "0.1.0"
    [resources.memory]
    max_bytes = 1048576
    [resources.cpu]
    timeout_ms = 20000
    [[tests]]
    name = "title-cases words"
    call = "transform"
    args = ["hello world"]
    returns = { ok = "Hello World" }
    [[tests]]
    name = "shouts, wrongly"
    call = "transform"
    args = ["hello world"]
    returns = { ok = "HELLO WORLD" }
    """
TESTS_OF_TEXT = """
    import pytest
    from hypothesis import Phase, example, HealthCheck, given, settings, strategies
    from pytest_airssys_wasm import Ok

    pytestmark = pytest.mark.component("text-transform.wasm")

    @pytest.mark.parametrize("text", ["one", "two words"])
    def test_title(component, text):
        assert component.transform(text) == Ok(text.title())

    @pytest.mark.slow
    def test_wrong(component):
        assert component.transform("one") == Ok("two")

    @pytest.mark.fuel(10)
    def test_short_of_fuel(component):
        component.transform("one")

    @pytest.mark.xfail(strict=True)
    def test_known(component):
        assert component.transform("one") == Ok("two")

    # The same examples in every arrangement: what Hypothesis draws depends on the modules that are loaded.
    @settings(phases=[Phase.explicit], database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @example("one")
    @example("abc")
    @given(strategies.just("one"))
    def test_any_word(component, word):
        assert component.transform(word) == Ok(word.title())

    @pytest.mark.asyncio
    async def test_asyncio(component):
        assert component.transform("one") == Ok("One")

    @pytest.mark.anyio
    async def test_anyio(component, anyio_backend):
        assert component.transform("one") == Ok("One")
    """
HOSTED = """
    (module
      (import "env" "twice" (func $twice (param i32) (result i32)))
      (import "env" "next" (func $next (result i32)))
      (memory (export "memory") 1)
      (func (export "four") (param i32) (result i32) (call $twice (call $twice (local.get 0))))
      (func (export "take") (result i32) (call $next)))
    """
MANIFEST_OF_HOSTED = """
    [component]
    name = "hosted"
    version = "0.1.0"
    wasm = "hosted.wat"
    [resources.memory]
    max_bytes = 1048576
    [resources.cpu]
    timeout_ms = 20000
    [[tests]]
    name = "quadruples"
    call = "four"
    args = [3]
    returns = 12
    """
TESTS_OF_HOSTED = """
    import pytest

    pytestmark = pytest.mark.component("hosted.wat")

    @pytest.fixture
    def first(component):
        return component.take()

    class TestHost:
        def test_four(self, component):
            assert component.four(3) == 12

        def test_take(self, first, component):
            assert [first, component.take()] == [0, 1]

        @pytest.mark.slow
        def test_wrong(self, component):
            assert component.take() == 1
    """
CONFTEST_OF_HOSTED = """
    import pytest

    @pytest.fixture
    def wasm_host(wasm_host):
        numbers = iter(range(10))
        wasm_host.register("env#next", lambda: next(numbers))
        return wasm_host
    """
# What pytest's own reports say, in the process where the session ends: nothing of this plugin has a part in it.
CONFTEST = """

import json
import pytest

@pytest.fixture
def anyio_backend():
    return "asyncio"

def pytest_wasm_host(host, item):
    host.register("env#twice", lambda number: 2 * number)

class Outcomes:
    def __init__(self):
        self.found = []

    def pytest_runtest_logreport(self, report):
        if report.when == "call" or not report.passed:
            self.found.append((report.nodeid, "xfailed" if hasattr(report, "wasxfail") else report.outcome))

    def pytest_sessionfinish(self):
        Path("outcomes.json").write_text(json.dumps(self.found))

def pytest_configure(config):
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Outcomes())
"""
SHOUTS = "text/Component.toml::tests[shouts, wrongly]"
TITLE_CASES = "text/Component.toml::tests[title-cases words]"
FAILED = {
    SHOUTS,
    "text/test_text.py::test_wrong",
    "text/test_text.py::test_short_of_fuel",
    "host/test_host.py::TestHost::test_wrong",
    "conformance/alpha/wants-three",
    "conformance/beta/is-not-read",
    "conformance/laws/never",
}


class Session:
    """The result of a run of the project: pytest's own outcomes, and the records of this plugin."""

    def __init__(self, project, *arguments, cwd=None):
        folder = cwd or project.folder
        for name in ("outcomes.json", "records.json"):
            (folder / name).unlink(missing_ok=True)
        self.ran = project.run("--airssys-wasm", "--wasm-report=records.json", *arguments, cwd=cwd)
        self.code = self.ran.code
        assert "INTERNALERROR" not in self.ran.text, self.ran.text
        for unwanted in ("Traceback", "warnings summary", "pytest_airssys_wasm/"):
            assert unwanted not in self.ran.text, self.ran.text
        self.in_order = json.loads((folder / "outcomes.json").read_text())
        self.outcomes = Counter(map(tuple, self.in_order))
        self.tests = {node_id for node_id, _ in self.in_order}
        report = json.loads((folder / "records.json").read_text())
        self.told = {test["test"]: test["outcome"] for test in report["tests"]}
        self.executions = Counter(
            json.dumps({key: value for key, value in one.items() if key not in ("wall_ms", "cpu_ms")})
            for one in report["executions"]
        )

    @property
    def table(self):
        """The table of executions, without its times."""
        _, _, below = self.ran.text.partition("WebAssembly executions ===")
        rows = below.partition("\n=====")[0].splitlines()[1:]
        cells = [re.split(r"\s{2,}", row.strip()) for row in rows]
        return [[*row[:-3], row[-1]] if len(row) > 3 else row for row in cells]
