"""A report as an HTML parser sees it, and as chromium does."""

from __future__ import annotations

import shutil
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "img", "br", "hr", "input"}
LOADING = ("src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href")


@dataclass
class Element:
    """One element with what is inside."""

    tag: str
    attrs: dict[str, str]
    children: list[Element] = field(default_factory=list)
    text: str = ""

    def find(self, tag: str) -> list[Element]:
        """All elements of a tag below this one."""
        below = [found for child in self.children for found in child.find(tag)]
        return [child for child in self.children if child.tag == tag] + below


class Page(HTMLParser):
    """Elements of a page; an end tag that closes nothing is an error."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.root = Element("", {})
        self.elements: list[Element] = []
        self.text = ""
        self._open = [self.root]
        self.feed(text)
        self.close()
        assert self._open == [self.root], f"never closed: {[e.tag for e in self._open[1:]]}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = Counter(name for name, _ in attrs)
        assert not names or max(names.values()) == 1, f"{tag}: {names}"
        element = Element(tag, {name: value or "" for name, value in attrs})
        self.elements.append(element)
        self._open[-1].children.append(element)
        if tag not in VOID:
            self._open.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self._open[-1].tag == tag, f"</{tag}> closes <{self._open[-1].tag}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        self._open[-1].text += data
        self.text += data

    def find(self, tag: str) -> list[Element]:
        """All elements of a tag, in order."""
        return [element for element in self.elements if element.tag == tag]

    def check(self) -> None:
        """Nothing runs, nothing is loaded, every id is unique, every picture says what it is."""
        policy = next(m for m in self.find("meta") if "http-equiv" in m.attrs).attrs["content"]
        assert "default-src 'none'" in policy and "script-src 'none'" in policy
        assert "unsafe" not in policy and "http" not in policy
        for element in self.elements:
            assert element.tag not in {"script", "iframe", "object", "embed", "link", "img", "base"}
            for name, value in element.attrs.items():
                assert not name.startswith("on"), f"{element.tag} {name}"
                assert name not in LOADING, f"{element.tag} {name}={value}"
                assert name != "style", f"{element.tag} style={value}"
                assert name != "href" or value.startswith("#"), value
                assert "url(" not in value or value.startswith("url(#"), value
        for style in self.find("style"):
            assert "url(" not in style.text and "@import" not in style.text
        ids = [e.attrs["id"] for e in self.elements if "id" in e.attrs]
        assert len(ids) == len(set(ids)), [i for i, n in Counter(ids).items() if n > 1]
        self._check_references(set(ids))
        self._check_pictures()

    def _check_references(self, ids: set[str]) -> None:
        for element in self.elements:
            targets = element.attrs.get("aria-labelledby", "").split()
            if element.attrs.get("href", "").startswith("#"):
                targets.append(element.attrs["href"][1:])
            missing = [target for target in targets if target not in ids]
            assert not missing, f"{element.tag} points at {missing}"

    def _check_pictures(self) -> None:
        for figure in self.find("figure"):
            [svg] = figure.find("svg")
            assert svg.attrs["role"] == "img"
            [title], [desc] = svg.find("title"), svg.find("desc")
            assert title.text.strip() and desc.text.strip()
            assert {title.attrs["id"], desc.attrs["id"]} == set(
                svg.attrs["aria-labelledby"].split()
            )
            assert svg.find("text"), "text must be text"
            assert figure.find("details")[0].find("td"), "the numbers must stand below"


def find_chromium() -> str | None:
    """A browser, where there is one."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip


def open_in_chromium(browser: str, page: Path, profile: Path) -> tuple[str, list[str]]:
    """Open a page; return the document as the browser has it, and what its console said."""
    done = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={profile}",
         "--enable-logging=stderr", "--dump-dom", page.as_uri()],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]
