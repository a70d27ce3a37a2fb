"""Where the installed MathJax is; the page shows LaTeX as it is written where there is none."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

DISTRIBUTION = "django-static-mathjax"
"""Static files only: it neither needs nor imports Django."""
_FOLDER = "mathjax/static/mathjax/es5"
# Its combined builds bring a menu that writes styles into the page, which the page forbids.
FILES = (
    "startup.js",
    "core.js",
    "input/tex-full.js",
    "output/svg.js",
    "output/svg/fonts/tex.js",
)
"""What drawing formulas as SVG takes, glyphs included."""


def find_mathjax(name: str = FILES[0]) -> Path | None:
    """Return the path of one of MathJax's files; None where it is not installed.

    Args:
        name: One of `FILES`; anything else is not served.
    """
    if name not in FILES:
        return None
    try:
        path = Path(str(distribution(DISTRIBUTION).locate_file(f"{_FOLDER}/{name}")))
    except PackageNotFoundError:
        return None
    return path if path.is_file() else None
