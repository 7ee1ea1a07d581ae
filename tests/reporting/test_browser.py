"""The page in a browser, where Chromium and Selenium are installed."""

from __future__ import annotations

import shutil

import pytest

from pytest_airssys_wasm.reporting.html import render
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
    def show(shown):
        (tmp_path / "report.html").write_text(render(shown), "utf-8")
        browser.get((tmp_path / "report.html").as_uri())
        assert browser.get_log("browser") == []
        return browser

    return show


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
    assert len(browser.find_elements("css selector", "#exports th[aria-sort=none]")) == 8


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
    assert len(browser.find_elements("css selector", "#bars svg")) == 2
    assert len(browser.find_elements("css selector", ".lane .bad")) == 1
    assert browser.find_elements("css selector", "img") == []


@pytest.mark.parametrize("width", [360, 1280])
def test_nothing_is_wider_than_the_window(show, width):
    long = "nowhere_to_break_a_line" * 20
    browser = show(
        report(
            tests=[outcome(test=long, reason=long)],
            executions=[execution(test=long, component=long, export=long, fuel_consumed=2**64 - 1, fuel_limit=None)],
        )
    )
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": True}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
