"""Which spellings are one word to the detector, and which words say nothing about a problem."""

from __future__ import annotations

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


FORMATTING = _words(
    """
    left right big Big bigg Bigg bigl bigr Bigl Bigr biggl biggr displaystyle textstyle
    scriptstyle text textbf textit textrm textsf texttt mathrm mathbf mathit mathbb mathcal mathsf
    mathfrak mathscr boldsymbol operatorname emph underline overline bar vec overrightarrow
    widehat hat tilde mbox hbox rm bf it frac dfrac tfrac cfrac over cdot times div ast quad qquad
    hspace vspace hfill newline linebreak par item hline cline bullet limits nolimits ldots dots
    cdots dotsc dotsb dotsm vdots ddots mid vert Vert lvert rvert lVert rVert middle phantom
    hphantom vphantom noindent label tag nonumber colon lbrace rbrace lbrack rbrack langle rangle
    mathop mathrel mathbin to rightarrow longrightarrow stackrel underbrace overbrace centering
    small large Large rule smallskip medskip bigskip usepackage thinspace enspace space ensuremath
    textnormal
    """
)
"""Commands that shape and do not say."""

COMMANDS = {
    "le": "<", "leq": "<", "leqslant": "<", "lt": "<", "ge": ">", "geq": ">", "geqslant": ">",
    "gt": ">", "ne": "neq", "circ": "degree", "degree": "degree", "dbinom": "binom",
    "tbinom": "binom", "choose": "binom", "bmod": "mod", "pmod": "mod", "varnothing": "emptyset",
    "varphi": "phi", "varepsilon": "epsilon", "vartheta": "theta", "bigtriangleup": "triangle",
    "measuredangle": "angle", "mathdollar": "", "land": "and", "lor": "or", "iff": "iff",
    "Leftrightarrow": "iff", "Longleftrightarrow": "iff", "implies": "implies",
    "Rightarrow": "implies", "parallel": "parallel", "perp": "perpendicular", "sim": "similar",
    "setminus": "setminus", "backslash": "setminus", "tg": "tan", "ctg": "cot",
}  # fmt: skip
"""LaTeX commands that have another name in words or another spelling; empty: nothing."""

CHARACTERS = str.maketrans(
    {
        "\u00d7": " ", "\u22c5": " ", "\u00b7": " ", "\u00f7": " ", "\u2215": " ", "\u2044": " ",
        "\u2212": "-", "\u2013": "-", "\u2014": " ", "\u2010": "-", "\u2011": "-",
        "\u2264": "<", "\u2265": ">", "\u2a7d": "<", "\u2a7e": ">", "\u2260": " neq ",
        "\u221a": " sqrt ", "\u03c0": " pi ", "\u221e": " infty ", "\u2220": " angle ",
        "\u25b3": " triangle ", "\u2206": " triangle ", "\u00b0": " degree ", "\u2208": " in ",
        "\u2209": " notin ", "\u222a": " cup ", "\u2229": " cap ", "\u2286": " subseteq ",
        "\u2282": " subset ", "\u2211": " sum ", "\u220f": " prod ", "\u222b": " int ",
        "\u22a5": " perpendicular ", "\u2225": " parallel ", "\u223c": " similar ",
        "\u2019": "'", "\u2018": "'", "\u201c": " ", "\u201d": " ", "\u2026": " ",
        "\u03b1": " alpha ", "\u03b2": " beta ", "\u03b3": " gamma ", "\u03b4": " delta ",
        "\u03b5": " epsilon ", "\u03b8": " theta ", "\u03bb": " lambda ", "\u03bc": " mu ",
        "\u03c1": " rho ", "\u03c3": " sigma ", "\u03c4": " tau ", "\u03c6": " phi ",
        "\u03d5": " phi ", "\u03c9": " omega ", "\u0393": " gamma ", "\u0394": " delta ",
        "\u03a3": " sum ", "\u03a9": " omega ", "\u03a6": " phi ", "\u2192": " ", "\u00ad": None,
        "\u200b": None, "\u200c": None, "\u200d": None, "\ufeff": None, "\u2062": None,
    }
)  # fmt: skip

_NUMBERS = {
    "zero": 0, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "thirteen": 13, "fourteen": 14,
    "fifteen": 15, "sixteen": 16, "seventeen": 17, "eighteen": 18, "nineteen": 19, "twenty": 20,
    "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "hundred": 100,
}  # fmt: skip
"""Without one, which is a pronoun as often as a number."""
WORDS = {
    **{word: str(n) for word, n in _NUMBERS.items()},
    **dict.fromkeys(("determine", "compute", "calculate", "evaluate"), "find"),
    "degrees": "degree", "circ": "degree", "maths": "math", "metre": "meter", "metres": "meters",
    "kilometre": "kilometer", "kilometres": "kilometers", "centimetre": "centimeter",
    "centimetres": "centimeters", "litre": "liter", "litres": "liters", "centre": "center",
    "centres": "centers", "centred": "centered", "grey": "gray", "travelled": "traveled",
    "travelling": "traveling", "traveller": "traveler", "programme": "program", "tonne": "ton",
    "tonnes": "tons", "favourite": "favorite", "cheque": "check",
    "labelled": "labeled", "whilst": "while", "maximise": "maximize",
    "minimise": "minimize", "rhombi": "rhombus", "rhombuses": "rhombus", "vertices": "vertex",
    "foci": "focus", "radii": "radius", "matrices": "matrix", "indices": "index", "dice": "die",
    "km": "kilometer", "cm": "centimeter", "mm": "millimeter", "kg": "kilogram", "mph": "miles",
    "hrs": "hours", "fibre": "fiber", "theatre": "theater", "hundredths": "hundredth",
    "everyday": "daily", "people": "person", "children": "child",
    "bought": "buy", "sold": "sell", "spent": "spend", "spends": "spend", "paid": "pay",
    "made": "make", "took": "take", "takes": "take", "gave": "give", "went": "go", "goes": "go",
    "ran": "run", "drew": "draw", "drawn": "draw", "chosen": "choose", "chooses": "choose",
    "wrote": "write", "won": "win", "ate": "eat", "kept": "keep", "met": "meet", "lost": "lose",
}  # fmt: skip
"""Words that are another word to the detector."""

_OUR = re.compile(r"(?<=[a-z])our(?=(?:s|ed|ing|ful|less|able|hood|ly)?\Z)")
_ISE = re.compile(r"(?<=[a-z]{4})is(?=(?:e|es|ed|ing)\Z)")
_NO_OUR = _words(
    """
    four hour hours your pour tour tours sour flour our detour contour
    """
)
_NO_ISE = _words(
    """
    exercise exercises precise otherwise likewise clockwise counterclockwise pairwise comprise
    comprises comprised comprising consists promise raised raise rises noise
    """
)


def spell_american(word: str) -> str:
    """Return the American spelling of a lower-case word.

    >>> spell_american("colours"), spell_american("hour"), spell_american("minimised")
    ('colors', 'hour', 'minimized')
    """
    if "our" in word and word not in _NO_OUR and len(word) > 5:
        return _OUR.sub("or", word)
    if "is" in word and word not in _NO_ISE and len(word) > 7:
        return _ISE.sub("iz", word)
    return word


SHORT_WORDS = _words(
    """
    of in is to it be by if at on as an or we so no do he up my us me go am pm vs cm mm km kg ml
    lb gcd lcm hcf try why fly cry dry sky gym mph rpm hrs mrs mr dr st ft iff spy pi mu nu xi
    sqrt ln lg
    """
)
"""Words of at most two letters, or without a vowel, that are no product of variables."""
INITIALS = _words(
    """
    not all and the exactly only must each any lcm gcd hcf
    """
)
"""Words that are written in capitals now and then."""

STOP_WORDS = _words(
    """
    a an the of to in is be are was were and or if then that this these those there it its for
    with by on at as from let find what which such where when how many much can could has have had
    all each any given suppose so no not do does did will would should must may might than who
    whose between into about up out also only some other another same following been being he she
    his her hers him they them their we our us you your i my me one ones here every both either
    neither problem question solve please step steps think reason reasoning final answer answers
    box boxed put within give write written express expressed simplest form format show prove note
    recall called call says said known know define defined denote denoted respectively exist
    exists exactly while after before now first hence since because but however yet via per get
    gets using use used help try task math mathematical mathematics competition exam carefully
    clearly end begin begins below above way ways like just still very more most less least too
    again together choose correct option choices options compute value values number numbers
    positive integer integers real relatively prime common fraction terms term
    """
)
"""Words that any problem may have: they say nothing about which one it is."""

COMMON_WORDS = _words(
    """
    point points line lines angle angles triangle triangles circle circles side sides length
    lengths area function functions equation equations set sets sum product sqrt sin cos tan log
    range maximum minimum possible probability square squares degree degrees sequence total equal
    equals distinct digit digits right left satisfy satisfies satisfying radius plane axis
    distance arithmetic geometric time times two three pair pairs ordered ratio constant different
    divided remainder root roots solution solutions less greater greatest largest smallest
    increasing decreasing consecutive even odd percent expression polynomial average mean graph
    parallel perpendicular center interval complex system coordinates base alpha theta pi first
    second third intersect intersects intersection inscribed segment vertex vertices day days hour
    hours minutes cost costs price long choose random randomly
    """
)
"""Words that many problems have; they count half."""


def _kinds(**groups: str) -> dict[str, tuple[str, str]]:
    """Return word → (group, what it says); ``a=b`` gives a word the meaning of another."""
    found = {}
    for group, members in groups.items():
        for member in members.split():
            word, _, meaning = member.partition("=")
            found[word] = (group, meaning or word)
    return found


KINDS = _kinds(
    polygon="pentagon hexagon heptagon octagon nonagon decagon dodecagon pentagonal=pentagon "
    "hexagonal=hexagon octagonal=octagon quadrilateral tetrahedron octahedron",
    trig="sin cos tan cot sec csc",
    extreme="largest=max greatest=max maximum=max max=max maximal=max maximize=max biggest=max "
    "smallest=min least=min minimum=min min=min minimal=min minimize=min",
    power="square squares=square cube cubes=cube",
    parity="even odd",
    growth="increasing=up increases=up increase=up decreasing=down decreases=down decrease=down",
    operation="sum product difference quotient",
    measure="area perimeter volume circumference surface=area diameter=diameter radius=radius",
    often="twice=2 thrice=3 double=2 triple=3 half third=3 quarter=4 doubled=2 tripled=3",
    place="row rows=row column columns=column",
    average="mean=mean average=mean median mode",
)
"""Words of which one in place of another makes another problem, as another number does."""
HOW_MANY = ("operation", "count")
"""What ``how many`` and ``the number of`` ask for, beside the sum or the product."""
