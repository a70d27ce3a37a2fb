"""A measured section of a page, between two markers."""

from __future__ import annotations

from pathlib import Path


def replace_section(path: Path, start: str, end: str, body: str) -> None:
    """Put a section between its markers, at the page's end where they are not there yet.

    Args:
        path: The page; begun where it does not exist.
        start: Marker before the section.
        end: Marker after it.
        body: The section without its markers.

    Raises:
        ValueError: The page has lost one of its markers.
    """
    page = path.read_text(encoding="utf-8") if path.is_file() else "# Benchmarks\n"
    if start not in page and end not in page:
        page = f"{page.rstrip()}\n\n{start}\n{end}\n"
    if page.count(start) != 1 or page.count(end) != 1:
        raise ValueError(f"{path} must have one {start} and one {end}")
    before, _, rest = page.partition(start)
    after = rest.partition(end)[2]
    path.write_text(f"{before}{start}\n{body}\n{end}{after}", encoding="utf-8")
