"""From a report to one HTML page that needs nothing else: no script, no network, one style.

Jinja escapes everything; the SVG alone passes as it is, and was made by ``svg.to_svg``.
"""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

from butwait.evals.report.build_report import report_build
from butwait.evals.report.content import Report
from butwait.evals.report.eval_report import report_evaluation
from butwait.evals.report.folder import open_run
from butwait.evals.report.train_report import report_training

_TEMPLATES = Path(__file__).with_name("templates")
_BIDI = {chr(c) for c in (*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)}


def make_report(run: Path) -> str:
    """Return the report of a run folder as HTML; the same files give the same text.

    Raises:
        ConfigError: No run folder, or one that cannot be reported on.
    """
    found = open_run(run)
    makers = {
        "build": report_build,
        "evaluation": report_evaluation,
        "training": report_training,
    }
    return render(makers[found.kind](found))


def render(report: Report) -> str:
    """Return a report as HTML."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_TEMPLATES / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.get_template("page.html").render(
        report=report,
        style=Markup(style),  # noqa: S704 - the package's own file
        style_hash=digest,
        svg=_own_svg,
    )


def _own_svg(text: str) -> object:
    from markupsafe import Markup

    return Markup(visible(text))  # noqa: S704 - made and escaped by to_svg


def _finalize(value: object) -> object:
    return visible(value) if type(value) is str else value


def visible(text: str) -> str:
    r"""Return a text whose control characters can be seen: they would hide or reorder others.

    >>> visible("a\x00b\u202ec")
    'a␀b⟨U+202E⟩c'
    """
    text = text.encode("utf-8", "replace").decode()
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_visible, text))


def _visible(character: str) -> str:
    code = ord(character)
    if character in "\n\t":
        return character
    if code < 0x20:
        return chr(0x2400 + code)
    if character in _BIDI or 0x7F <= code < 0xA0 or code & 0xFFFE == 0xFFFE:
        return f"⟨U+{code:04X}⟩"
    return character
