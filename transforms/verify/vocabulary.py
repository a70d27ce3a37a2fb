"""The words of answer LaTeX: which commands are text, silent, functions, or other names.

Data only; what a word means to the grammar is said in ``lexer`` and ``grammar``.
"""

from __future__ import annotations

TEXT_COMMANDS = frozenset({
    "text", "textbf", "textit", "textrm", "mathrm", "mbox", "mathbf", "mathit", "operatorname",
    "rm", "bf", "textnormal", "emph", "boldsymbol", "mathsf", "textup", "bold", "hbox",
    "textsf", "texttt",
})  # fmt: skip
SILENT = frozenset({
    "left", "right", "big", "Big", "bigg", "Bigg", "bigl", "bigr", "Bigl", "Bigr",
    "displaystyle", "textstyle", "limits", "nolimits", "quad", "qquad", "hspace", "hfill",
    "space",
    "blacksquare", "square", "Box", "checkmark", "qed", "thinspace",
    "phantom", "rm", "bf", "it", "scriptstyle", "medspace", "middle",
})  # fmt: skip
FUNCTIONS = frozenset({
    "sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "sinh", "cosh",
    "tanh", "ln", "log", "lg", "exp", "gcd", "lcm", "max", "min", "det", "abs", "arcsin",
    "arccos", "arctan", "tg", "ctg", "cosec", "arctg", "arcctg", "re", "im", "arg", "cis",
    "asinh", "acosh", "atanh", "arsinh", "arcosh", "artanh", "arcsinh", "arccosh", "arctanh",
})  # fmt: skip
GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa",
    "lambda", "mu", "nu", "xi", "rho", "sigma", "tau", "upsilon", "phi", "chi", "psi", "omega",
    "Gamma", "Delta", "Theta", "Lambda", "Xi", "Pi", "Sigma", "Phi", "Psi", "Omega", "ell",
    "mho",
})  # fmt: skip
RENAME = {
    "dfrac": "frac", "tfrac": "frac", "cfrac": "frac", "nicefrac": "frac", "sfrac": "frac",
    "flatfrac": "frac", "mleft": "left", "dbinom": "binom", "tbinom": "binom",
    "leq": "le", "leqslant": "le", "leqq": "le", "geq": "ge", "geqslant": "ge", "geqq": "ge",
    "nless": "ge", "ngtr": "le", "nleq": ">", "ngeq": "<", "nleqslant": ">", "ngeqslant": "<",
    "neq": "ne", "lt": "<", "gt": ">", "times": "*", "cdot": "*", "ast": "*", "div": "/",
    "lvert": "left|", "rvert": "right|", "vert": "|", "mid": "|", "lbrace": "{", "rbrace": "}",
    "varnothing": "emptyset", "varphi": "phi", "vartheta": "theta", "varepsilon": "epsilon",
    "arcsin": "asin", "arccos": "acos", "arctan": "atan", "arccot": "acot", "bmod": "mod",
    "backslash": "setminus", "textdollar": "$", "colon": ":", "dots": "ldots", "cdots": "ldots",
    "dotsc": "ldots", "land": "and", "wedge": "and", "lor": "or", "vee": "or", "degree": "circ",
    "lg": "lg", "langle": "(", "rangle": ")", "infin": "infty", "bar": "overline",
    "simeq": "approx", "bigcup": "cup", "bigcap": "cap", "tg": "tan",
    "ctg": "cot", "cosec": "csc",
    "arctg": "atan", "arcctg": "acot", "sh": "sinh", "ch": "cosh", "th": "tanh", "ddots": "ldots",
    "hdots": "ldots", "Re": "re", "Im": "im",
    "arsinh": "asinh", "arcosh": "acosh", "artanh": "atanh", "arcsinh": "asinh",
    "arccosh": "acosh", "arctanh": "atanh",
    "measuredangle": "angle", "lbrack": "[", "rbrack": "]", "implies": "to", "rightarrow": "to",
}  # fmt: skip
WORDS = {
    "pi": "pi", "infinity": "infty", "infty": "infty", "inf": "infty", "oo": "infty",
    "or": "or", "and": "and", "sqrt": "sqrt", "frac": "frac", "dfrac": "frac", "union": "cup",
    "mod": "mod", "cbrt": "cbrt", "theta": "theta", "alpha": "alpha", "beta": "beta",
    "gamma": "gamma", "lambda": "lambda", "mu": "mu", "pm": "pm", "cdot": "*", "times": "*",
    "le": "le", "ge": "ge", "leq": "le", "geq": "ge", "binom": "binom", "percent": "%",
    "degrees": "circ", "to": "to", "arcsin": "asin", "arccos": "acos", "arctan": "atan",
    "over": "over",    "choose": "choose", "Re": "re", "Im": "im",
}  # fmt: skip
# Words for powers of ten (and twelve) after a number.
SCALE_WORDS = {
    "thousand": 10**3, "million": 10**6, "billion": 10**9, "trillion": 10**12, "dozen": 12,
    "hundred": 100,
}  # fmt: skip
