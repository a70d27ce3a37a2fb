"""A prefix as a reward model is asked about it."""

from __future__ import annotations

from collections.abc import Sequence

from butwait.schemas.recipe_search import Aggregation
from butwait.schemas.sampling import Completion
from butwait.transforms.search.steps import split_steps


def prefix_parts(
    texts: Sequence[str],
    completions: Sequence[Completion],
    how: Aggregation,
    whole_separator: str | None,
) -> tuple[tuple[str, ...], tuple[float, ...] | None]:
    """Return the parts to be scored and the mean log-probability of a token in each.

    Args:
        texts: Steps of the prefix, one a node.
        completions: The nodes' completions, parallel to ``texts``.
        how: ``model`` asks about the prefix as one part.
        whole_separator: Where the one node is a whole solution: what its steps are cut at.

    Returns:
        Parts that joined are the prefix; None for the log-probabilities where some are not known.
        Of a whole solution that was cut, every step has the mean of the whole.
    """
    log_probs = [c.log_prob for c in completions]
    n_tokens = [max(1, c.n_completion_tokens) for c in completions]
    known = [value for value in log_probs if value is not None]
    are_known = len(known) == len(log_probs)
    mean = sum(known) / sum(n_tokens)
    if how == "model":
        return ("".join(texts),), (mean,) if are_known else None
    if whole_separator is not None:
        parts = split_steps(texts[0], whole_separator)
        return parts, (mean,) * len(parts) if are_known else None
    means = tuple(value / n for value, n in zip(known, n_tokens, strict=False))
    return tuple(texts), means if are_known else None
