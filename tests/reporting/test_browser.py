"""The page in a browser, where Chromium and Selenium are installed."""

from __future__ import annotations

import re
import shutil

import pytest

from pytest_airssys_wasm.reporting import flamegraph
from pytest_airssys_wasm.reporting.anchors import Anchors
from pytest_airssys_wasm.reporting.changes import changes_since
from pytest_airssys_wasm.reporting.html import render
from pytest_airssys_wasm.reporting.memory_timeline import MemoryStep, MemoryTimeline
from support.records import HOSTILE, execution, outcome, report

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    if CHROMIUM is None or DRIVER is None:
        pytest.skip("needs chromium and chromedriver")
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-sync"):
        options.add_argument(f"--{argument}")
    options.add_argument("--disable-background-networking")
    options.add_argument("--disable-component-update")
    options.add_argument(f"--user-data-dir={tmp_path_factory.mktemp('profile')}")
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    yield driver
    driver.quit()


@pytest.fixture
def show(browser, tmp_path):
    def show(shown, changes=None):
        (tmp_path / "report.html").write_text(render(shown, changes), "utf-8")
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.get_log("browser") == []
        return browser

    return show


def wait(browser):
    from selenium.webdriver.support.wait import WebDriverWait

    return WebDriverWait(browser, 60)


def texts(browser, selector):
    script = "return Array.from(document.querySelectorAll(arguments[0]), (e) => e.checkVisibility() ? e.innerText : '')"
    return [text for text in browser.execute_script(script, selector) if text]


def test_a_click_or_a_key_sorts_the_table(show):
    fuel = {"a": 5, "b": 1_000, "c": 30}
    browser = show(report(executions=[execution(export=name, fuel_consumed=n) for name, n in fuel.items()]))
    button = browser.find_elements("css selector", "#exports thead button")[4]
    orders = []
    for press in (button.click, lambda: button.send_keys("\ue007"), lambda: button.send_keys(" ")):
        press()
        state = browser.execute_script("return arguments[0].parentElement.ariaSort", button)
        orders.append((state, "".join(texts(browser, "#exports tbody code"))))
    assert orders == [("descending", "bca"), ("ascending", "acb"), ("descending", "bca")]
    assert len(browser.find_elements("css selector", "#exports th[aria-sort=none]")) == 9


def test_tests_are_filtered_by_outcome_and_text(show):
    tests = [outcome(test=f"test_{n}", outcome="failed" if n < 3 else "passed") for n in range(150)]
    browser = show(report(tests=tests))
    assert len(texts(browser, "#test-list code")) == 100
    browser.find_element("id", "show-all").click()
    assert len(texts(browser, "#test-list code")) == 150
    browser.find_element("css selector", "input[value=failed]").click()
    assert texts(browser, "#test-list code") == ["test_0", "test_1", "test_2"]
    browser.find_element("css selector", "input[type=search]").send_keys("TEST_1")
    assert texts(browser, "#test-list code") == ["test_1"]
    assert texts(browser, "output") == ["1 shown"]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_runs_nothing_and_the_plots_are_drawn(show, name):
    browser = show(
        report(
            tests=[outcome(test=name, outcome="failed", reason=name)],
            executions=[execution(test=name, component=name, export=name, message=name, verdict="trap")],
        )
    )
    assert len(browser.find_elements("css selector", "#components .bar svg")) == 2
    assert len(browser.find_elements("css selector", ".lane .bad")) == 1
    assert browser.find_elements("css selector", "img") == []


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_nothing_is_wider_than_the_window(show, width):
    long = "nowhere_to_break_a_line" * 20
    widest = dict(test=long, component=long, export=long, fuel_limit=None)
    earlier = report(tests=[outcome(test=long)], executions=[execution(**widest)])
    now = report(
        tests=[outcome(test=long, reason=long, outcome="failed")],
        executions=[execution(**widest, fuel_consumed=2**64 - 1)],
    )
    browser = show(now, changes_since(earlier, now, long))
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def in_components(browser):
    return texts(browser, "#components .label code")


def test_one_search_finds_exports_and_tests_and_the_keyboard_reaches_it(show):
    browser = show(
        report(
            tests=[outcome(test=f"test_{name}") for name in ("open", "close")],
            executions=[execution(test=f"test_{name}", export=name) for name in ("open", "close")],
        )
    )
    browser.find_element("css selector", "body").send_keys("/")
    field = browser.switch_to.active_element
    assert field.get_attribute("type") == "search"
    field.send_keys("open")
    assert (in_components(browser), texts(browser, "#test-list code")[:1]) == (["open"], ["test_open"])
    field.send_keys("\ue007")  # Enter
    browser.switch_to.active_element.send_keys(" ")
    assert texts(browser, "details[open][data-outcome] > summary code") == ["test_open"]
    field.send_keys("\ue00c")  # Escape
    assert in_components(browser) == ["close", "open"]


def test_a_link_shows_what_it_leads_to_whatever_is_filtered(show):
    tests = [outcome(test=f"test_{n}") for n in range(150)]
    browser = show(report(tests=tests, executions=[execution(test="test_149")]))
    browser.find_element("css selector", "input[type=search]").send_keys("test_3")
    browser.execute_script("location.hash = arguments[0]", Anchors.of("test", "test_149"))
    wait(browser).until(lambda _: texts(browser, "details[open][data-outcome] summary code"))
    assert texts(browser, "details[open][data-outcome] summary code") == ["test_149"]
    browser.get(browser.current_url.split("#")[0] + "#" + Anchors.of("test", "test_120"))
    browser.refresh()
    assert texts(browser, "details[open][data-outcome] summary code") == ["test_120"]


def test_each_bar_leads_to_the_test_of_its_call(show):
    browser = show(report(tests=[outcome(test="t")], executions=[execution(test="t")]))
    browser.find_element("css selector", ".bar a").click()
    wait(browser).until(lambda _: texts(browser, "details[open][data-outcome] summary code"))
    browser.find_element("css selector", "details[open] li a").click()
    assert browser.execute_script("return document.querySelector(':target').className") == "export"


def test_failures_are_open_on_paper(show):
    browser = show(report(tests=[outcome(test="t", outcome="failed"), outcome(test="u")]))
    browser.execute_script("window.dispatchEvent(new Event('beforeprint'))")
    assert texts(browser, "details[open][data-outcome] summary code") == ["t"]
    browser.execute_script("window.dispatchEvent(new Event('afterprint'))")
    assert texts(browser, "details[open][data-outcome] summary code") == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_told_from_its_ground_in_both_schemes(show, scheme):
    browser = show(report(tests=[outcome(outcome="failed", reason="no")], executions=[execution()]))
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    colours = browser.execute_script("""
        const style = getComputedStyle(document.body), link = getComputedStyle(document.querySelector(".bar a"));
        return [style.color, style.backgroundColor, link.color];
    """)
    text, ground, muted = (luminance(colour) for colour in colours)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})
    assert (ground > text) == (scheme == "light")
    for one in (text, muted):
        assert (max(one, ground) + 0.05) / (min(one, ground) + 0.05) >= 4.5  # WCAG 2.1, 1.4.3


def test_the_tables_fit_on_paper(show):
    most = dict(fuel_consumed=2**40, fuel_limit=2**41, verdict="out-of-memory", export="demo:kv/store@1.0.0#parse")
    browser = show(report(executions=[execution(**most)]))
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    paper = {"width": 718, "height": 1000, "deviceScaleFactor": 1, "mobile": False}  # A4 within its margins
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    widest = browser.execute_script("return document.querySelector('#exports table').getBoundingClientRect().right")
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert widest <= 718


def luminance(colour):
    """The relative luminance of a colour such as `rgb(1, 2, 3)`, as WCAG 2.1 defines it."""
    shares = [int(number) / 255 for number in re.findall(r"\d+", colour)[:3]]
    linear = [one / 12.92 if one <= 0.04045 else ((one + 0.055) / 1.055) ** 2.4 for one in shares]
    return sum(weight * one for weight, one in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_names_in_a_flame_graph_are_cut_to_their_boxes_and_come_back_with_room(browser, tmp_path):
    long = "a_function_with_a_very_long_name"
    stacks = {("main", long): 12, ("main", "narrow"): 1, ("main", "rest"): 87}
    (tmp_path / "profile.html").write_text(flamegraph.page(stacks, title="f", total=100, samples=400), "utf-8")
    browser.set_window_size(1000, 700)
    browser.get((tmp_path / "profile.html").as_uri())
    assert browser.get_log("browser") == []
    script = "return Array.from(document.querySelectorAll('.box'), (e) => [e.getAttribute('aria-label'), e.querySelector('text').textContent])"
    labels = {name.partition(":")[0]: text for name, text in browser.execute_script(script)}
    assert (labels["main"], labels["narrow"], labels["rest"]) == ("main", "", "rest")
    assert labels[long].endswith("…")
    assert long.startswith(labels[long][:-1])
    box = f"document.querySelector('[aria-label^={long}]')"
    browser.execute_script(f"{box}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))")
    assert browser.execute_script(f"return {box}.querySelector('text').textContent") == long


def test_a_timeline_of_memory_fits_into_a_narrow_window(browser, tmp_path):
    long = "core::iter::traits::iterator::Iterator::collect::h0123456789abcdef"
    step = MemoryStep(fuel=40, memory_bytes=2**20, refused=1, functions=(long, long, long))
    memory = MemoryTimeline(initial_bytes=65_536, steps=(step,), is_complete=True)
    text = flamegraph.page({("f",): 100}, title="f", total=100, samples=400, memory=memory)
    (tmp_path / "profile.html").write_text(text, "utf-8")
    narrow = {"width": 400, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", narrow)
    browser.get((tmp_path / "profile.html").as_uri())
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 400
    script = "return Array.from(document.querySelectorAll('#memory .level'), (e) => e.getBoundingClientRect().height)"
    low, high = browser.execute_script(script)
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    assert low == pytest.approx(high / 16, rel=0.05)
    assert browser.get_log("browser") == []
