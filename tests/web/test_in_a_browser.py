"""The page in Chromium: a video is sent, and the answer is read from the page, in light and dark, on a phone too."""

import importlib.util
import shutil
import time

import pytest
from made import paged
from made.paged import needs_web

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = [
    pytest.mark.slow,
    needs_web,
    pytest.mark.skipif(CHROMIUM is None, reason="needs chromium, a program"),
    pytest.mark.skipif(importlib.util.find_spec("playwright") is None, reason="needs the package playwright"),
]


@pytest.fixture(scope="module")
def url(answers, tmp_path_factory):
    with paged.served(answers, tmp_path_factory.mktemp("sent"), str, megabytes=1) as server:
        yield server.url


@pytest.fixture(scope="module")
def chromium():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(params=[("light", 1100), ("dark", 390)], ids=["light", "dark on a phone"])
def page(request, chromium, url):
    """A page of a browser, on which nothing may go wrong, and which may ask this server alone."""
    scheme, width = request.param
    context = chromium.new_context(color_scheme=scheme, viewport={"width": width, "height": 800})
    page, wrong = context.new_page(), []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda asked: None if asked.url.startswith((url, "data:")) else wrong.append(asked.url))
    page.goto(url)
    until(page, "document.getElementById('footer').textContent")
    yield page
    assert wrong == []
    context.close()


def until(page, expression):
    """Waits until an expression holds. Playwright's own way evaluates text in the page, which its policy forbids."""
    for _ in range(600):
        if page.evaluate(expression):
            return
        time.sleep(0.05)
    raise TimeoutError(expression)


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_a_video_is_sent_and_the_answer_read(page, made, answers):
    assert fits(page)
    page.set_input_files("#file", made.folder / "a.mp4")
    page.wait_for_selector("#answer:not([hidden])", timeout=60_000)
    alone = answers.classifier(str(made.folder / "a.mp4"))
    rows = page.locator("#labels tbody tr").all_inner_texts()
    assert [row.split() for row in rows] == [
        [each.label, f"{100 * each.probability:.1f}", "%"] for each in alone.predictions
    ]
    assert page.title() == "a.mp4: keras_i3d"
    assert page.evaluate("document.activeElement.id") == "labels-title"  # where a screen reader continues
    assert page.locator("#lanes .lane").count() == 3
    assert page.locator("#segments tbody tr").count() >= 1
    page.wait_for_selector("#film-figure:not([hidden])", timeout=60_000)
    until(page, "document.getElementById('film').readyState >= 2")  # Chromium plays it

    page.focus("#moment")
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    assert page.inner_text("#clock") == "0:00.12 of 0:00.56"
    until(page, "Math.abs(document.getElementById('film').currentTime - 0.12) < 0.001")
    assert page.get_attribute("#moment", "aria-valuetext").startswith("0.12 of 0.56 seconds: ")

    page.select_option("#evidence-label", "2")
    page.click("#evidence-button")
    page.wait_for_selector("#sums:not([hidden])", timeout=60_000)
    assert page.inner_text("#sums-words").startswith("up in the whole video: ")
    numbers = page.locator("#sums tbody tr").nth(0).locator("td").all_inner_texts()
    assert float(numbers[0]) + float(numbers[1]) == pytest.approx(float(numbers[2]), abs=0.0021)
    assert page.locator("#steps rect").count() >= 2
    until(page, "document.getElementById('evidence-film').readyState >= 2")
    assert fits(page)

    page.reload()  # the video is still there
    page.wait_for_selector("#answer:not([hidden])", timeout=60_000)
    assert page.locator("#labels tbody tr").all_inner_texts() == rows
    page.click("#another")
    page.wait_for_selector("#choose:not([hidden])")
    assert page.url.count("#") == 0


def test_what_is_wrong_is_said_by_the_page(page, tmp_path):
    (tmp_path / "<b>words.mp4").write_text("no pictures " * 99)
    page.set_input_files("#file", tmp_path / "<b>words.mp4")
    page.wait_for_selector("#problem:not([hidden])", timeout=60_000)
    assert page.inner_text("#problem").startswith("<b>words.mp4: ")
    assert page.is_visible("#choose")
    (tmp_path / "large.mp4").write_bytes(b"x" * 1_000_001)
    page.set_input_files("#file", tmp_path / "large.mp4")
    assert page.inner_text("#problem") == "large.mp4: the file is larger than the limit of this server, 1 MB"
    page.keyboard.press("Tab")
    assert page.evaluate("document.querySelector(':focus-visible') !== null")


def test_a_connection_that_was_cut_for_a_moment(chromium, url, made):
    """The line goes away when the server answers again, and what was under way is shown."""
    context = chromium.new_context()
    page = context.new_page()
    page.goto(url)
    until(page, "document.getElementById('footer').textContent")
    page.set_input_files("#file", made.folder / "a.mp4")
    page.wait_for_selector("#work:not([hidden])")
    until(page, "location.hash")
    context.set_offline(True)
    page.wait_for_selector("#problem:not([hidden])")
    assert page.inner_text("#problem") == "The server does not answer. Is it still running?"
    context.set_offline(False)
    page.wait_for_selector("#film-figure:not([hidden])", timeout=60_000)
    assert page.is_hidden("#problem")
    page.click("#another")
    context.close()


# Of text on its ground, by the formula of the Web Content Accessibility Guidelines.
CONTRAST = """() => {
  const light = (text) => {
    const [r, g, b] = text.match(/[\\d.]+/g).map((v) => v / 255)
      .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (let each = element; each; each = each.parentElement) {
      const colour = getComputedStyle(each).backgroundColor;
      if (!/, 0\\)$/.test(colour)) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  document.querySelectorAll("[hidden]").forEach((element) => { element.hidden = false; });
  document.getElementById("problem").textContent = "wrong";
  return [...document.querySelectorAll("p, h1, h2, th, td, a, button, .button, caption, select, output")]
    .filter((element) => element.textContent.trim() && element.offsetWidth > 1)
    .map((element) => {
      const both = [light(getComputedStyle(element).color), light(ground(element))].sort((a, b) => b - a);
      return [(both[0] + 0.05) / (both[1] + 0.05), element.tagName + "." + element.className + "#" + element.id];
    }).sort((a, b) => a[0] - b[0])[0];
}"""


def test_words_stand_out(page):
    ratio, where = page.evaluate(CONTRAST)
    assert ratio >= 4.5, where
