"""The selector language against another reading of it: what is a selector, and what it selects."""

import warnings
from collections import Counter
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policy.selectors import SelectorError, parse
from tests.policy.tiny_selectors import matches

LABELS = ["a", "b", "in", "not", "has", "all", "contains", "starts", "x.y/z-1"]
STRINGS = ["''", "'a'", '"a"', "'ab'", "'quo\"te'", '"it\'s"', "' '", "'&& b'"]
OPERATORS = [
    "==",
    "!=",
    "contains",
    "starts with",
    "startswith",
    "ends\twith",
    "endswith",
    " == ",
    "in",
    "not in",
    "notin",
]
NOISE = ["=", "&", "|", "'", '"', "{", "}", ",", "(", ")", "!", "\n", "é", "all", "has(", "x", "'s'", "in", " "]


def operand(chance: Random) -> str:
    draw = chance.random()
    if draw < 0.2:
        return chance.choice(
            ["all()", "global( )", "all(\t)", f"has({chance.choice(LABELS)})", f"has( {chance.choice(LABELS)} )"]
        )
    label, operator = chance.choice(LABELS), chance.choice(OPERATORS)
    if operator.endswith("in"):
        values = chance.choice([",", ", ", " ,\t"]).join(chance.choices(STRINGS, k=chance.randint(0, 3)))
        return (
            f"{label} {operator}{chance.choice(['', ' '])}{{{values}{chance.choice(['', '', ',']) if values else ''}}}"
        )
    blank = chance.choice(["", " "]) if not operator[-1].isalpha() else " "
    return f"{label} {operator}{blank}{chance.choice(STRINGS)}"


def expression(chance: Random, depth: int = 0) -> str:
    if depth > 3 or chance.random() < 0.4:
        return chance.choice(["", "", "!", "!!", "! "]) + operand(chance)
    inner = [expression(chance, depth + 1) for _ in range(chance.randint(1, 3))]
    text = inner[0]
    for part in inner[1:]:
        text += chance.choice([" && ", " || ", "&&", "||"]) + part
    return f"{chance.choice(['', '!'])}({text})" if chance.random() < 0.5 else text


def damaged(chance: Random, text: str) -> str:
    for _ in range(chance.choice([0, 0, 1, 1, 2])):
        at = chance.randint(0, len(text))
        text = chance.choice(
            [text[:at] + chance.choice(NOISE) + text[at:], text[:at] + text[at + 1 :], text[:at], text[at:]]
        )
    return text


def own_labels(chance: Random) -> dict[str, str]:
    return {label: chance.choice(["", "a", "ab", 'quo"te', "it's", " "]) for label in LABELS if chance.random() < 0.5}


def read(text: str, own: dict[str, str]) -> bool | None:
    try:
        return parse(text).matches(own)
    except SelectorError:
        return None


@pytest.mark.parametrize("seed", range(6))
def test_both_readings_agree_on_what_is_a_selector_and_whom_it_selects(seed):
    chance, seen = Random(seed), Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SyntaxWarning)  # Python's opinion of its own text
        for _ in range(3000):
            text, own = damaged(chance, expression(chance)), own_labels(chance)
            found = read(text, own)
            assert found == matches(text, own), (text, own)
            seen[found] += 1
    assert min(seen[True], seen[False], seen[None]) > 300, seen


@settings(max_examples=300)
@given(st.integers(0, 2**32))
def test_what_is_the_same_selector_has_one_name(seed):
    """Blanks, quotes, spellings of operators, order and repeats in sets, brackets and double negations say nothing."""
    chance = Random(seed)
    text, own = expression(chance), own_labels(chance)
    selector = parse(text)
    again = parse(f" ( !!({selector.canonical}) ) ")
    assert (again.canonical, again.id) == (selector.canonical, selector.id)
    assert again.matches(own) == selector.matches(own) == matches(selector.canonical, own)
