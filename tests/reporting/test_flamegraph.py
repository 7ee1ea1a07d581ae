"""The files of a profile: exact in their figures, and harmless whatever a guest calls its functions."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from pytest_airssys_wasm.reporting import flamegraph
from support.records import HOSTILE

STACKS = {("main", "slow", "inner"): 700, ("main", "quick", "inner"): 250, ("main", "quick"): 45, ("main",): 5}
DIFFERENCE = {("main", "slow"): 90, ("main", "quick"): -30, ("other",): 1}


def page(stacks=STACKS, **options):
    options = {"title": "f(1)", "total": sum(stacks.values()), "samples": 400, **options}
    return flamegraph.page(stacks, **options)


def test_folded_stacks_are_sorted_lines():
    assert flamegraph.folded(STACKS) == "main 5\nmain;quick 45\nmain;quick;inner 250\nmain;slow;inner 700\n"


def test_a_name_cannot_make_two_frames_of_one():
    assert flamegraph.folded({("a;b", "c"): 1}) == "a:b;c 1\n"


def test_speedscope_has_weights_that_sum_up():
    document = json.loads(flamegraph.speedscope(STACKS, title="f(1)", samples=400))
    (profile,) = document["profiles"]
    names = [frame["name"] for frame in document["shared"]["frames"]]
    stacks = {
        tuple(names[index] for index in sample): weight
        for sample, weight in zip(profile["samples"], profile["weights"])
    }
    assert stacks == STACKS
    assert profile["endValue"] == 1_000


def test_a_difference_is_two_profiles_for_speedscope():
    document = json.loads(flamegraph.speedscope(DIFFERENCE, title="f", samples=400, is_difference=True))
    assert [(one["name"], one["endValue"]) for one in document["profiles"]] == [("f: more", 91), ("f: less", 30)]


def test_boxes_are_as_wide_as_their_fuel():
    boxes = {(box.depth, box.name): box for box in flamegraph.boxes(STACKS)}
    assert boxes[0, "main"].width == 1
    assert boxes[1, "slow"].width == 0.7
    assert (boxes[1, "quick"].fuel, boxes[1, "quick"].own) == (295, 45)
    for box in boxes.values():
        inside = [
            one
            for one in boxes.values()
            if one.depth == box.depth + 1 and box.start <= one.start < box.start + box.width
        ]
        assert sum(one.width for one in inside) <= box.width + 1e-9


def test_a_difference_is_coloured_by_its_sign():
    boxes = {box.name: box for box in flamegraph.boxes(DIFFERENCE, is_difference=True)}
    assert {name: box.colour for name, box in boxes.items()} == {
        "main": "more",
        "slow": "more",
        "quick": "less",
        "other": "more",
    }
    assert boxes["main"].fuel == 60
    assert boxes["main"].width == pytest.approx(120 / 121)
    assert "<strong>+61</strong>" in page(DIFFERENCE, is_difference=True)


def test_the_table_of_a_profile_shows_the_share_of_each_function():
    (row,) = re.findall(r"<tr><td><code>inner</code>.*", page())
    assert re.findall(r"<td>([^<]*)</td>", row) == ["950", "95 %", "950"]
    assert "share" not in page(DIFFERENCE, is_difference=True).partition("<h2>")[2].partition("<script>")[0]


def test_the_page_needs_nothing_else():
    text = page()
    assert "default-src 'none'" in text
    assert not re.search(r"(src|href)=", text)
    svg = ElementTree.fromstring(re.search(r"<svg id=.*?^</svg>", text, re.S | re.M)[0])
    assert len(svg.findall("svg")) == len(flamegraph.boxes(STACKS)) == 5


@pytest.mark.slow
def test_a_page_of_many_functions_is_bounded():
    stacks = {("main", f"f{number}"): 1 + number % 7 for number in range(20_000)}
    text = page(stacks)
    assert "narrower boxes are left out" in text
    assert "more functions are left out" in text
    assert len(text) < 4_000_000


def test_a_page_names_its_test_and_leads_back_to_it():
    links = (("Back", flamegraph.address_of("../my report.html", "test-1")),)
    text = page(origin=flamegraph.Origin(test="test_a.py::test_b[1]", links=links))
    assert "<title>test_a.py::test_b[1]: fuel of f(1)</title>" in text
    assert "<h1><code>test_a.py::test_b[1]</code></h1>" in text
    assert '<a href="./../my%20report.html#test-1">Back</a>' in text
    assert "<title>Fuel of f(1)</title>" in page()
    assert "<nav" not in page()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_of_a_test_stays_a_name(name):
    links = (("Back", flamegraph.address_of(name.encode("utf-8", "replace").decode(), name)),) if name.isascii() else ()
    text = page(origin=flamegraph.Origin(test=name, links=links))
    head = re.search(r"<header>.*</header>", text, re.S)[0].replace(" hidden>", ">")
    plain = page(origin=flamegraph.Origin(test="name", links=(("Back", flamegraph.address_of("a")),) if links else ()))
    tags = re.compile(r"<[a-z0-9]+")
    assert tags.findall(text) == tags.findall(plain)
    assert all(address.startswith("./") for address in re.findall(r'<a href="([^"]*)"', head))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_stays_a_name(name):
    text = page({("main", name): 5}, title=name)
    svg = re.search(r"<svg id=.*?^</svg>", text, re.S | re.M)[0]
    assert len(ElementTree.fromstring(svg).findall("svg")) == 2
    assert text.count("<script") == 1
    assert json.loads(flamegraph.speedscope({("main", name): 5}, title=name, samples=1))["profiles"][0]["weights"] == [
        5
    ]
    assert flamegraph.folded({("main", name.replace("\n", " ")): 5}).count("\n") == 1


def test_an_empty_profile_is_a_page_too():
    assert "<strong>0</strong>" in page({})


@pytest.mark.skipif(shutil.which("node") is None, reason="needs Node.js")
def test_the_script_is_javascript():
    script = Path(flamegraph.__file__).with_suffix(".js")
    done = subprocess.run(["node", "--check", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
