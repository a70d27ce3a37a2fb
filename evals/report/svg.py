"""A matplotlib figure as SVG that stands inside a page: text as text, colours from the page.

Departs from matplotlib's own SVG in four ways: no fixed size, no inline styles (a strict Content
Security Policy forbids them: they become presentation attributes and classes), ids that carry the
plot's name, and colours that are classes of the page, so that it can be dark.
"""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from xml.etree import ElementTree as ET

from butwait.schemas.errors import ConfigError

ROLES = (
    "ink", "soft", "faint", "paper", "correct", "incorrect", "no_answer", "ambiguous",
    "truncated", "gold_unusable", "timeout", "error", "drop", "first", "second", "third",
)  # fmt: skip
"""What has a colour; the page has a class for each, ``fill-<role>`` and ``stroke-<role>``."""
COLOURS = {role: f"#0000{place + 1:02x}" for place, role in enumerate(ROLES)}
"""Stand for the roles inside matplotlib."""
_CLASSES = {colour: role for role, colour in COLOURS.items()}
_SVG = "{http://www.w3.org/2000/svg}"
_DROPPED = (f"{_SVG}style", f"{_SVG}metadata")
_LINK = "{http://www.w3.org/1999/xlink}href"
_KEPT = {
    "stroke-width", "stroke-dasharray", "stroke-dashoffset", "opacity", "fill-opacity",
    "stroke-opacity", "text-anchor", "font-size", "font-weight",
}  # fmt: skip
_SIZE = re.compile(r"([\d.]+)px")
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
STYLE: dict[str, Any] = {
    "svg.hashsalt": "butwait",
    "svg.fonttype": "none",
    "text.parse_math": False,  # labels are other people's words
    "font.size": 11,
    "font.family": "DejaVu Sans",
    "axes.edgecolor": COLOURS["soft"],
    "axes.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid.axis": "y",
    "grid.color": COLOURS["faint"],
    "axes.titlesize": 12,
    "axes.titlelocation": "left",
}


@contextmanager
def drawing(width: float, height: float) -> Iterator[Any]:
    """Give a figure of some inches to draw on, in the report's style.

    Raises:
        ConfigError: matplotlib is not there.
    """
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("a report needs matplotlib: `pip install matplotlib`") from error
    style: Any = STYLE
    with matplotlib.rc_context(style), warnings.catch_warnings():
        # Of letters that the measuring font lacks: the page's own font has them.
        warnings.simplefilter("ignore")
        yield Figure(figsize=(width, height), layout="constrained")


def to_svg(figure: Any, name: str, title: str, description: str) -> str:
    """Return a figure as an ``<svg>`` element.

    Args:
        figure: Drawn inside ``drawing``, in the colours of ``COLOURS``.
        name: Unique in the page; begins every id.
        title: Alternative text: what it is.
        description: Alternative text: what it shows.
    """
    text = io.StringIO()
    figure.savefig(text, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    root = ET.fromstring(text.getvalue())  # noqa: S314 - written by matplotlib a line before
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in _DROPPED or not child.tag.startswith(_SVG):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.removeprefix(_SVG)
        _restyle(element)
        _rename(element, name)
    view = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib |= {
        "viewBox": view,
        "role": "img",
        "aria-labelledby": f"{name}-title {name}-desc",
        "class": "plot",
    }
    for place, (tag, words) in enumerate((("title", title), ("desc", description))):
        told = ET.Element(tag, {"id": f"{name}-{tag}"})
        told.text = words
        root.insert(place, told)
    return ET.tostring(root, encoding="unicode", short_empty_elements=True)


def _restyle(element: ET.Element) -> None:
    """Turn a style attribute into presentation attributes and classes."""
    style = element.attrib.pop("style", "")
    pairs = [part.split(":", 1) for part in style.split(";") if ":" in part]
    classes = []
    for key, value in ((k.strip(), v.strip()) for k, v in pairs):
        if key in ("fill", "stroke"):
            role = _CLASSES.get(value.lower())
            if role is not None:
                classes.append(f"{key}-{role}")
            else:
                element.set(key, value)
        elif key == "font":
            if size := _SIZE.search(value):
                element.set("font-size", size[1])
        elif key in _KEPT:
            element.set(key, value.removesuffix("px"))
    if element.tag == "text" and not any(c.startswith("fill-") for c in classes):
        classes.append("fill-ink")
    if classes:
        element.set("class", " ".join(classes))


def _rename(element: ET.Element, name: str) -> None:
    """Make ids, and what points at them, the plot's own."""
    if "id" in element.attrib:
        element.set("id", f"{name}-{element.attrib['id']}")
    if target := element.attrib.pop(_LINK, None):
        element.set("href", f"#{name}-{target.removeprefix('#')}")
    for key, value in element.attrib.items():
        element.set(key, _REFERENCE.sub(rf"url(#{name}-\1)", value))
