"""report.html in a real browser: an event can be chosen, filters work, nothing is injected, nothing is fetched."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from streamfer.expression import facemaps
from streamfer.records import to_json
from streamfer.reporting import write_formats
from tests.analyses import EVENTS, HOSTILE, write_folder

pytestmark = [pytest.mark.browser, pytest.mark.filterwarnings("ignore::ResourceWarning")]

FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--allow-file-access-from-files",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Chrome]:
    program, driver = shutil.which("chromium") or shutil.which("google-chrome"), shutil.which("chromedriver")
    if not (program and driver):
        message = "needs Chromium and its driver: apt-get install chromium chromium-driver"
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=driver))
    yield chrome
    chrome.quit()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = write_folder(tmp_path_factory.mktemp("out"))
    write_formats(folder, ["html"])
    return folder / "report.html"


def open_report(browser: webdriver.Chrome, report: Path, width: int = 1280) -> None:
    browser.get_log("browser"), browser.get_log("performance")
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    )
    browser.get("about:blank")
    browser.get(report.as_uri())
    WebDriverWait(browser, 20).until(lambda b: len(b.find_elements(By.CSS_SELECTOR, ".plot svg")) > 0)


def rows(browser: webdriver.Chrome) -> list[str]:
    # in one step: the page replaces its rows, and an element asked for twice may be gone
    return browser.execute_script(
        "return [...document.querySelectorAll('#events tbody tr')].map(row => row.dataset.id)"
    )


def test_a_click_shows_pictures_tables_and_words(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.find_element(By.CSS_SELECTOR, "tr[data-id='P1-micro-1200']").click()
    detail = browser.find_element(By.ID, "detail")
    WebDriverWait(browser, 10).until(
        lambda b: (
            b.execute_script(
                "return [...document.querySelectorAll('#detail img')].filter(i => i.naturalWidth > 0).length"
            )
            == 3
        )
    )
    for expected in (
        "micro",
        "lip corner puller",
        "left",
        "2.5",
        "up-right",
        "happiness",
        "claims match the evidence",
        "talking",
        "Recogniser of micro-expressions: positive, 71 % (net 1",
    ):
        assert expected in detail.text, expected
    assert HOSTILE in detail.text, "hostile text is shown as text"
    cells = [cell.text for cell in detail.find_elements(By.CSS_SELECTOR, "tbody tr:first-child td")][:5]
    assert cells == ["AU12 lip corner puller", "left", "2.5 C", "+2.0", "0.4"], "the curve's own reading stands beside"


def test_a_click_on_a_mark_of_a_lane_chooses_its_event(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.execute_script(
        "const p = document.querySelectorAll('.plot')[1]; const i = p.data.findIndex(t => t.name === 'macro');"
        "p.emit('plotly_click', {points: [{customdata: p.data[i].customdata[0]}]});"
    )
    assert "P2" in browser.find_element(By.CSS_SELECTOR, "#detail h2").text


def test_the_close_up_shows_the_event_frame_by_frame(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.find_element(By.CSS_SELECTOR, "tr[data-id='P1-micro-1200']").click()
    path = browser.find_element(By.CSS_SELECTOR, ".close-up path").get_attribute("d")
    assert len(path.replace("L", "M").split("M")) - 1 == 72, "from 0 s, where the video begins, to one second after"
    assert browser.find_element(By.CSS_SELECTOR, ".legend").text == "AU12 left, lip corner puller"


def test_curves_can_be_chosen_and_time_zoomed(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    names = "return document.querySelector('.plot').data.filter(t => t.name.startsWith('AU')).map(t => t.name)"
    span = "const r = document.querySelector('.plot').layout.xaxis.range; return r[1] - r[0]"
    before = browser.execute_script(names)
    chips = browser.find_elements(By.CSS_SELECTOR, ".lane:first-child .chip[aria-pressed]")
    off = next(chip for chip in chips if chip.get_attribute("aria-pressed") == "false" and chip.is_displayed())
    off.click()
    assert set(browser.execute_script(names)) == {*before, off.text}
    whole = browser.execute_script(span)
    browser.find_element(By.ID, "near").click()
    assert browser.execute_script(span) < whole
    browser.find_element(By.ID, "whole").click()
    assert browser.execute_script(span) == whole


def test_without_plotly_the_events_are_still_there(browser: webdriver.Chrome, tmp_path: Path) -> None:
    folder = write_folder(tmp_path)
    write_formats(folder, ["html"])
    shutil.rmtree(folder.parent / "assets")
    browser.get((folder / "report.html").as_uri())
    assert browser.find_element(By.ID, "no-plot").is_displayed() and len(rows(browser)) == 4
    browser.find_element(By.CSS_SELECTOR, "tbody tr").click()
    assert browser.find_element(By.CSS_SELECTOR, ".close-up").is_displayed()


def test_an_empty_run_says_so(browser: webdriver.Chrome, tmp_path: Path) -> None:
    folder = write_folder(tmp_path, seconds=0.0)
    (folder / "events.jsonl").unlink()
    write_formats(folder, ["html"])
    browser.get((folder / "report.html").as_uri())
    assert "No face was found" in browser.find_element(By.ID, "lanes").text
    assert "No facial action was found" in browser.find_element(By.ID, "no-events").text


def test_unverified_words_are_marked_with_the_reason(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.find_element(By.CSS_SELECTOR, "tr[data-id='P1-macro-2000']").click()
    assert "not verified" in browser.find_element(By.ID, "detail").text
    assert "claims AU99" in browser.find_element(By.ID, "detail").text


def test_filters_narrow_the_table_and_reset(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    assert len(rows(browser)) == 4
    for name, value, left in (
        ("f-person", "P1", ["P1-micro-1200", "P1-macro-2000"]),
        ("f-kind", "macro", ["P1-macro-2000", "P2-macro-4600"]),
        ("f-au", "AU12", ["P1-micro-1200", "P2-macro-4600"]),
        ("f-label", "anger", ["P1-macro-2000"]),
    ):
        Select(browser.find_element(By.ID, name)).select_by_value(value)
        WebDriverWait(browser, 5).until(lambda b, left=left: rows(b) == left, f"{name}={value} does not leave {left}")
        browser.find_element(By.ID, "f-reset").click()
        WebDriverWait(browser, 5).until(lambda b: len(rows(b)) == 4)
    score = browser.find_element(By.ID, "f-score")
    for _ in range(16):
        score.send_keys(Keys.ARROW_RIGHT)
    WebDriverWait(browser, 5).until(lambda b: len(rows(b)) == 2)
    assert rows(browser) == ["P1-macro-2000", "P2-macro-4600"]


def test_table_sorts_and_keys_go_from_event_to_event(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.find_element(By.CSS_SELECTOR, "th button[data-key='apex_s']").click()
    assert rows(browser)[0] == "x-micro-6100"
    browser.find_element(By.CSS_SELECTOR, "tbody tr").click()
    browser.switch_to.active_element.send_keys(Keys.ARROW_DOWN)
    chosen = "tr[aria-current='true']"
    assert browser.find_element(By.CSS_SELECTOR, chosen).get_attribute("data-id") == "P2-macro-4600"
    browser.find_element(By.CSS_SELECTOR, "[aria-label='Event after']").click()
    assert browser.find_element(By.CSS_SELECTOR, chosen).get_attribute("data-id") == "P1-macro-2000"


@pytest.mark.parametrize("width", [1280, 400])
def test_no_sideways_scrolling(browser: webdriver.Chrome, report: Path, width: int) -> None:
    open_report(browser, report, width)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script("const d = document.getElementById('detail'); return d.scrollWidth <= d.clientWidth")
    assert (
        browser.execute_script(
            "return Math.max(...[...document.querySelectorAll('.plot svg')].map(s => s.getBoundingClientRect().right))"
        )
        <= width
    )


def test_nothing_is_injected_fetched_or_broken(browser: webdriver.Chrome, report: Path) -> None:
    open_report(browser, report)
    browser.find_element(By.CSS_SELECTOR, "tbody tr").click()
    assert browser.title == "two people - streamfer"
    assert [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"] == []
    requests = [
        entry["message"]
        for entry in browser.get_log("performance")
        if '"Network.requestWillBeSent"' in entry["message"]
    ]
    assert requests and not [message for message in requests if '"url":"http' in message]


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report whose first event has both maps, with hostile words, and whose second has a CAM only."""
    folder = write_folder(tmp_path_factory.mktemp("mapped"))
    pictures = folder / "keyframes"
    veil = np.zeros((96, 96, 4), np.uint8)
    veil[40:60, 50:70] = (0, 94, 213, 190)
    for event, aus in ((EVENTS[0], ("AU12_L",)), (EVENTS[1], ())):
        words = facemaps.MapWords(
            event.id, "happiness", 0.65, "layercam", ("left mouth corner", HOSTILE), 0.123, aus, 0.71 if aus else None
        )
        (pictures / facemaps.WORDS_FILE.format(event.id)).write_text(to_json(words))
        for name in (facemaps.CAM_FILE, facemaps.CUES_FILE)[: 1 + len(aus)]:
            cv2.imwrite(str(pictures / name.format(event.id)), veil)
    write_formats(folder, ["html"])
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 400])
def test_maps_lie_over_the_apex_picture(browser: webdriver.Chrome, mapped: Path, width: int) -> None:
    open_report(browser, mapped, width)
    browser.find_element(By.CSS_SELECTOR, "tr[data-id='P1-micro-1200']").click()
    loaded = "return [...document.querySelectorAll('#detail .layers img')].filter(i => i.naturalWidth > 0).length"
    WebDriverWait(browser, 10).until(lambda b: b.execute_script(loaded) == 4)
    boxes = browser.execute_script(
        "return [...document.querySelectorAll('#detail .layers')].map(l => [...l.children].map(i => {"
        "const r = i.getBoundingClientRect(); return [r.left, r.top, r.width, r.height].map(Math.round)}))"
    )
    for under, over in boxes:
        assert under == over and under[2] == under[3] > 80
    texts = [layer.get_attribute("aria-label") for layer in browser.find_elements(By.CSS_SELECTOR, "#detail .layers")]
    assert texts[0] == f"Apex picture. What spoke for happiness: strongest at the left mouth corner and {HOSTILE}"
    assert texts[1] == "Apex picture. Where AU12 lip corner puller, left show"
    said = browser.find_element(By.ID, "detail").text
    assert "reads happiness (65 %)" in said and "cosine of 0.71" in said and "12 % of the map" in said
    assert HOSTILE in said and browser.title != "hacked"
    assert browser.execute_script("return document.documentElement.scrollWidth <= window.innerWidth")
    assert not [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


def test_without_a_map_or_without_cues_nothing_is_made_up(browser: webdriver.Chrome, mapped: Path) -> None:
    open_report(browser, mapped)
    layers = "return document.querySelectorAll('#detail .layers').length"
    for event, count in (("P1-macro-2000", 1), ("P2-macro-4600", 0), ("P1-micro-1200", 2)):
        browser.find_element(By.CSS_SELECTOR, f"tr[data-id='{event}']").click()
        assert browser.execute_script(layers) == count, event
        assert ("Where it shows" in browser.find_element(By.ID, "detail").text) == (count > 0)
