"""Trees of hostile texts: rows that hold, or refusals by name, and never a crash."""

from __future__ import annotations

from handmade import make_context, make_question
from handmade_trees import make_tree, make_tree_group, node
from hypothesis import given, settings
from hypothesis import strategies as st

from butwait.schemas.recipe_rows import (
    BacktrackSpec,
    CorrectOnlySpec,
    PreferenceSpec,
    StepLabelsSpec,
)
from butwait.schemas.row import PreferenceRow, SftRow, StepRow
from butwait.transforms.apply import make_rows
from butwait.transforms.render import MARKERS
from butwait.transforms.thoughts import ALL_MARKERS
from butwait.transforms.verify import verify

PIECES = [
    *ALL_MARKERS,
    "<|im_end|>",
    "\\boxed{5}",
    "\\boxed{6}",
    "\n\n",
    "</s>",
    "\x00",
    " ",
    "So.",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=4), max_size=6).map("".join)
FATES = st.sampled_from(["correct", "incorrect", "resampled_out", "pruned", "continued"])
SCORES = st.none() | st.floats(0.0, 1.0)
SPECS = [
    *(
        BacktrackSpec(transform="backtrack", dead=dead, format=layout, margin=0.1, min_rollouts=1)
        for dead in ("faithful", "prm_margin", "rollout_verified", "wrong_leaf")
        for layout in MARKERS
    ),
    *(CorrectOnlySpec(transform="correct_only", format=layout) for layout in MARKERS),
    *(
        PreferenceSpec(transform="preference", by=by, span=span, margin=0.1)
        for by in ("outcome", "value", "prm")
        for span in ("step", "solution")
    ),
    StepLabelsSpec(transform="step_labels"),
]


@st.composite
def hostile_trees(draw):
    """Any parent, text, fate and score."""
    nodes = []
    for i in range(draw(st.integers(1, 12))):
        parent = draw(st.none() | st.integers(0, i - 1)) if i else None
        nodes.append(node(parent, draw(TEXTS), draw(FATES), draw(SCORES)))
    separator = draw(st.sampled_from(["\n\n", "\n", "<think>", "\n\n## ", "So."]))
    return make_tree(nodes, separator=separator)


@settings(deadline=None, max_examples=300)
@given(hostile_trees(), st.sampled_from(SPECS))
def test_hostile_texts_are_refused_or_sound_and_never_crash(tree, spec):
    made = make_rows(make_question(), make_tree_group(tree), "x", spec, make_context())
    assert bool(made.rows) == (made.reason is None)
    for row in made.rows:
        if isinstance(row, SftRow):
            text = row.completion[0].content
            assert verify("5", text).correct
            for marker in ALL_MARKERS:
                assert text.count(marker) == (marker in MARKERS[spec.format])
            assert row.n_transitions == sum(s.role == "transition" for s in row.spans)
        elif isinstance(row, PreferenceRow):
            if spec.span == "solution":
                assert verify("5", row.chosen[0].content).correct
        else:
            assert isinstance(row, StepRow)
            assert all(row.completions)
