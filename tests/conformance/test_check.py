"""Faults of a suite as a whole are found, each with the file that is at fault."""

from __future__ import annotations

import pytest

from pytest_airssys_wasm.conformance.lint import faults

CHAPTER = """
title = "A chapter"
[requirements.R-1]
sentence = "It holds"
origin = "somewhere"
"""
GOOD = """
requirement = "R-1"
summary = "A case"
needs = ["module"]
wat = "(module)"
[[steps]]
call = "f"
"""


def with_needs(*needs):
    return GOOD.replace('["module"]', str(["module", *needs]))


def test_a_good_suite_has_none(suite):
    assert faults(suite(a__chapter=CHAPTER, a__case=GOOD)) == []


FAULTY = {
    "a requirement that nobody lists": (GOOD.replace("R-1", "R-9"), "R-9 is not in chapter.toml"),
    "a capability that does not exist": (with_needs("magic"), "'magic' is not a capability"),
    "a module that says it is none": (GOOD.replace('["module"]', "[]"), "'module' is missing"),
    "a component that says it is a module": (
        GOOD.replace("(module)", ";; a comment\\n(; another ;) (component)"),
        "'component' is missing",
    ),
    "an import that is not declared": ('imports = ["noop"]' + GOOD, "'imports' is missing"),
    "an import that does not exist": (
        'imports = ["teleport"]' + with_needs("imports"),
        "'teleport' is not in the host library",
    ),
    "a grant that is not declared": ("wasi = {}" + GOOD, "'wasi-p1' is missing"),
    "copies that are not declared": ("concurrency = 2" + GOOD, "'concurrent' is missing"),
    "a manifest that is not declared": (
        GOOD.replace('call = "f"', 'phase = "configure"').replace('["module"]', "[]"),
        "'manifest' is missing",
    ),
    "a measurement that is not declared": (
        GOOD + "[expect]\nhost_rss_growth_mib = { max = 1 }\n",
        "'host-rss' is missing",
    ),
    "an exact count of fuel that is not declared": (
        with_needs("fuel-count") + "[steps.expect]\nfuel_consumed = 7\n",
        "'fuel-as-wasmtime' is missing",
    ),
    "a verdict that only a limit on fuel gives": (
        GOOD + '[steps.expect]\nverdict = "out-of-fuel"\n',
        "'fuel-limit' is missing",
    ),
    "a verdict that only a deadline gives": (
        GOOD + '[steps.expect]\nverdict = "timeout"\n',
        "'timeout-limit' is missing",
    ),
    "a verdict that only a limit on memory gives": (
        GOOD.replace('call = "f"', 'phase = "instantiate"') + '[steps.expect]\nverdict = "out-of-memory"\n',
        "'memory-limit' is missing",
    ),
    "a trap that only who knows what was refused tells as such": (
        with_needs("memory-limit") + '[steps.expect]\nverdict = "out-of-memory"\n',
        "'memory-denials' is missing",
    ),
    "a resource that only who limits it tells": (
        GOOD + '[steps.expect]\nverdict = "resource-limit"\nresource = "host-transfer"\n',
        "'transfer-limit' is missing",
    ),
    "a count that only who limits it tells": (
        GOOD + '[steps.expect]\nverdict = "resource-limit"\nresource = "tables"\n',
        "'tables-limit' is missing",
    ),
    "milliseconds that only who is so accurate keeps": (
        GOOD + "[steps.expect]\nfastest_ms = { max = 50 }\n",
        "'timeout-10ms' is missing",
    ),
    "a capability of several parts": (
        with_needs("fuel"),
        "'fuel' stands for several capabilities: name those that it needs of fuel-limit, fuel-count",
    ),
    "a figure that only who counts fuel has": (
        GOOD + "[steps.expect]\nfuel_consumed = { min = 7 }\n",
        "'fuel-count' is missing",
    ),
    "a peak that only who limits memory has": (
        GOOD + "[steps.expect]\npeak_memory_bytes = 0\n",
        "'memory-peak' is missing",
    ),
    "a refusal that only who limits memory counts": (
        GOOD + '[steps.expect]\nsteady = ["denied_growths"]\n',
        "'memory-denials' is missing",
    ),
    "a bulk operation that is not declared": (
        GOOD.replace(
            '"(module)"', "'(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))'"
        ),
        "'bulk-memory' is missing",
    ),
    "a folder that only who limits open files grants": (
        with_needs("wasi-p1").replace("[[steps]]", "[wasi]\nfolder = true\n[[steps]]", 1),
        "'open-files-limit' is missing",
    ),
    "a store that is gone": (
        GOOD + '[steps.expect]\nverdict = "trap"\n[[steps]]\ncall = "f"\n',
        "`fresh = true` is missing",
    ),
    "a name that nobody has": (
        with_needs("fuel-count") + '[steps.expect]\nfuel_consumed = { same_as = "first" }\n',
        "there is no step 'first'",
    ),
    "a value compared with nobody": (
        GOOD + '[steps.expect]\nvalue = { same_as = "first" }\n',
        "there is no step 'first'",
    ),
    "bounds of a value that are none": (
        GOOD + "[steps.expect]\nvalue = { may_be_unknown = true }\n",
        "expect.value",
    ),
    "a name given twice": (
        GOOD + 'name = "x"\n[[steps]]\ncall = "f"\nname = "x"\n',
        "'x' is used twice",
    ),
    "a fixture that is not there": (GOOD.replace('wat = "(module)"', 'fixture = "gone.wat"'), "gone.wat"),
    "a case that does not load": (GOOD + "[nonsense]\n", "nonsense"),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_fault_is_found_in_its_file(suite, name):
    text, saying = FAULTY[name]
    found = faults(suite(a__chapter=CHAPTER, a__good=GOOD, a__faulty=text))
    assert len(found) == 1
    assert "faulty.toml" in found[0]
    assert saying in found[0]


def test_a_file_name_says_its_claim_in_kebab_case(suite):
    root = suite(a__chapter=CHAPTER, a__case=GOOD)
    (root / "a" / "case.toml").rename(root / "a" / "My Case.toml")
    assert [fault for fault in faults(root) if "kebab case" in fault]


def test_a_requirement_without_a_case_is_a_fault(suite):
    (found,) = faults(suite(a__chapter=CHAPTER))
    assert found.endswith("requirement R-1 has no case")


def test_a_requirement_belongs_to_one_chapter(suite):
    found = faults(suite(a__chapter=CHAPTER, b__chapter=CHAPTER, a__one=GOOD, b__two=GOOD))
    assert len(found) == 1
    assert "R-1 is also one of a" in found[0]


def test_a_case_name_is_used_once_in_the_suite(suite):
    other = CHAPTER.replace("R-1", "R-2")
    found = faults(suite(a__chapter=CHAPTER, b__chapter=other, a__same=GOOD, b__same=GOOD.replace("R-1", "R-2")))
    assert found == ["the case name 'same' is used 2 times"]


def test_two_actors_have_two_names(suite):
    actors = GOOD.partition("[[steps]]")[0].replace('["module"]', '["module", "concurrent"]')
    actors += '[[actors]]\nname = "a"\nsteps = [{ call = "f" }]\n' * 2
    found = faults(suite(a__chapter=CHAPTER, a__case=actors))
    assert len(found) == 1
    assert "'a' is used 2 times" in found[0]


def test_an_actor_does_something(suite):
    text = GOOD.partition("[[steps]]")[0] + '[[actors]]\nname = "idle"\n'
    assert [fault for fault in faults(suite(a__chapter=CHAPTER, a__case=text)) if "has no steps" in fault]


def test_a_chapter_that_does_not_load_is_a_fault(suite):
    (found,) = faults(suite(a__chapter="titel = 1", a__case=GOOD))
    assert "chapter.toml" in found


@pytest.mark.parametrize(
    "expected",
    ['verdict = ["ok", "timeout"]', "fuel_consumed = { max = 7, may_be_unknown = true }"],
)
def test_what_a_runtime_may_leave_out_needs_no_capability(suite, expected):
    assert faults(suite(a__chapter=CHAPTER, a__case=GOOD + f"[steps.expect]\n{expected}\n")) == []


@pytest.mark.parametrize("claim", ["value = 1", 'verdict = "trap"', "elapsed_ms = { max = 9 }"])
def test_a_figure_beside_another_claim_needs_no_capability(suite, claim):
    case = GOOD + f"[steps.expect]\n{claim}\nfuel_consumed = {{ min = 7 }}\ndenied_growths = 0\n"
    assert faults(suite(a__chapter=CHAPTER, a__case=case)) == []


@pytest.mark.parametrize(
    "expected",
    ["fuel_consumed = 0", "fuel_consumed = 1_000_000", "fuel_consumed = { min = 7 }", 'steady = ["fuel_consumed"]'],
)
def test_fuel_that_any_runtime_can_count_needs_no_costs_of_wasmtime(suite, expected):
    assert faults(suite(a__chapter=CHAPTER, a__case=with_needs("fuel-count") + f"[steps.expect]\n{expected}\n")) == []


def test_the_costs_of_wasmtime_are_needed_where_the_budget_is_not_what_is_spent(suite):
    case = with_needs("fuel-count").replace("[[steps]]", "[limits]\nfuel = 7\n[[steps]]")
    assert faults(suite(a__chapter=CHAPTER, a__case=case + "[steps.expect]\nfuel_consumed = 7\n")) == []
    (fault,) = faults(suite(a__chapter=CHAPTER, a__case=case + "[steps.expect]\nfuel_consumed = 1_000_000\n"))
    assert fault.endswith("needs: 'fuel-as-wasmtime' is missing")
