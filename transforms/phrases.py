"""The words with which texts state, doubt, deny and take back an answer: expressions, no logic.

Every expression is linear: no unbounded part stands beside another. What finds answers with them is
in ``statements`` and ``answers``.
"""

from __future__ import annotations

import re

LABEL = re.compile(
    r"\b(?:final\s{1,3}answer|answer|(?:final|numerical)\s{1,3}(?:result|value)|the\s{1,3}result|"
    r"the\s{1,3}solutions?(?:\s{1,3}sets?)?|(?:correct|right)\s{1,3}(?:option|choice))"
    r"(?:\s{1,3}(?:to\s{1,3}th(?:e|is)\s{1,3}(?:problem|question)|here))?[*_ ]{0,4}"
    r"(?:\s{1,3}(?:is|are|would\sbe|must\sbe|should\sbe|might\sbe|may\sbe|could\sbe)\b|\s{0,3}=|:)"
    r"[*_ ]{0,4}:?[ \t]*"
    r"|^#{4}[ \t]*|^[ \t]*(?:\*\*)?A(?:\*\*)?:[ \t]*"
    r"|^[#>*_ \t]{0,12}(?:ans\b\.?|(?:final\s{1,3})?(?:result|solution)s?)[*_ ]{0,4}[:=]"
    r"[*_: \t]{0,8}"
    r"|^[#*_ \t]{0,12}(?:final\s{1,3}answer|answer|ans\.?)[*_: \t]{0,12}$\n*"
    r"|^[#*_ \t]{0,12}ans\.[ \t]{1,3}",
    re.I | re.M,
)
# The same in French, Spanish, Portuguese, Italian, German, Russian, Chinese, Japanese.
FOREIGN = re.compile(
    r"\b(?:la\s{1,3}r[ée]ponse(?:\s{1,3}finale)?\s{1,3}est|la\s{1,3}respuesta(?:\s{1,3}final)?\s{1,3}es|"
    r"a\s{1,3}resposta(?:\s{1,3}final)?\s{1,3}é|la\s{1,3}risposta\s{1,3}è|"
    r"die\s{1,3}antwort\s{1,3}(?:ist|lautet)|(?:r[ée]ponse|respuesta|resposta|risposta|antwort|ответ)"
    r"[*_ ]{0,4}:)[*_: \t]{0,8}"
    r"|答案(?:是|为|為|[:：])[:： ]{0,3}|^答[:：][ \t]{0,3}|(?<!不)选(?:择)?[:： ]{0,3}(?=[A-J])"
    r"|答え(?:は|[:：])",
    re.I | re.M,
)
# Without their first letters, which may be capitals.
FOREIGN_WORDS = ("ponse", "espuesta", "esposta", "isposta", "ntwort", "тв", "答", "选")
JSON = re.compile(
    r'"(?:final[_ ]?)?answer"\s{0,3}:\s{0,3}'
    r'(?:"((?:[^"\\\n]|\\.){1,400})"|([^",{}\[\]\n]{1,200}))',
    re.I,
)
HEDGE = re.compile(
    r"\b(?:either|maybe|perhaps|possibly|might|may be|could be(?! \w+ing)|not sure|unsure|i guess|"
    r"i think|probably|unclear|cannot determine|don't know|do not know|likely)\b|\?\s*\Z",
    re.I,
)
WITHDRAWN = re.compile(
    r"\b(?:wait|wrong|incorrect|mistake|oops|correction:|is false|scratch that|not correct|"
    r"isn't right|not right|"
    r"let me (?:re|check|try)|on second thought|actually|hold on|disregard|ignore that|"
    r"should (?:be|have been)|i take that back|retract|could (?:just as well|equally(?: well)?) be|"
    r"(?:cannot|can't) (?:really )?tell|not (?:\w{1,12} )?(?:sure|certain|confident)|unsure|"
    r"or (?:maybe|perhaps|possibly)|"
    r"(?:is not|isn't) (?:the|my|our) (?:\w{1,12} )?(?:answer|solution|result|one)\b|"
    r"but the (?:(?:correct|right|real|true|final) )?answer)\b",
    re.I,
)
# What every match of the two expressions above holds: cheap tests first.
HEDGING = ("either", "may", "perhaps", "possibly", "might", "could be", "not sure", "unsure",
           "guess", "i think", "probably", "unclear", "cannot d", "know", "likely",
           "?")  # fmt: skip
WITHDRAWING = (
    "oops", "is false", "wait", "wrong", "incorrect", "not correct", "mistake", "scratch that",
    "n't right", "not right", "let me ", "second thought", "actually", "hold on", "disregard",
    "ignore that", "should ", "take that", "retract", "but the", "correction:", "is not", "isn't",
    "well be", "equally", " tell", " sure", "unsure", " certain", " confident", "or maybe",
    "or perhaps", "or possibly",
)  # fmt: skip
CLAUSE_END = re.compile(
    r"\.(?=\s|\Z)(?!\s*\.)|\n|;|!(?=\s|\Z)|\?(?=\s|\Z)|,?\s+(?:because|since|which|as|where|so|"
    r"when|for|with|by|if|however|but)\b|,\s+(?=[a-z]{3,})(?!or\b|and\b)"
    r"|\s+\((?=(?:since|because|as|where|check|from|using|note|i\.e|that is|see|approx|about|"
    r"roughly|around|rounded)\b)|[。．](?=\s|\Z)",
    re.I,
)
YES_NO = re.compile(r"(yes|no|true|false)\b(?=[,.:;!]|\s*$)", re.I)
ADVERB = re.compile(r"(?:therefore|thus|hence|then|so|simply|just|clearly|indeed),?[ \t]+", re.I)
MATH = re.compile(r"\$([^$\n]{1,400})\$|\\\(([^\n]{1,400}?)\\\)|\\\[([^\n]{1,400}?)\\\]")
DENIED = re.compile(
    r"(?:definitely |certainly |clearly |surely |simply )?(?:not|never|neither|none|all but)\b",
    re.I,
)
# Words between a label and a value that make the answer something else than the value.
QUALIFYING = re.compile(
    r"(?:\b(?:not|never|neither|nor|except|excluding|excludes?|besides|without|other|different|"
    r"less|more|greater|fewer|larger|smaller|twice|half|double|triple|times|between|least|most|"
    r"negative|minus|plus|square|cube|root|reciprocal|opposite|inverse|complement|hardly|"
    r"unlikely|unequal|from|above|below|over|under|outside|multiples?|divisible|divisors?|factors?)"
    r"|n't)(?:\s(?:than|to|from|of|the|an?|or|equal|by|values?|numbers?|for)){0,4}\s*\Z",
    re.I,
)
MARKDOWN = re.compile(
    r"^[ \t]*(?:[#>]+|[-*+](?=\s)|\d+\.(?=\s))?[ \t]*(?:(?:∴|⇒|⟹|→|✅|➡|=>|->)\ufe0f?[ \t]*)?"
)
# What stands between a heading and its answer: blank lines, marks, an underline.
UNDERLINED = re.compile(r"[\s*_:]*(?:[-=]{3,}[ \t]*(?:\n|\Z))?[\s*_:]*")
ASIDE = re.compile(
    r"\s*\((?:i\.e\.|that is|about|approx|roughly|around|rounded|or about|or approx|≈|\$?\\approx)"
    r"[^()]{0,80}\)\s*\Z",
    re.I,
)
NAMED_LINE = re.compile(r"[A-Z][A-Za-z ]{1,30}:[ \t]+(?=.*=)")
# Before a value that "is the answer": an operator, or a word that makes it something else.
TURNED_ASIDE = re.compile(
    r"(?:[-+*/<>^]|\b(?:minus|plus|or|and|times|twice|half|of|than|least|most|neither|nor|not|never))"
    r"[\s$]*\Z",
    re.I,
)
DENYING = re.compile(r"\b(?:not|neither|never|nobody|none|nor|hardly|unlikely)\b|n't\b", re.I)
# What stands right before or after a box that is only a part of the answer.
PART_BEFORE = re.compile(r"[^\s$*(\[{=:.,;>-]\s?[-+*/^]\Z|=\s?-\Z|(?:\\cdot|\\times|\\div|\^)\s?\Z|"
                         r"\d\$?\s(?:or|and/or)\s(?:\$|\\[(])?\Z")  # fmt: skip
PART_AFTER = re.compile(
    r"\s?(?:\^|\\cdot(?![a-z])|\\times(?![a-z])|\\div(?![a-z])|[+*/]\s?\\?[\d(a-z]|-\s?\d)"
    r"|\s?(?:\$|\\[)\]])?\s(?:or|and/or)\s(?:\$|\\[(])?-?\d"
)
