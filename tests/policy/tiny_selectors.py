"""The selector language once more, as differently as possible: regular expressions and Python's own and, or, not.

Independent of `policy.selectors`; slow, without messages, and only for comparing.
"""

import re
from collections.abc import Callable, Mapping

LABEL = r"[A-Za-z0-9_./-]++"
END = r"(?![A-Za-z0-9_./-])"
STRING = r"(?:'[^']*'|\"[^\"]*\")"
B = r"[ \t]*"
OPERANDS: list[tuple[re.Pattern[str], Callable]] = [
    (re.compile(rf"has\({B}({LABEL}){B}\)"), lambda own, label: label in own),
    (re.compile(rf"(?:all|global)\({B}\)"), lambda own: True),
    (re.compile(rf"({LABEL}){B}=={B}({STRING})"), lambda own, label, text: own.get(label) == text[1:-1]),
    (re.compile(rf"({LABEL}){B}!={B}({STRING})"), lambda own, label, text: own.get(label) != text[1:-1]),
    (
        re.compile(rf"({LABEL}){B}contains{END}{B}({STRING})"),
        lambda own, label, text: label in own and text[1:-1] in own[label],
    ),
    (
        re.compile(rf"({LABEL}){B}starts{B}with{END}{B}({STRING})"),
        lambda own, label, text: label in own and own[label].startswith(text[1:-1]),
    ),
    (
        re.compile(rf"({LABEL}){B}ends{B}with{END}{B}({STRING})"),
        lambda own, label, text: label in own and own[label].endswith(text[1:-1]),
    ),
    (
        re.compile(rf"({LABEL}){B}not{B}in{END}{B}(\{{{B}(?:{STRING}{B}(?:,{B}{STRING}{B})*,?{B})?\}})"),
        lambda own, label, texts: own.get(label) not in members(texts),
    ),
    (
        re.compile(rf"({LABEL}){B}in{END}{B}(\{{{B}(?:{STRING}{B}(?:,{B}{STRING}{B})*,?{B})?\}})"),
        lambda own, label, texts: own.get(label) in members(texts),
    ),
]
SIGNS = {"&&": " and ", "||": " or ", "!": " not ", "(": "(", ")": ")"}


def members(texts: str) -> list[str]:
    return [text[1:-1] for text in re.findall(STRING, texts)]


def matches(text: str, own: Mapping[str, str]) -> bool | None:
    """Whether something with these labels is selected; None if the text is no selector."""
    rest, code, truths, before = text.strip(" \t"), "", [], ""
    if not rest:
        return True
    while rest:
        sign = next((sign for sign in SIGNS if rest.startswith(sign)), None)
        if sign is not None:
            if (sign == "(" and before in (")", "operand")) or (sign == ")" and before == "("):
                return None  # a call or a tuple, to Python
            code, rest, before = code + SIGNS[sign], rest[len(sign) :], sign
        else:
            found = next(((found, truth) for pattern, truth in OPERANDS if (found := pattern.match(rest))), None)
            if found is None:
                return None
            code += f" T[{len(truths)}] "
            truths.append(found[1](own, *found[0].groups()))
            rest, before = rest[found[0].end() :], "operand"
        rest = rest.lstrip(" \t")
    try:
        return bool(eval(code.strip(), {"T": truths}))
    except SyntaxError:
        return None
