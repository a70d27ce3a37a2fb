"""What each rule of a verdict means, in one sentence: for ``explain`` and for tables."""

from __future__ import annotations

RULES: dict[str, str] = {
    # -- the answer of a trace
    "unclosed_box": "the last box has no closing brace: the text was cut inside it",
    "unclosed_tag": "the answer tag is opened and never closed",
    "withdrawn": "words after the answer take it back and no new answer follows",
    "hedged": "the words around the answer leave it open",
    "negated": "the words directly before the answer deny or doubt it",
    "part": "the box or value is only a part of what is stated",
    "empty_box": "the only box is empty",
    "empty_tag": "the answer tag is empty",
    "no_answer_found": "there is no box, tag, label or final line with an answer",
    "unfinished_thought": "the thought is never closed, so no answer was given yet",
    "cut_line": "the text was cut by the length limit and its last line has no end",
    # -- the gold answer
    "unreadable_gold": "the gold answer cannot be read as mathematics or words",
    "no_gold": "the gold field says that there is no answer",
    "prose_gold": "the gold answer is a sentence, which no two people write alike",
    "undefined_gold": "the gold answer has no value",
    # -- the decision
    "string": "both are the same text after typography",
    "integer": "both are whole numbers",
    "rational": "both are exact fractions",
    "exact": "both have an exact normal form",
    "numeric": "enclosures of the two values, or residues of them, have nothing in common",
    "infinity": "at least one side is infinite",
    "undefined": "one side has no value",
    "symbolic": "sympy brought the difference to zero, or showed that it is not",
    "tolerance": "the numbers differ by no more than the tolerance that was given",
    "type": "the answer is nothing of the type that was given",
    "unreadable": "the answer cannot be read as mathematics or words",
    "too_long": "the answer is longer than any answer that is read",
    "text": "words are compared case-free, without articles",
    "letter": "single letters are compared case-free",
    "kind": "the two sides are answers of different kinds",
    "same": "both sides read as the same thing",
    "arity": "one side has several values and the other has not as many",
    "list": "the values of lists are matched in any order",
    "set": "sets are compared by their elements",
    "tuple": "the places of tuples are compared in order",
    "interval": "sets of real numbers are compared as unions of intervals, ends included",
    "equation": "equations are equal up to a constant factor",
    "inequality": "inequalities are equal up to a positive factor and direction",
    "relation": "a relation is compared with something that is none",
    "name": "values of different names are different",
    "named values": "values are matched by their names",
    "matrix": "matrices are compared cell by cell",
    "modular": "residue classes are compared modulo a common modulus",
    "family": "families over the integers are compared up to a shift of the parameter",
    "cases": "piecewise values are compared row by row",
    "ratio": "ratios are compared by proportion, times of day by hour and minute",
    "unit": "units must be of one kind and are converted; one missing unit is ignored",
    "percent": "a percent sign divides by a hundred; it may be missing where the gold has it",
    "percent_asked": "the problem asks for a number of per cent, so the sign may be missing",
    "degrees": "a missing degree sign is ignored",
    "choice": "choice letters are compared, and their texts where both are given",
    "option": "the problem's options connect the letter with its value",
    # -- no decision
    "undecided": "nothing could be shown either way",
    "timeout": "the symbolic stage did not end within its deadline",
    "memory": "the symbolic stage needed more memory than it may have",
    "worker": "no symbolic worker could be started, or it failed",
    "exception": "a fault of the verifier itself",
    "bad_argument": "an argument of the call is wrong; the answer was not looked at",
}


def meaning(rule: str) -> str:
    """The sentence of a rule; ``symbolic set`` is the rule ``set`` with sympy on its parts."""
    if rule.startswith("symbolic "):
        return f"{RULES.get(rule.removeprefix('symbolic '), rule)}; sympy compared the parts"
    return RULES.get(rule, rule)
