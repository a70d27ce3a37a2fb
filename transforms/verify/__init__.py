"""Equivalence of mathematical answers: safe on hostile text, bounded in time, three-valued.

``verify`` reads a whole trace, ``compare`` two bare answers, ``verify_many`` and ``verify_each``
many of either, ``explain`` says why, ``canonical`` is for a question's record. Stages, cheapest
first: text, exact values, typed shapes and enclosures in process; sympy in killable worker
processes for what is left. Equality is only ever declared by an exact stage. Leaves out: judging a
solution's steps.
"""

from __future__ import annotations

from butwait.transforms.verify.batch import verify_each, verify_many, verify_quick
from butwait.transforms.verify.check import Check, canonical, compare, verify
from butwait.transforms.verify.explain import Explanation, explain
from butwait.transforms.verify.limits import DEFAULT, VERIFIER_VERSION, Limits
from butwait.transforms.verify.mode import ANSWER_TYPES, AnswerType
from butwait.transforms.verify.pool import stop_workers, warm_workers

__all__ = [
    "ANSWER_TYPES",
    "DEFAULT",
    "VERIFIER_VERSION",
    "AnswerType",
    "Check",
    "Explanation",
    "Limits",
    "canonical",
    "compare",
    "explain",
    "stop_workers",
    "verify",
    "verify_each",
    "verify_many",
    "verify_quick",
    "warm_workers",
]
