"""The command that prints the pages of the documentation, which are installed with the package."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pytest_airssys_wasm
from pytest_airssys_wasm.conformance.loader import data_folder
from pytest_airssys_wasm.docs import main

PACKAGE = Path(pytest_airssys_wasm.__file__).parent


def printed(capfdbinary, *arguments):
    main(arguments)
    return capfdbinary.readouterr().out.decode()


def test_all_pages_are_listed_with_their_titles(capfdbinary):
    lines = printed(capfdbinary).splitlines()
    assert re.search(r"^manifest +Component\.toml$", "\n".join(lines), re.MULTILINE)
    assert len(lines) == len([*data_folder("docs").rglob("*.md")]) + 1


@pytest.mark.parametrize(
    ("name", "page"),
    [("manifest", "manifest"), ("docs/manifest.md", "manifest"), ("decisions/native-guard", "decisions/native-guard")],
)
def test_a_page_is_printed_as_it_is(capfdbinary, name, page):
    assert printed(capfdbinary, name) == (data_folder("docs") / f"{page}.md").read_text("utf-8")


def test_comments_for_the_tools_of_the_project_are_left_out(capfdbinary):
    for page in data_folder("docs").rglob("*.md"):
        text = printed(capfdbinary, page.relative_to(data_folder("docs")).as_posix())
        assert not re.search("^<!--", text, re.MULTILINE), page
    assert "<!--" not in printed(capfdbinary, "snapshots")
    assert "\n\n\n" not in printed(capfdbinary, "reference")


def test_a_section_ends_before_the_next_one_and_code_has_no_headings(capfdbinary):
    text = printed(capfdbinary, "manifest#tests")
    assert text.startswith("## `[[tests]]`\n")
    assert "### Leaks" in text
    assert "## `[[imports]]`" not in text
    text = printed(capfdbinary, "your-component#3-a-manifest")
    assert "# the instantiation took" in text
    assert "**Start-up fuel.**" in text


@pytest.mark.parametrize(
    ("wrong", "told"), [("manifset", "the pages are architecture, "), ("manifest#tsts", "it has begin-with-a-binary, ")]
)
def test_what_does_not_exist_is_told_with_what_does(capsys, wrong, told):
    with pytest.raises(SystemExit):
        main([wrong])
    assert told in capsys.readouterr().err


def test_messages_name_pages_that_are_installed(capfdbinary):
    named = set()
    for path in PACKAGE.rglob("*.py"):
        if "_data" not in path.parts:
            text = path.read_text("utf-8")
            named.update(re.findall(r"pytest_airssys_wasm\.docs ([a-z-]+(?:#[a-z-]+)?)", text))
            assert (
                not re.search(r'"[^"\n]*\bdocs/[a-z-]+\.md[^"\n]*"$', text, re.MULTILINE) or path.name == "docs.py"
            ), path
    assert {"manifest", "protocol", "howto#serve-what-a-guest-imports"} <= named
    for page in named:
        assert printed(capfdbinary, page)
