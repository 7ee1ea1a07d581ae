"""Chapters and cases are found by their file names; an error in one names file, table and key."""

from __future__ import annotations

import msgspec
import pytest

from pytest_airssys_wasm.conformance.guests import source_text
from pytest_airssys_wasm.conformance.loader import data_folder, decode_toml, find_chapters
from pytest_airssys_wasm.conformance.model import Actor, Case, Chapter, Repeated
from pytest_airssys_wasm.runtime.errors import InvalidConfiguration

CHAPTER = '[requirements.R-1]\nsentence = "It holds"\norigin = "somewhere"\n'
CASE = 'requirement = "R-1"\nsummary = "A case"\n'

WRONG_CASES = {
    "a misspelt key of the case": ('requirment = "R-1"\n' + CASE, "requirment", "a known key", "'R-1'"),
    "a missing key": ('requirement = "R-1"\n[[steps]]\ncall = "f"\n', "summary", "this key", "nothing"),
    "a wrong type": (CASE + "repeat = 'often'\n[[steps]]\ncall = 'f'\n", "repeat", "int", "'often'"),
    "a limit that does not exist": (
        CASE + "[limits]\nmemroy = 1\n[[steps]]\ncall = 'f'\n",
        "limits.memroy",
        "a known key",
        "1",
    ),
    "a wrong figure in the second step": (
        CASE + '[[steps]]\ncall = "f"\n[[steps]]\ncall = "g"\n[steps.expect]\nfuel_consumed = "much"\n',
        "steps[1].expect.fuel_consumed",
        "int | float | object | null",
        "'much'",
    ),
    "a misspelt expectation": (
        CASE + '[[steps]]\ncall = "f"\n[steps.expect]\nfuel = 3\n',
        "steps[0].expect.fuel",
        "a known key",
        "3",
    ),
    "an unknown verdict": (
        CASE + '[[steps]]\ncall = "f"\n[steps.expect]\nverdict = "odd"\n',
        "steps[0].expect.verdict",
        "Invalid enum value 'odd'",
        "'odd'",
    ),
    "bounds without an end": (
        CASE + '[[steps]]\ncall = "f"\n[steps.expect]\nelapsed_ms = {}\n',
        "steps[0].expect.elapsed_ms",
        "at least one of",
        "{}",
    ),
    "bounds upside down": (
        CASE + '[[steps]]\ncall = "f"\n[steps.expect]\nelapsed_ms = { min = 2, max = 1 }\n',
        "steps[0].expect.elapsed_ms",
        "a `min` of at most `max`",
        "'min': 2",
    ),
    "two meanings of bounds": (
        CASE + '[[steps]]\ncall = "f"\n[steps.expect]\nelapsed_ms = { same_as = "a", max = 1 }\n',
        "steps[0].expect.elapsed_ms",
        "`same_as` without any other bound",
        "'a'",
    ),
    "a step that does nothing": (
        CASE + "[[steps]]\nfresh = true\n",
        "steps[0]",
        "either `call` or `phase`",
        "fresh",
    ),
    "arguments of an instantiation": (
        CASE + '[[steps]]\nphase = "instantiate"\nargs = [1]\n',
        "steps[0]",
        "`args` only beside `call`",
        "args",
    ),
    "an actor with two components": (
        CASE + '[[actors]]\nname = "a"\nwat = "(module)"\nfixture = "a.wat"\n',
        "actors[0]",
        "either `fixture` or `wat`",
        "a.wat",
    ),
    "a variable that is no text": (
        CASE + "[wasi.env]\nGOOD = 'x'\nBAD = 1\n[[steps]]\ncall = 'f'\n",
        "wasi.env.BAD",
        "str",
        "1",
    ),
    "a variable of the second actor": (
        CASE + '[[actors]]\nname = "a"\n[[actors]]\nname = "b"\n[actors.wasi.env]\nBAD = 1\n',
        "actors[1].wasi.env.BAD",
        "str",
        "1",
    ),
    "no step at all": (CASE, "case.toml", "either `[[steps]]` or `[[actors]]`", ""),
    "steps beside actors": (
        CASE + '[[steps]]\ncall = "f"\n[[actors]]\nname = "a"\n',
        "case.toml",
        "either `[[steps]]` or `[[actors]]`",
        "",
    ),
    "no repetition": (CASE + "repeat = 0\n[[steps]]\ncall = 'f'\n", "case.toml", "at least 1", ""),
    "text that is no TOML": (CASE + "steps == 3\n", "case.toml", "TOML", "line 3"),
}


@pytest.mark.parametrize("name", WRONG_CASES)
def test_an_error_in_a_case_names_file_place_value_and_what_would_be_right(tmp_path, name):
    text, *sayings = WRONG_CASES[name]
    file = tmp_path / "case.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(InvalidConfiguration) as raised:
        decode_toml(file, Case)
    assert str(raised.value).startswith(str(file))
    for saying in sayings:
        assert saying in str(raised.value)


def test_an_error_in_a_requirement_names_the_requirement(tmp_path):
    file = tmp_path / "chapter.toml"
    file.write_text('title = "T"\n' + CHAPTER + '[requirements.R-2]\nsentence = "x"\n', encoding="utf-8")
    with pytest.raises(InvalidConfiguration, match=r"requirements\.R-2\.origin: expected this key"):
        decode_toml(file, Chapter)


def test_a_file_that_is_not_utf_8_is_an_error_of_its_own(tmp_path):
    file = tmp_path / "case.toml"
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(InvalidConfiguration, match=r"a readable UTF-8 file, got 'byte 0xff'$"):
        decode_toml(file, Case)


def test_a_file_that_is_not_there_is_an_error_of_its_own(tmp_path):
    with pytest.raises(InvalidConfiguration, match=r"a readable UTF-8 file, got 'No such file or directory'$"):
        decode_toml(tmp_path / "case.toml", Case)


def test_chapters_and_cases_are_found_without_reading_them(suite):
    root = suite(b__chapter="not toml", b__second="nor this", b__first="", a__chapter="", a__only="")
    chapters = find_chapters(root)
    assert [chapter.name for chapter in chapters] == ["a", "b"]
    assert [case.node_id for case in chapters[1].cases()] == ["conformance/b/first", "conformance/b/second"]


def test_a_folder_without_a_chapter_file_is_no_chapter(suite):
    assert find_chapters(suite(notes__case="")) == ()


def test_a_fixture_that_is_missing_is_named(tmp_path):
    actor = Actor(name="", fixture="gone.wat")
    with pytest.raises(InvalidConfiguration, match=r"case\.toml: fixture: .*'gone\.wat'"):
        source_text(actor, "case.toml", tmp_path)


def test_a_case_without_a_component_is_told_so():
    with pytest.raises(InvalidConfiguration, match="fixture"):
        source_text(Actor(name=""), "case.toml")


def test_a_fixture_is_read_from_its_folder(tmp_path):
    (tmp_path / "one.wat").write_text("(module)", encoding="utf-8")
    assert source_text(Actor(name="", fixture="one.wat"), "case.toml", tmp_path) == "(module)"


def test_a_repeated_piece_is_written_as_often_as_it_says():
    pieces = {"funcs": Repeated(text="(func $f{#})", times=3), "none": Repeated(text="x", times=0)}
    actor = Actor(name="", wat="(module {{funcs}}{{none}} {{funcs}})", repeated=pieces)
    functions = "(func $f0)(func $f1)(func $f2)"
    assert source_text(actor, "case.toml") == f"(module {functions} {functions})"


def test_an_actor_with_a_wat_of_its_own_has_pieces_of_its_own(make_case):
    text = 'repeated = { drops = { text = "drop ", times = 2 } }\n'
    case = make_case(
        text + "[[actors]]\nname = 'a'\nsteps = []\n[[actors]]\nname = 'b'\nwat = '(module)'\nsteps = []\n"
    )
    assert [sorted(actor.repeated) for actor in case.cast()] == [["drops"], []]


def test_a_repeated_piece_of_the_case_belongs_to_its_wat(make_case):
    (actor,) = make_case(
        """
        steps = [{ call = "f" }]
        [repeated.drops]
        text = "drop "
        times = 2
        """
    ).cast()
    with pytest.raises(InvalidConfiguration, match=r"case\.toml: repeated: .*'drops'"):
        source_text(actor, "case.toml")


@pytest.mark.parametrize("wat", ["(module {{known}} {{unknown}})", "(module {{unknown}})", "(module)"])
def test_pieces_that_are_unknown_or_unused_are_named(wat):
    actor = Actor(name="", wat=wat, repeated={"known": Repeated(text="(func)", times=1)})
    with pytest.raises(InvalidConfiguration, match=r"case\.toml: repeated: .*known'"):
        source_text(actor, "case.toml")


def test_a_piece_may_not_be_written_without_end(make_case):
    for times in (-1, 16 * 2**20):
        with pytest.raises(msgspec.ValidationError, match="`times` of at least 0"):
            make_case(f'steps = [{{ call = "f" }}]\nrepeated = {{ a = {{ text = "xy", times = {times} }} }}\n')


def test_an_actor_has_what_the_case_says_unless_it_says_otherwise(make_case):
    case = make_case(
        """
        imports = ["noop"]
        [limits]
        memory = "1 MiB"
        fuel = 10
        [[actors]]
        name = "as the case"
        steps = [{ call = "f" }]
        [[actors]]
        name = "otherwise"
        wat = "(component)"
        imports = []
        limits = { fuel = 20 }
        steps = [{ call = "f" }]
        """
    )
    same, other = case.cast()
    assert (same.wat, same.imports, same.limits.memory, same.limits.fuel) == (
        "(module)",
        ["noop"],
        "1 MiB",
        10,
    )
    assert (other.wat, other.imports, other.limits.memory, other.limits.fuel) == (
        "(component)",
        [],
        "1 MiB",
        20,
    )


def test_a_component_of_its_own_takes_the_place_of_the_cases_fixture(make_case):
    case = make_case('[[actors]]\nname = "a"\nfixture = "a.wat"\nsteps = [{ call = "f" }]\n')
    (actor,) = case.cast()
    assert (actor.fixture, actor.wat) == ("a.wat", None)


def test_the_bundled_data_is_found():
    assert (data_folder("conformance") / "fuel" / "chapter.toml").is_file()
    assert data_folder("fixtures").is_dir()


def test_data_that_is_nowhere_is_an_error_that_names_the_places():
    with pytest.raises(FileNotFoundError, match="_data"):
        data_folder("no-such-folder")
