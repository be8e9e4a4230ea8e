"""The page as a person uses it: the bar, the overview, sections, themes, narrow screens, paper."""

from pathlib import Path
from typing import Any

import pytest
from page_kit import draw_all, needs_browser, opened, until
from synthetic import make_run

from repflow.report import write_report

pytestmark = needs_browser
SMALL = (
    ("EleutherAI/pythia-160m", "gpt_neox", "TBM", 3, "trained"),
    ("<img src=x onerror=alert(1)>", "mamba", "SSM", 2, "normal:0"),
)
DATA = "document.querySelector('[data-panel=likeness-inter_token_cosine] .plot').data"
LAYOUT = "document.querySelector('[data-panel=likeness-inter_token_cosine] .plot').layout"


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(make_run(tmp_path_factory.mktemp("page"), SMALL, scenes=(("text", 64), ("kvpr", 128))))


def of_kvpr(tab: Any) -> bool:
    return tab.evaluate("[...document.querySelectorAll('tr[data-row] .note')].every(n => n.hidden)")


def test_the_bar_moves_the_overview_and_every_panel(path: Path) -> None:
    with opened(path) as tab:
        assert tab.locator("details.scene[open]").count() == 0
        assert tab.locator("text=onerror=alert(1)").count()
        tab.click("tr[data-row='0'] td >> nth=0")
        until(tab, f"!!{DATA}")
        assert tab.evaluate("location.hash") == "#likeness-inter_token_cosine"
        assert tab.locator("#likeness[open]").count() == 1
        fit = tab.evaluate(f"{LAYOUT}.yaxis.range")
        tab.click("[data-choose=axes] [data-value=whole]")
        until(tab, f"{LAYOUT}.yaxis.range[1] > 1")
        assert fit[1] < 1
        tab.click("[data-choose=variant] [data-value=standardised]")
        until(tab, f"{DATA}.every(t => t.type === 'scatter')")
        assert tab.locator("[data-panel=likeness-inter_token_cosine] .note").is_hidden()
        assert "raw" in tab.locator("tr[data-row='1'] .note").inner_text(), "it has no other variant, and says so"
        before = tab.locator("tr[data-row='0'] .range").inner_text()
        tab.click("#policy [data-value=all]")
        assert tab.locator("tr[data-row='0'] .range").inner_text() != before
        tab.click("[data-choose=task] [data-value=kvpr]")
        assert tab.locator("select[data-choose=context]").input_value() == "128"
        assert of_kvpr(tab) is False
        tab.click(".key >> nth=0")
        until(tab, f"{DATA}.some(t => t.visible === false)")
        assert tab.locator("th[data-s='0']").is_hidden()
        assert tab.locator("tr[data-row='0'] td[data-s='0']").is_hidden()
        assert tab.locator("tr[data-row='0'] td[data-s='1']").is_visible()


def test_themes_and_keys(path: Path) -> None:
    with opened(path, color_scheme="dark") as tab:
        tab.locator("#likeness > summary").focus()
        tab.keyboard.press("Enter")
        until(tab, f"!!{DATA}")
        assert tab.evaluate(f"{LAYOUT}.paper_bgcolor") == "#14171c"
        tab.select_option("select[data-choose=theme]", "light")
        until(tab, f"{LAYOUT}.paper_bgcolor === '#fff'")
        assert tab.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        numbers = tab.locator("[data-panel=likeness-inter_token_cosine] .as-table")
        numbers.locator("summary").click()
        until(tab, "document.querySelectorAll('[data-panel=likeness-inter_token_cosine] .as-table tr').length > 5")
        assert "embed" in numbers.inner_text()


def test_a_narrow_screen_and_paper(path: Path) -> None:
    with opened(path, viewport={"width": 390, "height": 800}) as tab:
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390
        draw_all(tab)
        until(tab, "[...document.querySelectorAll('.plot')].every(plot => plot.querySelector('.main-svg, .absent'))")
        assert tab.locator("details.scene:not([open])").count() == 0
        tab.evaluate("window.dispatchEvent(new Event('afterprint'))")
        assert tab.locator("details.scene[open]").count() == 0
        assert tab.evaluate("document.documentElement.scrollWidth") <= 390


def test_more_than_eight_subjects_are_shown_by_kind(tmp_path: Path) -> None:
    many = tuple((f"zoo:{kind}-{n}", "x", kind, 2, "trained") for kind in ("TBM", "SSM") for n in range(5))
    with opened(write_report(make_run(tmp_path, many, pairs=False))) as tab:
        heads = tab.locator(".multiples thead .who").all_inner_texts()
        assert heads == ["Transformers (5)", "state-space models (5)"]
        assert tab.locator("tr[data-row='0'] td >> nth=0").locator("path.own").count() == 5
        tab.click(".chip.kind >> nth=1")
        assert tab.locator("tr[data-row='0'] td >> nth=1").locator("path.own:visible").count() == 0
        tab.click(".menu summary")
        assert tab.locator(".menu .key[aria-pressed=false]").count() == 5
        tab.keyboard.press("Escape")
        assert tab.locator(".menu > div").is_hidden()


def test_without_scripts_answers_overview_and_tables_stand(path: Path) -> None:
    with opened(path, java_script_enabled=False) as tab:
        assert tab.locator("tr[data-row='0'] path.own").count() == len(SMALL)
        assert tab.locator("noscript p").is_visible()
