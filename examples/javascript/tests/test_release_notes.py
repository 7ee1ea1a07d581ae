import pytest

from pytest_airssys_wasm import Err, Ok, OutOfFuel, OutOfMemory, Record

pytestmark = pytest.mark.component("../release-notes.wasm", world="../wit/world.wit#release-notes")

NOTES = """
## Añadido: más!

- A `--dry-run` & **more**
- [docs](https://example.org/x)

Some <b>text</b>
over two lines.

## Fixed
"""


def test_sections_come_with_slug_and_html(component):
    assert component.render(NOTES) == Ok(
        [
            Record(
                title="Añadido: más!",
                slug="anadido-mas",
                html="<ul><li>A <code>--dry-run</code> &amp; <strong>more</strong></li>"
                '<li><a href="https://example.org/x">docs</a></li></ul>\n'
                "<p>Some &lt;b&gt;text&lt;/b&gt; over two lines.</p>",
            ),
            Record(title="Fixed", slug="fixed", html=""),
        ]
    )


@pytest.mark.parametrize(
    ("title", "slug"), [("C++ & Rust", "c-rust"), ("Ünïcödé", "unicode"), ("日本語 2.0", "日本語-2-0"), ("!?", "")]
)
def test_a_slug_keeps_letters_and_digits_of_any_script(component, title, slug):
    assert component.render(f"## {title}").value[0].slug == slug


def test_a_link_goes_to_the_web_or_nowhere(component):
    (section,) = component.render("## a\n\n[x](javascript:alert) [y](https://example.org)").value
    assert section.html == '<p>[x](javascript:alert) <a href="https://example.org">y</a></p>'


def test_markup_in_the_notes_is_escaped(component):
    (section,) = component.render('## a\n\n[y](https://e.org/"><script>)').value
    assert section.html == '<p><a href="https://e.org/&quot;&gt;&lt;script&gt;">y</a></p>'


def test_text_before_the_first_section_is_refused(component):
    assert component.render("hello") == Err("the notes begin with text, not with a section (## title)")


def test_a_page_of_notes_costs_less_than_ten_million_fuel(component, limited_store):
    component.render(NOTES * 5)
    assert limited_store.usage.fuel.consumed < 10_000_000


def test_a_note_made_to_be_slow_costs_its_budget_and_no_more(component):
    """The regular expression searches for an end from each bracket to the end of the text."""
    with pytest.raises(OutOfFuel) as stopped:
        component.render("## a\n\n" + "[" * 10_000)
    assert stopped.value.usage.wall_ms < 500


@pytest.mark.fuel(2_000_000_000)
@pytest.mark.timeout_ms(30_000)
def test_javascript_survives_that_memory_is_refused(component, limited_store):
    """QuickJS throws an error, which the binding turns into the err of the result."""
    assert component.render("## a\n\n" + "x\n" * 400_000) == Err("out of memory")
    assert limited_store.usage.denied_growths > 0


def test_notes_that_do_not_even_fit_as_a_string_are_out_of_memory(component):
    with pytest.raises(OutOfMemory):
        component.render("## a\n\n" + "x\n" * 1_500_000)
