"""The viewer's page in a real browser: it loads, filters, draws, and survives hostile rows."""

from __future__ import annotations

import re
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from view_world import N_QUESTIONS, write_many, write_run

from butwait.evals.view.collections import open_view
from butwait.evals.view.server import ViewServer

pytestmark = pytest.mark.browser

TIMEOUT_MS = 20_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = [shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome")]
    path = next((p for p in found if p), None)
    if path is None:
        pytest.skip("no chromium is installed (apt install chromium)")
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as running:
        # As root, in a container, chromium has no sandbox of its own.
        started = running.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield started
        started.close()


def serve(path: Path) -> Iterator[ViewServer]:
    server = ViewServer(lambda: open_view(path))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def run_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ViewServer]:
    yield from serve(write_run(tmp_path_factory.mktemp("page") / "run"))


@dataclass
class Watched:
    """Pages whose errors and requests are kept."""

    browser: Any
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    contexts: list[Any] = field(default_factory=list)

    def open(self, url: str, **options: Any) -> Any:
        context = self.browser.new_context(
            **{"viewport": {"width": 1200, "height": 800}, **options}
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(TIMEOUT_MS)
        page.on("console", lambda m: self.errors.append(m.text) if m.type != "log" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.goto(url)
        return page


@pytest.fixture
def watched(browser: Any) -> Iterator[Watched]:
    """Every test of a page ends with: no error on the console, no request to elsewhere."""
    pages = Watched(browser)
    yield pages
    for context in pages.contexts:
        context.close()
    assert pages.errors == []
    assert [u for u in pages.requests if not re.match(r"(http://127\.0\.0\.1:\d+/|data:)", u)] == []


def opened(page: Any, text: str) -> None:
    """Wait until a row is open whose id holds the text."""
    page.locator("#reader > h2", has_text=text).wait_for()


def eventually(page: Any, expression: str) -> None:
    """Wait until it holds; the page's policy forbids the browser to evaluate text on its own."""
    ends = time.monotonic() + TIMEOUT_MS / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < ends, expression
        page.wait_for_timeout(20)


def found(page: Any, n_rows: int) -> None:
    """Wait until the list has that many rows in all."""
    page.locator("#status", has_text=f"{n_rows} row").wait_for()
    assert page.locator("#list li").count() == min(n_rows, 50)


def test_the_page_lists_rows_and_opens_the_first_with_coloured_parts(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    found(page, N_QUESTIONS)
    opened(page, "-backtrack")
    roles = page.locator("#reader .text [data-role]").evaluate_all(
        "parts => parts.map(part => [part.dataset.role, part.textContent])"
    )
    assert ["wrong_branch", "The answer is 6."] in roles
    colours = page.locator("#reader .text [data-role]").evaluate_all(
        "parts => [...new Set(parts.map(p => getComputedStyle(p).backgroundColor))]"
    )
    assert len(colours) == 4
    assert page.locator("aside .facts").inner_text().split("\n")[1] == "1"
    assert "olympiads" in page.locator("aside").inner_text()


def test_maths_is_drawn_by_the_installed_mathjax_and_m_shows_the_latex(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    page.locator(".question svg[role=img]").first.wait_for()
    label = page.locator(".question svg[role=img]").first.get_attribute("aria-label")
    assert label == "\\(0 + 1\\)"
    assert "$ 0 + 1 $" in page.locator(".question").inner_text()  # money, by its spaces
    page.keyboard.press("m")
    eventually(page, "!document.querySelector('.question svg')")
    assert "\\(0 + 1\\)" in page.locator(".question").inner_text()


def test_filters_change_list_and_address_and_the_address_alone_shows_the_same(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    found(page, N_QUESTIONS)
    page.get_by_label("Show").select_option("trajectories")
    page.locator("#status", has_text="of 96 rows").wait_for()
    page.get_by_label("Verdict").select_option("incorrect")
    found(page, sum(min(i % 5, 4) for i in range(N_QUESTIONS)))
    page.get_by_label("Source").fill("olympiads")
    page.get_by_role("button", name="Apply").click()
    wanted = sum(i % 5 for i in range(0, N_QUESTIONS, 3))
    found(page, wanted)
    opened(page, "600000000-sample-0")
    page.keyboard.press("Escape")
    page.keyboard.press("j")
    page.keyboard.press("j")
    opened(page, "c00000000-sample-1")
    title = page.locator("#reader > h2").inner_text()
    again = watched.open(page.url)
    found(again, wanted)
    opened(again, title)
    assert again.get_by_label("Verdict").input_value() == "incorrect"


def test_a_copied_link_opens_the_row_by_itself(run_server: ViewServer, watched: Watched) -> None:
    page = watched.open(run_server.url + "#in=rows%2Fstitch&text=%24")
    found(page, N_QUESTIONS)
    page.keyboard.press("j")
    opened(page, "q000000000000000200000000-stitch")
    page.keyboard.press("c")
    page.locator("#toast", has_text="Link copied").wait_for()
    link = page.evaluate("navigator.clipboard.readText()")
    assert "text=" not in link
    opened(watched.open(link), "q000000000000000200000000-stitch")


def test_a_tree_is_drawn_with_dead_branches_grey_and_the_row_marked(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    opened(page, "-backtrack")
    page.keyboard.press("t")
    page.locator(".tree-box svg").wait_for()
    classes = page.locator("g[data-node]").evaluate_all("all => all.map(g => g.className.baseVal)")
    assert classes == ["row", "wrong row", "dead", "right row"]  # two equal dead steps are one
    said = page.locator("g[data-node]").nth(2).get_attribute("aria-label")
    assert "resampled out" in said and "dead branch" in said
    assert page.locator("path.row").count() == 2
    page.get_by_label("equal steps as one").uncheck()
    eventually(page, "document.querySelectorAll('g[data-node]').length === 5")
    width = page.locator(".tree-box svg").bounding_box()["width"]
    page.get_by_label("Size").select_option("60")
    assert page.locator(".tree-box svg").bounding_box()["width"] == pytest.approx(
        0.6 * width, abs=1
    )
    page.get_by_label("Path of row").select_option("")
    assert page.locator("g.row").count() == 0


def test_arrow_keys_go_from_step_to_step_of_a_tree(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url + "#in=trees")
    page.locator(".tree-box svg").wait_for()
    page.keyboard.press("t")
    seen = []
    for key in ("ArrowLeft", "ArrowRight", "ArrowDown"):
        page.keyboard.press(key)
        seen.append(page.evaluate("document.activeElement.dataset.node"))
    assert seen == ["0", "1", "2"]
    assert "resampled out" in page.locator("#step").inner_text()


@pytest.mark.parametrize("place", range(4))
def test_hostile_rows_are_text_and_nothing_else(
    run_server: ViewServer, watched: Watched, place: int
) -> None:
    row = f"train-00000-of-00001.parquet%3A{place}"
    page = watched.open(f"{run_server.url}#in=rows%2Fhostile&row={row}")
    found(page, 4)
    page.locator("#reader .columns").wait_for()
    text = page.locator("#reader .text").nth(1)
    checks = {
        0: lambda: "<script>window.hacked" in text.inner_text(),
        1: lambda: (
            page.locator(".tex.broken").count() > 0 and "\\undefinedmacro" in text.inner_text()
        ),
        2: lambda: page.locator("#reader .tex.shown").count() > 0,
        3: lambda: (
            "U+202E" in page.locator("#reader").inner_text()
            and text.evaluate("part => getComputedStyle(part).unicodeBidi") == "plaintext"
        ),
    }
    page.wait_for_timeout(1000)
    assert checks[place]()
    assert page.evaluate("window.hacked") is None
    assert page.locator("#reader script, #reader img, #list script").count() == 0


@pytest.mark.alone
def test_sixty_thousand_characters_are_there_in_two_seconds_and_scroll(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    opened(page, "-backtrack")
    page.evaluate("window.began = performance.now()")
    page.evaluate("location.hash = 'in=rows%2Fhostile&row=train-00000-of-00001.parquet%3A2'")
    eventually(
        page,
        "[...document.querySelectorAll('#reader .text')].some(t => t.textContent.length > 6e4)",
    )
    assert page.evaluate("performance.now() - window.began") < 2000
    n_drawn = page.locator("#reader .tex.shown").count()
    assert n_drawn < 300, "only what is in view is drawn"
    page.locator("#reader").evaluate("box => box.scrollTo(0, box.scrollHeight / 2)")
    eventually(page, f"document.querySelectorAll('#reader .tex.shown').length > {n_drawn}")


def test_keys_move_search_and_help(run_server: ViewServer, watched: Watched) -> None:
    page = watched.open(run_server.url + "#in=questions")
    opened(page, "q0000000000000000")
    page.keyboard.press("j")
    opened(page, "q0000000000000002")
    page.keyboard.press("k")
    opened(page, "q0000000000000000")
    page.keyboard.press("/")
    page.keyboard.type("23 + 1")
    page.keyboard.press("Enter")
    found(page, 1)
    opened(page, "q0000000000000017")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    assert page.get_by_role("dialog").is_visible()
    page.keyboard.press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_a_large_dataset_goes_by_pages_and_tells_how_far_a_scan_came(
    tmp_path: Path, watched: Watched
) -> None:
    folder = write_many(tmp_path / "many", 60_000, n_shards=2)
    for server in serve(folder):
        page = watched.open(server.url)
        page.locator("#status", has_text="50 rows, scanned 50 of 60,000 rows").wait_for()
        page.keyboard.press("n")
        page.locator("#status", has_text="Page 2: 50 rows, scanned 100 of").wait_for()
        page.keyboard.press("p")
        page.locator("#status", has_text="scanned 50 of 60,000").wait_for()
        page.get_by_label("Search in all texts").fill("needle")
        page.keyboard.press("Enter")
        page.locator("#status", has_text="1 row in all, scanned 60,000 of 60,000").wait_for()
        opened(page, "row-49999")


def test_every_field_has_a_name_and_the_focus_is_seen(
    run_server: ViewServer, watched: Watched
) -> None:
    page = watched.open(run_server.url)
    opened(page, "-backtrack")
    nameless = page.locator("input, select, button").evaluate_all(
        """all => all.filter(x => !(x.labels?.length || x.ariaLabel || x.textContent.trim()))
                     .map(x => x.outerHTML)"""
    )
    assert nameless == []
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


def test_light_and_dark_have_readable_contrast_and_narrow_windows_need_no_sideways_scroll(
    run_server: ViewServer, watched: Watched
) -> None:
    papers = set()
    for scheme in ("light", "dark"):
        page = watched.open(run_server.url, color_scheme=scheme)
        opened(page, "-backtrack")
        colours = page.locator("#reader .text [data-role], aside dt, #list .tags").evaluate_all(
            """all => all.map(part => {
                 let at = part;
                 const clear = 'rgba(0, 0, 0, 0)';
                 while (getComputedStyle(at).backgroundColor === clear) at = at.parentElement;
                 return [getComputedStyle(part).color, getComputedStyle(at).backgroundColor];
               })"""
        )
        papers.add(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        assert min(contrast(a, b) for a, b in colours) >= 4.5
    assert len(papers) == 2
    narrow = watched.open(run_server.url, viewport={"width": 380, "height": 700})
    opened(narrow, "-backtrack")
    assert narrow.evaluate("document.documentElement.scrollWidth") <= 380


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    parts = [int(x) / 255 for x in re.findall(r"\d+", colour)[:3]]
    linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
