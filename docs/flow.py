"""Draws docs/flow.svg, the picture of the README: ``python docs/flow.py`` (``make docs``).

Plain SVG: text stays text, and the colours follow the reader's light or dark mode.
"""

from __future__ import annotations

from html import escape
from pathlib import Path

WIDTH, HEIGHT = 980, 330
BOX_W, BOX_H = 132, 56
STYLE = """
  text { font: 14px system-ui, sans-serif; fill: #1f2328; text-anchor: middle }
  .small { font-size: 11.5px; fill: #57606a }
  .head { font-weight: 600 }
  rect { fill: #f6f8fa; stroke: #57606a; rx: 8 }
  .made { fill: #ddf4ff; stroke: #0969da }
  .drop { fill: none; stroke-dasharray: 4 3 }
  path { fill: none; stroke: #57606a; stroke-width: 1.5; marker-end: url(#tip) }
  #tip path { fill: #57606a; stroke: none; marker-end: none }
  .bad { stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 }
    rect { fill: #161b22; stroke: #9198a1 } .made { fill: #0d2d4e; stroke: #58a6ff }
    .drop { fill: none } path { stroke: #9198a1 } #tip path { fill: #9198a1 }
  }
"""
ALT = (
    "Questions go through sampling or search and the verifier to traces, rows and the Hub; "
    "a trainer reads the rows, its checkpoint is sampled and verified again for the scores; "
    "whatever is dropped at any step is counted in the ledger."
)
TOP, MIDDLE, BOTTOM = 30, 150, 262
FLOW = (
    ("questions", "NuminaMath, yours"),
    ("samples, trees", "vLLM, particle filter"),
    ("verdicts", "sympy, in time limits"),
    ("traces", "wrong turns, marked"),
    ("rows", "checked, with spans"),
    ("Hub dataset", "card, one commit"),
)


def box(x: int, y: int, title: str, note: str, kind: str = "") -> str:
    """A box with a title and a line below it."""
    middle = x + BOX_W // 2
    return (
        f'<rect class="{kind}" x="{x}" y="{y}" width="{BOX_W}" height="{BOX_H}"/>'
        f'<text class="head" x="{middle}" y="{y + 24}">{escape(title)}</text>'
        f'<text class="small" x="{middle}" y="{y + 43}">{escape(note)}</text>'
    )


def arrow(path: str, kind: str = "") -> str:
    """A line with a tip at its end."""
    return f'<path class="{kind}" d="{path}"/>'


def draw() -> str:
    """Return the picture."""
    step = (WIDTH - BOX_W - 20) // (len(FLOW) - 1)
    xs = [10 + i * step for i in range(len(FLOW))]
    parts = []
    for i, (title, note) in enumerate(FLOW):
        parts.append(box(xs[i], TOP, title, note, "made" if i >= 4 else ""))
        if i:
            parts.append(arrow(f"M{xs[i - 1] + BOX_W} {TOP + 28} H{xs[i] - 3}"))
        if i < 5:
            x = xs[i] + BOX_W // 2
            parts.append(arrow(f"M{x} {TOP + BOX_H} V{MIDDLE - 3}", "bad"))
    left, width = xs[0], xs[4] + BOX_W - xs[0]
    middle = left + width // 2
    parts.append(
        f'<rect class="drop" x="{left}" y="{MIDDLE}" width="{width}" height="44"/>'
        f'<text class="head" x="{middle}" y="{MIDDLE + 19}">ledger</text>'
        f'<text class="small" x="{middle}" y="{MIDDLE + 36}">every question, sample and row in '
        "exactly one bin: kept, or dropped with its reason</text>"
    )
    parts.append(box(xs[5], BOTTOM, "trainer", "SFT, GRPO, DPO"))
    parts.append(arrow(f"M{xs[5] + 66} {TOP + BOX_H} V{BOTTOM - 3}"))
    parts.append(box(xs[3], BOTTOM, "checkpoint", "sampled again"))
    parts.append(arrow(f"M{xs[5]} {BOTTOM + 28} H{xs[3] + BOX_W + 3}"))
    parts.append(box(xs[1], BOTTOM, "scores", "intervals, paired", "made"))
    parts.append(arrow(f"M{xs[3]} {BOTTOM + 28} H{xs[1] + BOX_W + 3}"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>The flow of butwait</title><desc>{escape(ALT)}</desc><style>{STYLE}</style>"
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z"/></marker></defs>'
        + "".join(parts)
        + "</svg>\n"
    )


if __name__ == "__main__":
    (Path(__file__).parent / "flow.svg").write_text(draw(), encoding="utf-8")
