"""Equivalence of mathematical answers: safe on hostile text, bounded in time, three-valued.

``verify`` reads a whole trace, ``compare`` two bare answers, ``canonical`` a gold answer for a
question's record. Stages, cheapest first: text, exact values, typed shapes and enclosures in
process; sympy in killable worker processes for what is left. Equality is only ever declared by an
exact stage. Leaves out: judging a solution's steps.
"""

from __future__ import annotations

from butwait.transforms.verify.check import canonical, compare, verify, verify_many
from butwait.transforms.verify.limits import DEFAULT, VERIFIER_VERSION, Limits
from butwait.transforms.verify.pool import stop_workers, warm_workers

__all__ = [
    "DEFAULT",
    "VERIFIER_VERSION",
    "Limits",
    "canonical",
    "compare",
    "stop_workers",
    "verify",
    "verify_many",
    "warm_workers",
]
