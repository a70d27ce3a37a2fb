"""How many samples a problem it takes to see an effect, or that a benchmark cannot show it.

The comparison is paired: K problems, n samples of each from both runs. The model:

- the base's rates follow a Beta distribution with the base's mean and concentration s;
- the effect moves every rate by the same share of its way to 1 (to 0 where it is negative);
- a trained model also drifts: given that moved rate r, a problem's new rate is Beta-distributed
  around r with concentration a, the agreement. This part of the difference between problems stays
  however many samples are taken.

With v the variance within a problem and t2 the variance of the true differences between problems,
the difference of the means has the variance (t2 + (v_base + v_new) / n) / K. The problems stand for
a population of such problems; a claim on just these K would need no t2.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, inf, sqrt

from butwait.evals.student import t_quantile
from butwait.schemas.errors import ConfigError

CONCENTRATION = 1.0
"""Of the base's rates. 46 of 240 right with 13 of 30 solved (Phi-4 in the original table) imply
1.07, the table's other rows 0.7 to 1.9."""
AGREEMENT = 20.0
"""Of a trained model with its base; a choice. The original table's 21 trained Phi-4 checkpoints
spread by 1.87 points, and their samples alone make 1.67: every agreement from 4 up is possible."""
MANY = 64
"""Samples a problem beyond which few go."""


@dataclass(frozen=True)
class Setting:
    """What is to be seen, where. Scores are fractions."""

    effect: float
    base: float
    n_problems: int
    power: float = 0.8
    alpha: float = 0.05
    concentration: float = CONCENTRATION
    agreement: float = AGREEMENT


@dataclass(frozen=True)
class Plan:
    """What it takes."""

    setting: Setting
    n_samples: int | None
    """Fewest samples a problem; None: no number of them shows the effect."""
    smallest_at: dict[int, float]
    """Smallest effect in the same direction that n samples a problem show, by n."""
    smallest_ever: float
    """The same with samples without end."""
    n_problems_at: dict[int, int | None]
    """Fewest problems of this kind that show the effect with n samples each, by n."""


def plan(setting: Setting, n_samples: int | None = None) -> Plan:
    """Find how many samples a problem show the effect, and what else would.

    Args:
        setting: What is to be seen.
        n_samples: Report the smallest effect for this n too.

    Raises:
        ConfigError: A figure out of range, or a score beyond 0 or 1.

    >>> plan(Setting(effect=0.03, base=0.19, n_problems=30)).n_samples is None
    True
    >>> plan(Setting(effect=0.03, base=0.8, n_problems=500)).n_samples
    4
    """
    _check(setting, n_samples)
    sizes = sorted({8, MANY} | ({n_samples} if n_samples else set()))
    return Plan(
        setting=setting,
        n_samples=_fewest_samples(setting),
        smallest_at={n: _smallest_effect(setting, n) for n in sizes},
        smallest_ever=_smallest_effect(setting, inf),
        n_problems_at={n: _fewest_problems(setting, n) for n in sizes},
    )


def variances(setting: Setting, effect: float) -> tuple[float, float]:
    """Return the variance between problems, t2, and within them, v_base + v_new.

    Args:
        setting: The model.
        effect: Fraction; in [-base, 1 - base].

    Returns:
        Both of one problem's difference; the second for one sample of each run.
    """
    # A fall is a rise of the wrong answers.
    mean = setting.base if effect >= 0 else 1 - setting.base
    spread = mean * (1 - mean) / (1 + setting.concentration)  # of the rates
    within = mean * (1 - mean) - spread  # E[p (1 - p)]
    share = abs(effect) / (1 - mean)  # of the way to 1
    # With q = 1 - p: r (1 - r) = (1 - share) q (p + share q).
    moved = (1 - share) * (within + share * ((1 - mean) ** 2 + spread))
    drift = moved / (1 + setting.agreement)
    return share**2 * spread + drift, within + moved - drift


def standard_error(setting: Setting, effect: float, n_samples: float) -> float:
    """Return the standard error of the paired difference.

    Args:
        setting: The model.
        effect: Fraction.
        n_samples: Samples a problem and run; may be infinite.
    """
    between, within = variances(setting, effect)
    return sqrt((between + within / n_samples) / setting.n_problems)


def _is_seen(setting: Setting, effect: float, n_samples: float) -> bool:
    degrees = setting.n_problems - 1
    far = t_quantile(1 - setting.alpha / 2, degrees) + t_quantile(setting.power, degrees)
    return abs(effect) >= far * standard_error(setting, effect, n_samples)


def _fewest_samples(setting: Setting) -> int | None:
    if not _is_seen(setting, setting.effect, inf):
        return None
    return _first(lambda n: _is_seen(setting, setting.effect, n), 10**9)


def _fewest_problems(setting: Setting, n_samples: int) -> int | None:
    def seen(k: int) -> bool:
        values = {**vars(setting), "n_problems": k}
        return _is_seen(Setting(**values), setting.effect, n_samples)

    return _first(seen, 10**6, start=2)


def _first(holds: Callable[[int], bool], limit: int, *, start: int = 1) -> int | None:
    """The smallest whole number for which this holds, and for all larger ones."""
    if not holds(limit):
        return None
    low, high = start - 1, limit
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def _smallest_effect(setting: Setting, n_samples: float) -> float:
    """To a thousandth of a point; the whole way to 1 (or 0) where nothing less is seen."""
    room = 1 - setting.base if setting.effect > 0 else setting.base
    steps = ceil(room * 1e5)
    sign = 1 if setting.effect > 0 else -1
    found = _first(lambda i: _is_seen(setting, sign * min(room, i / 1e5), n_samples), steps)
    return sign * room if found is None else sign * min(room, found / 1e5)


def _check(setting: Setting, n_samples: int | None) -> None:
    reached = setting.base + setting.effect
    refusals = [
        (not 0 < setting.base < 1, f"base is {100 * setting.base:g} %: between 0 and 100"),
        (setting.effect == 0, "effect is 0: nothing is there to be seen"),
        (not 0 <= reached <= 1, f"base and effect reach {100 * reached:g} %: at most 0 to 100"),
        (setting.n_problems < 2, f"{setting.n_problems} problem(s): a comparison needs two"),
        (n_samples is not None and n_samples < 1, f"samples is {n_samples}: at least 1"),
        (not 0.5 <= setting.power < 1, f"power is {setting.power:g}: from 0.5 to below 1"),
        (not 0 < setting.alpha < 0.5, f"alpha is {setting.alpha:g}: between 0 and 0.5"),
        (not setting.concentration > 0, f"concentration is {setting.concentration:g}: above 0"),
        (not setting.agreement > 0, f"agreement is {setting.agreement:g}: above 0"),
    ]
    for is_wrong, reason in refusals:
        if is_wrong:
            raise ConfigError(reason)


def describe_plan(found: Plan) -> list[str]:
    """Say a plan in lines."""
    setting = found.setting
    what = f"{100 * setting.effect:+g} points"
    if found.n_samples is None:
        answer = (
            f"{what} cannot be shown with {setting.n_problems} problems, however many samples: "
            f"the smallest effect ever is {100 * found.smallest_ever:+.1f}"
        )
    else:
        answer = f"{what} show with {found.n_samples} samples a problem and run"
    lines = [
        answer,
        f"paired, base {100 * setting.base:g} %, {setting.n_problems} problems, power "
        f"{100 * setting.power:g} %, two-sided alpha {100 * setting.alpha:g} %",
        f"assumed: spread of difficulty {setting.concentration:g}, agreement of the two models "
        f"{setting.agreement:g} (docs/eval.md)",
    ]
    for n, smallest in found.smallest_at.items():
        k = found.n_problems_at[n]
        lines.append(
            f"n={n}: smallest effect {100 * smallest:+.1f} points; {what} need "
            + (f"{k} problems" if k else "more than a million problems")
        )
    return lines
