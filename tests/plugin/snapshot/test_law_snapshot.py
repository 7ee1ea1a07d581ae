"""`--wasm-laws` with `--wasm-fuel-snapshot`: each change of a law is told in its terms, and a dearer one fails."""

from __future__ import annotations

import json
import re

import pytest

from support.manifests import HEAD

NAME = ".fuel-snapshot.json"
GUEST = """(module (memory (export "memory") 1 4)
  (func $work (param i32) (loop
    (br_if 0 (i32.gt_s (local.tee 0 (i32.sub (local.get 0) (i32.const 1))) (i32.const 0)))))
  (func (export "linear") (param i32) (call $work (local.get 0)))
  (func (export "plain") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))"""
MANIFEST = f"""{HEAD}[resources.memory]
max_bytes = "2 MiB"
[resources.cpu]
max_fuel = 100_000
timeout_ms = 20_000
"""
LINEAR, PLAIN = "Component.toml::law[linear]", "Component.toml::law[plain]"
_LINE = re.compile(r"^(regressed|incomparable|new|removed|tolerated|improved|not-run) +(\S+) \S+: (.*)", re.MULTILINE)


class Author:
    """A folder with a component, whose laws are recorded and compared."""

    def __init__(self, project):
        self.project = project
        self.guest(GUEST)
        project.path("Component.toml").write_text(MANIFEST)
        project.environment["COLUMNS"] = "300"

    def guest(self, text):
        self.project.path("guest.wat").write_text(text)

    def edit(self, old, new):
        assert old in GUEST
        self.guest(GUEST.replace(old, new))

    def run(self, mode, *arguments, select=("-k", "law")):
        ran = self.project.run(
            "--airssys-wasm", "--wasm-laws", f"--wasm-fuel-snapshot={mode}", "-v", *select, *arguments, "."
        )
        told = {test: (state, text) for state, test, text in _LINE.findall(ran.text)}
        return ran, told

    @property
    def content(self):
        return self.project.path(NAME).read_bytes()


@pytest.fixture(scope="module")
def recording(tmp_path_factory, guest_at):
    """The snapshot of the laws, which is the same for every test."""
    author = Author(guest_at(tmp_path_factory.mktemp("recording") / "project"))
    ran, told = author.run("update")
    assert ran.code == 0, ran.text
    assert {test: state for test, (state, _) in told.items()} == {LINEAR: "new", PLAIN: "new"}
    return author.content


@pytest.fixture
def author(project, recording):
    project.path(NAME).write_bytes(recording)
    return Author(project)


@pytest.mark.slow
def test_laws_are_recorded_exactly_and_one_a_line(author):
    laws = [one for one in json.loads(author.content) if one["line"] == "law"]
    assert [one["test"] for one in laws] == [LINEAR, PLAIN]
    piece = laws[0]["pieces"][-1]
    assert (piece["low"], piece["high"], set(piece["fuel"])) == ([1], [4096], {"1", "n"})
    assert laws[0]["sizes"] == {"n": "value of argument 0"}
    assert laws[1]["pieces"] == [{"low": [], "high": [], "fuel": {"1": 4}, "peak_memory_bytes": {"1": 65_536}}]
    assert author.content.count(b'\n,{"line": "law"') == 2
    ran, told = author.run("check")
    assert (ran.code, told) == (0, {}), ran.text
    assert "2 unchanged" in ran.text


@pytest.mark.slow
def test_a_dearer_law_fails_its_check_and_says_what_has_become_dearer(author):
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    ran, told = author.run("check", "--wasm-report=x.md")
    assert ran.results == {LINEAR: "failed", PLAIN: "passed"}, ran.text
    state, text = told[LINEAR]
    assert state == "regressed"
    assert re.match(
        r"fuel for n = 0: \d+ → \d+ \(.+?\); fuel for 1 ≤ n ≤ 4,096: per unit of n (\d+) → (\d+), fixed", text
    )
    assert f"linear is dearer than in the snapshot: {text}" in ran.text
    assert "rerun    pytest --airssys-wasm --wasm-laws --wasm-fuel-snapshot=check" in ran.text
    page = author.project.path("x.md").read_text().partition("### Fuel snapshot")[2]
    assert page.startswith("\n\n- regressed <code>Component.toml::law\\[linear\\] linear: fuel for n = 0")


@pytest.mark.slow
def test_an_update_accepts_a_dearer_law(author):
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    before = author.content
    ran, told = author.run("update")
    assert (ran.code, told[LINEAR][0]) == (0, "regressed"), ran.text
    assert author.content != before
    assert author.run("check")[1] == {}


@pytest.mark.slow
def test_an_instruction_in_the_loop_moves_the_coefficient_by_its_cost(author):
    before = {one["export"]: one for one in json.loads(author.content) if one["line"] == "law"}
    for count in (1, 3):
        author.edit("(loop\n", f"(loop {'(drop (i32.const 1))' * count} (nop)\n")
        ran, told = author.run("check", "-k", "linear")
        slope = before["linear"]["pieces"][-1]["fuel"]["n"]
        assert f"per unit of n {slope} → {slope + count}, fixed part unchanged" in told[LINEAR][1], ran.text


@pytest.mark.slow
def test_a_cheaper_law_passes_and_a_tolerated_one_too(author):
    author.edit("(i32.add (local.get 0) (local.get 1))", "(local.get 0)")
    ran, told = author.run("check")
    assert (ran.code, told) == (0, {PLAIN: ("improved", "fuel 4 → 2 (-2, -50 %)")}), ran.text
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    ran, told = author.run("check", "--wasm-fuel-tolerance=90 %")
    assert (ran.code, told[LINEAR][0]) == (0, "tolerated"), ran.text


@pytest.mark.slow
def test_a_law_that_is_lost_or_excluded_is_removed_and_a_new_one_is_new(author):
    author.edit(
        "(call $work (local.get 0))", "(call $work (i32.popcnt (i32.mul (local.get 0) (i32.const 0x9e3779b1))))"
    )
    ran, told = author.run("check")
    assert (ran.code, told[LINEAR][0]) == (1, "removed")
    assert "; no law: " in told[LINEAR][1]
    assert ran.results == {LINEAR: "passed", PLAIN: "passed"}
    author.guest(GUEST.replace('"linear"', '"other"'))
    ran, told = author.run("check")
    assert {test: state for test, (state, _) in told.items()} == {
        LINEAR: "removed",
        "Component.toml::law[other]": "new",
    }
    assert ran.code == pytest.ExitCode.TESTS_FAILED
    author.guest(GUEST)
    author.project.path("Component.toml").write_text(MANIFEST + '[fuzz]\nexclude = ["plain"]\n')
    ran, told = author.run("check")
    assert (ran.code, told[PLAIN][0]) == (1, "removed"), ran.text


@pytest.mark.slow
@pytest.mark.parametrize("select", [("-k", "law and plain"), (f"./{PLAIN}",)], ids=["k", "node id"])
def test_a_part_of_the_run_keeps_the_other_laws(author, select):
    before = author.content
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    if select[0] != "-k":
        ran = author.project.run("--airssys-wasm", "--wasm-laws", "--wasm-fuel-snapshot=update", "-v", *select)
    else:
        ran, _ = author.run("update", select=select)
    assert ran.code == 0, ran.text
    told = {test: state for state, test, _ in _LINE.findall(ran.text)}
    assert told == {LINEAR: "not-run"}
    laws = [line for line in author.content.splitlines() if b'"law"' in line]
    assert laws == [line for line in before.splitlines() if b'"law"' in line]


@pytest.mark.slow
def test_without_the_option_laws_did_not_run(author):
    before = author.content
    ran = author.project.run("--airssys-wasm", "--wasm-fuel-snapshot=check", "-v", ".")
    assert (ran.code, {state for state, *_ in _LINE.findall(ran.text)}) == (0, {"not-run"}), ran.text
    ran = author.project.run("--airssys-wasm", "--wasm-fuel-snapshot=update", ".")
    assert (ran.code, author.content) == (0, before), ran.text


@pytest.mark.slow
def test_a_component_that_does_not_load_has_not_lost_its_laws(author):
    author.guest("(module")
    _, told = author.run("check", select=())
    assert {state for state, _ in told.values()} == {"not-run"}


@pytest.mark.slow
@pytest.mark.parametrize("options", [["-n", "2"], ["--wasm-isolation=process"], ["-p", "randomly"]], ids=" ".join)
def test_the_bytes_are_the_same_in_every_way_to_run(author, options):
    before = author.content
    author.project.path(NAME).unlink()
    ran, _ = author.run("update", *options)
    assert (ran.code, author.content) == (0, before), ran.text


@pytest.mark.slow
def test_a_worker_process_tells_a_dearer_law(author):
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    ran, told = author.run("check", "-n", "1")
    assert (ran.results[LINEAR], told[LINEAR][0]) == ("failed", "regressed"), ran.text


@pytest.mark.slow
def test_an_engine_whose_costs_have_moved_blames_no_law(author):
    author.edit("(loop\n", "(loop (i32.store (i32.const 0) (local.get 0))\n")
    text = author.content.decode()
    author.project.path(NAME).write_text(re.sub(r'("name": "calls", "fuel": )', r"\g<1>9", text))
    ran, told = author.run("check")
    assert ran.results == {LINEAR: "passed", PLAIN: "passed"}, ran.text
    assert (ran.code, told[LINEAR][0]) == (1, "incomparable")
    assert "kernels cost something else" in ran.text
