"""The report in a real browser: it sorts, filters, opens images, and obeys what people prefer."""

from __future__ import annotations

import json

import pytest
from browser import Browser, find_browser
from report_steps import Panels, Stray
from toys import Best, Bright, Dim, Flood, Paint, Peak, Right, Squares

from segkit import plan
from segkit.comparing.diagnosis import diagnose_plans
from segkit.comparing.sweep import Shown
from segkit.reporting import write_report

PROGRAM = find_browser()

# The page's script can only be tried in a browser, and a browser does not come by pip.
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no Chromium is installed")

NASTY = "</script><img src=x onerror=window.bad=1>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A diagnosis of three recipes on 60 images, of which two cannot be read."""
    directory = tmp_path_factory.mktemp("sweep") / "out"
    end = [Flood(), Best(), Paint(), Right(), Panels()]
    data = Squares(count=60, bad=(1, 3))
    plans = {
        "peak": plan([data, Bright(), Peak(), *end]),
        "right-of-it": plan([data, Bright(), Peak(dx=3), *end]),
        "off": plan([data, Bright(), Dim(), Stray(), *end]),
    }
    diagnose_plans(plans, directory, None, Shown(sort_by="right"))
    # What a file may be called on the disk of a person who means no good.
    path = directory / "recipes" / "peak" / "results.jsonl"
    line = {"name": NASTY, "status": "failed", "error": f"'{NASTY}' is torn", "scores": {}}
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line | {"seconds": {}, "files": []}) + "\n")
    write_report(directory)
    return directory


@pytest.fixture(scope="module")
def browser():
    assert PROGRAM is not None
    with Browser(PROGRAM) as opened:
        yield opened


@pytest.fixture
def page(browser, folder):
    """The page, freshly loaded in a wide window; whatever it complains of fails the test."""
    browser.resize(1280, 900)
    browser.media()
    browser.open(folder / "report.html")
    yield browser
    assert browser.complaints == []
    assert browser.run("window.bad") is None


def cards(page):
    return page.run("[...document.querySelectorAll('.card b')].map(b => b.textContent)")


def choose(page, selector, value):
    """Set a form's field, as its user would."""
    page.run(
        f"(() => {{ const field = document.querySelector({json.dumps(selector)});"
        f"field.value = {json.dumps(value)};"
        "field.dispatchEvent(new Event('input', {bubbles: true}));"
        "field.dispatchEvent(new Event('change', {bubbles: true})); })()"
    )


def active(page):
    return page.run("document.activeElement.dataset.open || document.activeElement.id")


def test_it_needs_nothing_but_itself(page, folder):
    assert page.requests == [(folder / "report.html").resolve().as_uri()]
    assert page.run("document.querySelectorAll('h1').length") == 1
    ids = page.run("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))
    page.run("document.querySelector('#cards').scrollIntoView({behavior: 'instant'})")
    loaded = "[...document.images].slice(0, 4).map(i => i.decode().then(() => i.naturalWidth))"
    assert page.run(f"Promise.all({loaded})") == [80] * 4


def test_every_field_and_button_has_a_name(page):
    nameless = page.run(
        "[...document.querySelectorAll('button, input, select, img, svg[role=img], table')]"
        ".filter(e => !(e.textContent.trim() || e.alt || e.ariaLabel || e.labels?.length))"
        ".map(e => e.outerHTML.slice(0, 80))"
    )
    assert nameless == []


@pytest.mark.parametrize("how", ["mouse", "Enter", " "])
def test_a_column_sorts_the_table(page, how):
    rows = "[...document.querySelectorAll('table.board tbody th')].map(h => h.dataset.value)"
    head = "table.board thead th:nth-child(2)"
    assert page.run(rows) == ["peak", "right-of-it", "off"]

    def press():
        if how == "mouse":
            page.click(f"{head} button")
        else:
            page.run(f"document.querySelector('{head} button').focus()")
            page.press(how)

    press()
    assert page.run(rows) == ["off", "peak", "right-of-it"]
    assert page.run(f"document.querySelector('{head}').ariaSort") == "ascending"
    assert page.run("document.querySelectorAll('table.board [aria-sort]').length") == 1
    press()
    assert page.run(rows) == ["right-of-it", "peak", "off"]
    assert page.run(f"document.querySelector('{head}').ariaSort") == "descending"


def test_figures_sort_as_numbers_the_best_first(page):
    column = "[...document.querySelectorAll('table.board tbody td:nth-child(3)')]"
    page.click("table.board thead th:nth-child(3) button")
    found = page.run(f"{column}.map(c => Number(c.dataset.value))")
    assert found == sorted(found, reverse=True)
    assert found[0] > found[-1]


def test_more_images_come_when_asked_for(page):
    assert len(cards(page)) == 48
    page.run("document.querySelector('#more').focus()")
    page.press("Enter")
    found = cards(page)
    assert len(found) == len(set(found)) == 61
    assert not page.run("document.querySelector('#more').checkVisibility()")
    assert active(page) == found[48]


def test_images_are_found_by_name(page):
    choose(page, "#find", "SQUARE-5")
    assert sorted(cards(page)) == sorted(["square-5", *(f"square-{i}" for i in range(50, 60))])
    assert page.run("document.querySelector('#count').textContent") == (
        "11 of 11 images that fit, of 61 in all"
    )
    choose(page, "#find", "nothing like it")
    assert cards(page) == []
    assert page.run("document.querySelector('#count').textContent") == "No image fits."


def test_only_the_failed_ones(page):
    page.click("#failed-only")
    assert cards(page) == ["square-1", "square-3", NASTY]
    choose(page, "#shown-recipe", "1")
    assert cards(page) == ["square-1", "square-3"]


def test_the_order_is_by_the_score(page, folder):
    lines = (folder / "recipes" / "off" / "results.jsonl").read_text().splitlines()
    by_name = {one["name"]: one["scores"].get("right") for one in map(json.loads, lines)}
    choose(page, "#shown-recipe", "2")
    for order, sign in (("worst", 1), ("best", -1)):
        choose(page, "#order", order)
        found = [sign * by_name[name] for name in cards(page)]
        assert found == sorted(found)
        assert len(set(found)) > 1


def test_two_recipes_side_by_side_the_most_different_first(page, folder):
    def scores(recipe):
        lines = (folder / "recipes" / recipe / "results.jsonl").read_text().splitlines()
        return {one["name"]: one["scores"].get("right") for one in map(json.loads, lines)}

    peak, off = scores("peak"), scores("off")
    choose(page, "#other", "2")
    choose(page, "#order", "difference")
    found = cards(page)
    apart = [abs(peak[name] - off[name]) for name in found]
    assert apart == sorted(apart, reverse=True)
    assert apart[0] > 0
    first = "document.querySelector('.card')"
    labels = page.run(f"[...{first}.querySelectorAll('.label')].map(l => l.textContent)")
    assert labels == ["photo", "peak · mask", "off · mask"]  # the photo that they share once


def test_an_image_opens_large_by_keyboard(page):
    names = cards(page)
    page.run("document.querySelector('.card').focus()")
    page.press("Enter")
    assert page.run("document.querySelector('#large').open")
    assert page.run("document.querySelector('#large').contains(document.activeElement)")
    name = "document.querySelector('#large-name').textContent"
    assert page.run(name) == names[0]
    page.press("ArrowRight")
    assert page.run(name) == names[1]
    page.press("ArrowLeft")
    page.press("ArrowLeft")
    assert page.run("document.querySelector('#large-place').textContent") == "61 of 61"
    rows = page.run("[...document.querySelectorAll('#large-body th')].map(h => h.textContent)")
    assert set(rows) <= {"peak", "right-of-it", "off"}
    page.press("ArrowRight")
    command = page.run("document.querySelector('#large-body code').textContent")
    assert command.startswith("segkit review out/recipes/")
    assert command.endswith(f" --image {names[0]}")
    page.press("Escape")
    assert not page.run("document.querySelector('#large').open")
    assert active(page) == names[0]  # where one was before


def staged(page):
    """What is seen at full width: the words for who cannot see it, and its width."""
    return page.run(
        "[...document.querySelectorAll('#stage img')].filter(i => i.checkVisibility())"
        ".map(i => [i.alt, i.getBoundingClientRect().width])"
    )


def test_an_image_opens_at_full_width_and_m_takes_its_mask_off(page):
    choose(page, "#order", "")
    page.click("[data-open='square-6'].card")
    ((words, width),) = staged(page)
    assert words.startswith("square-6: ")
    assert words.endswith("mask")
    room = page.run("document.querySelector('#large-body').getBoundingClientRect().width")
    assert width == room > 1000
    for times in (1, 2):
        page.press("m")
        assert [words for words, _ in staged(page)] == ["square-6: photo"]
        assert page.run("document.querySelector('#mask').ariaPressed") == "false"
        page.press("ArrowRight" if times == 1 else "ArrowLeft")
        (words,) = (words for words, _ in staged(page))
        assert words.endswith(": photo")  # it stays off from image to image
        page.press("m")
        (words,) = (words for words, _ in staged(page))
        assert words.endswith("mask")
        page.press("ArrowLeft" if times == 1 else "ArrowRight")
    page.press("f")
    height = "document.querySelector('#stage img:not([hidden])').getBoundingClientRect().bottom"
    assert page.run(height) <= 900
    page.press("f")


def test_another_recipes_mask_is_shown_by_a_click(page):
    page.click("[data-open='square-0'].card")
    page.click("#large-body .tiles + .tiles button:last-child")
    assert [words for words, _ in staged(page)] == ["square-0: off · mask"]
    page.click("#mask")
    assert [words for words, _ in staged(page)] == ["square-0: photo"]
    page.click("#mask")
    assert [words for words, _ in staged(page)] == ["square-0: off · mask"]


def test_masks_are_ordered_by_their_scores(page, folder):
    lines = (folder / "recipes" / "peak" / "results.jsonl").read_text().splitlines()
    least = {
        one["name"]: min(mask["score"] for mask in one["masks"])
        for one in map(json.loads, lines)
        if one.get("masks")
    }
    for order, sign in (("unsure", 1), ("sure", -1)):
        choose(page, "#order", order)
        shown = cards(page)[:48]
        found = [sign * least[name] for name in shown if name in least]
        assert len(found) > 40
        assert found == sorted(found)


def test_without_scripts_all_pictures_are_there(browser, folder):
    browser.resize(1280, 900)
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(folder / "report.html")
        root = browser.send("DOM.getDocument")["root"]["nodeId"]

        def seen(selector):
            found = browser.send("DOM.querySelectorAll", nodeId=root, selector=selector)
            return found["nodeIds"]

        cards = seen("#cards a.card")
        assert len(cards) == 58  # two cannot be read
        assert len(seen("#cards img")) == len(seen("#cards a.card img")) >= 2 * 58
        box = browser.send("DOM.getBoxModel", nodeId=seen("#cards img")[0])["model"]
        assert box["width"] > 50
        browser.send("DOM.getBoxModel", nodeId=seen("noscript p")[0])  # it is drawn
        with pytest.raises(RuntimeError, match="box model"):
            browser.send("DOM.getBoxModel", nodeId=seen("#filters")[0])
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)


def test_the_large_image_leads_to_its_file(page, folder):
    page.click("[data-open='square-0'].card")
    links = page.run("[...document.querySelectorAll('#large-body a')].map(a => a.href)")
    names = ("peak", "right-of-it", "off")
    paths = [folder / "recipes" / name / "overlay" / "square-0.jpg" for name in names]
    assert sorted(links) == sorted(path.resolve().as_uri() for path in paths)
    page.click("#close")
    assert not page.run("document.querySelector('#large').open")


def test_a_diagnosed_image_opens_from_its_table(page):
    name = page.run("document.querySelector('button.link').dataset.open")
    page.click("button.link")
    assert page.run("document.querySelector('#large-name').textContent") == name


def test_a_failed_image_says_why(page):
    page.click("#failed-only")
    page.click(".card")
    text = page.run("document.querySelector('#large-body').innerText")
    assert "square-1: the file is torn; replace it" in text
    assert "No picture of it is in this page." in text


def test_a_distribution_of_one_recipe(page):
    rows = "[...document.querySelectorAll('.distribution tbody tr')]"
    seen = f"{rows}.filter(r => r.checkVisibility()).map(r => r.dataset.recipe)"
    assert page.run(seen) == ["peak", "right-of-it", "off"]
    choose(page, "#distribution", "off")
    assert page.run(seen) == ["off"]
    choose(page, "#distribution", "")
    assert len(page.run(seen)) == 3


@pytest.mark.parametrize(("scheme", "dark"), [("light", False), ("dark", True)])
def test_light_and_dark(page, scheme, dark):
    page.media(prefers_color_scheme=scheme)
    brightness = (
        "(what) => getComputedStyle(document.body)[what].match(/[0-9]+/g).slice(0, 3)"
        ".reduce((sum, n) => sum + Number(n), 0)"
    )
    paper = page.run(f"({brightness})('backgroundColor')")
    ink = page.run(f"({brightness})('color')")
    assert (paper < ink) == dark
    assert abs(paper - ink) > 400


def test_reduced_motion_is_respected(page):
    motion = "getComputedStyle(document.documentElement).scrollBehavior"
    page.media(prefers_reduced_motion="no-preference")
    assert page.run(motion) == "smooth"
    page.media(prefers_reduced_motion="reduce")
    assert page.run(motion) == "auto"


@pytest.mark.parametrize("width", [320, 400, 800])
def test_a_narrow_screen_need_not_scroll_sideways(page, width):
    page.resize(width, 800)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.click(".card")
    assert page.run("document.querySelector('#large').scrollWidth") <= width


def test_a_leaderboard_of_many_figures_fits_a_usual_window(browser, folder, tmp_path):
    """At 1,300 pixels none of them is cut off, closed tables opened too."""
    board = json.loads((folder / "leaderboard.json").read_text())
    names = ["boundary-iou", "hit-rate", "mean-class-dice", "distance-relative", "class-hit-rate"]
    for row in board["rows"]:
        score = {"mean": 0.12345, "low": 0.1, "high": 0.2}
        row["scores"] |= {f"{name}{n}": score for n in ("", "-2", "-3", "-4") for name in names}
        row["recipe"] = f"saliency-and-prompt-of-{row['recipe']},k=3-background=on"
        row["seconds"] = {"sam": 1.5}
    board["rows"][0]["failed"] = 12
    (tmp_path / "leaderboard.json").write_text(json.dumps(board))
    browser.resize(1300, 900)
    browser.open(write_report(tmp_path))
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    tables = "[...document.querySelectorAll('section[aria-labelledby=leaderboard] .scroll')]"
    assert browser.run(f"{tables}.length") == 5  # the board, the pairs, 21 figures by eight
    wide = browser.run(f"{tables}.filter(t => t.scrollWidth > t.clientWidth).length")
    assert wide == 0
    assert browser.run("document.documentElement.scrollWidth") <= 1300


def test_the_focus_is_seen(page):
    page.run("document.body.focus()")
    page.press("Tab")
    style = page.run("getComputedStyle(document.activeElement).outlineStyle")
    assert style == "solid"


def test_a_single_run_has_no_recipes_to_choose(browser, folder):
    directory = folder / "recipes" / "off"
    browser.open(write_report(directory))
    assert browser.complaints == []
    assert len(cards(browser)) == 48
    assert not browser.run("document.querySelector('#shown-recipe').checkVisibility()")
    assert browser.run("document.querySelector('#order').checkVisibility()")
