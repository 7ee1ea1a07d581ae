"""The pages as a site: nothing on it leads nowhere, and every page is rendered as elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser

import pytest

from support.checkout import ROOT

pytest.importorskip("material", reason="needs the dependency group `site`")
markdown_it = pytest.importorskip("markdown_it", reason="needs the dependency group `site`")

PAGES = sorted({*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/README.md")})
COMPARED = {
    *("h1", "h2", "h3", "h4", "p", "blockquote", "details", "ul", "ol", "li"),
    *("table", "tr", "th", "td", "pre", "code", "em", "strong"),
}
READ = ("docs", "examples", "adapters", "native", "tests/test_dependencies.py")
"""What pages consist of, or link to."""


def build(root, site):
    """Build the site, and return what mkdocs says if it fails."""
    done = subprocess.run(
        [*(sys.executable, "-m", "mkdocs", "build", "--strict"), "-f", str(root / "mkdocs.yml"), "-d", str(site)],
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    return done.stdout if done.returncode else ""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site."""
    folder = tmp_path_factory.mktemp("site")
    assert build(ROOT, folder) == ""
    return folder


class Elements(HTMLParser):
    """The numbers of elements in the article of a page."""

    def __init__(self, text):
        super().__init__()
        self.counts = Counter()
        self._within = 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self._within += tag == "article"
        if self._within and tag in COMPARED:
            self.counts[tag] += 1

    def handle_endtag(self, tag):
        self._within -= tag == "article"


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_has_the_same_elements_as_where_commonmark_is_shown(page, site):
    at = page.relative_to(ROOT)
    rendered = site / (at.parent if at.name == "README.md" else at.with_suffix("")) / "index.html"
    commonmark = markdown_it.MarkdownIt("commonmark").enable("table").render(page.read_text("utf-8"))
    assert Elements(rendered.read_text("utf-8")).counts == Elements(f"<article>{commonmark}</article>").counts


@pytest.mark.slow
def test_what_leads_nowhere_fails_the_build(tmp_path):
    for name in READ:
        there = tmp_path / name
        there.parent.mkdir(parents=True, exist_ok=True)
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, there)
    for page in (*ROOT.glob("*.md"), ROOT / "mkdocs.yml"):
        shutil.copy(page, tmp_path)
    with (tmp_path / "docs" / "values.md").open("a") as page:
        page.write("\n[a](missing.md) [b](howto.md#missing) [c](#missing-here) [d](missing.py)\n")
    (tmp_path / "docs" / "forgotten.md").write_text("# Forgotten\n")
    told = build(tmp_path, tmp_path / "site")
    for complaint in (
        "contains a link 'missing.md'",
        "contains a link 'howto.md#missing'",
        "contains a link '#missing-here'",
        "'missing.py'",
        "docs/forgotten.md",
        "Aborted with 5 warnings in strict mode",
    ):
        assert complaint in told


def test_a_page_loads_files_of_the_site_and_of_no_other_host(site):
    class Loads(HTMLParser):
        def handle_starttag(self, tag, attributes):
            if tag in ("script", "img", "link"):
                loaded.update(value for name, value in attributes if name in ("src", "href"))

    for at in ("index.html", "docs/howto/index.html"):
        loaded = set()
        Loads().feed((site / at).read_text("utf-8"))
        files = {target for target in loaded if not target.startswith("#")}
        assert any(target.endswith(".css") for target in files)
        assert [target for target in files if not ((site / at).parent / target).exists()] == []
