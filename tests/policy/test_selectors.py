"""The selector language: grammar, truth, errors, canonical text."""

import time
from base64 import urlsafe_b64encode
from hashlib import sha224

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from policy.selectors import ALL, Selector, SelectorError, parse
from policy.selectors.ast import (
    All,
    And,
    Contains,
    EndsWith,
    Equals,
    Expression,
    Global,
    Has,
    In,
    NotEquals,
    NotIn,
    Or,
    StartsWith,
    negation,
)
from policy.selectors.restrict import demands
from policy.selectors.rewrite import with_prefix
from policy.selectors.tokens import MAX_LABEL_LENGTH

# --- Truth ---


@pytest.mark.parametrize(
    ("text", "missing", "empty", "b"),
    [
        ("a == 'b'", False, False, True),
        ("a == 'B'", False, False, False),
        ("a == ''", False, True, False),
        ("a != 'b'", True, True, False),
        ("a in {'b', 'c'}", False, False, True),
        ("a in {}", False, False, False),
        ("a not in {'b'}", True, True, False),
        ("a not in {}", True, True, True),
        ("has(a)", False, True, True),
        ("!has(a)", True, False, False),
        ("a contains 'b'", False, False, True),
        ("a contains ''", False, True, True),
        ("a starts with 'b'", False, False, True),
        ("a starts with ''", False, True, True),
        ("a ends with 'b'", False, False, True),
        ("a ends with ''", False, True, True),
        ("all()", True, True, True),
        ("global()", True, True, True),
        ("", True, True, True),
        (" \t ", True, True, True),
        ("!all()", False, False, False),
    ],
)
def test_truth_by_missing_empty_and_present_label(text, missing, empty, b):
    selector = parse(text)
    assert [selector.matches(labels) for labels in ({}, {"a": ""}, {"a": "b"})] == [missing, empty, b]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("", "all()"),
        ("a=='b'", 'a == "b"'),
        ("a == 'b\"c'", "a == 'b\"c'"),
        ('a == "b\'c"', 'a == "b\'c"'),
        ("a in {'z','a',\"z\",}", 'a in {"a", "z"}'),
        ("a in{}", "a in {}"),
        ("a notin {'x'}", 'a not in {"x"}'),
        ("a not \t in {'x'}", 'a not in {"x"}'),
        ("a startswith 'x'", 'a starts with "x"'),
        ("a endswith'x'", 'a ends with "x"'),
        ("has( a )", "has(a)"),
        ("all( )", "all()"),
        ("global(\t)", "global()"),
        ("!!has(a)", "has(a)"),
        ("!!!has(a)", "!has(a)"),
        ("!(!(has(a)))", "has(a)"),
        ("!a == 'b'", '!a == "b"'),
        ("((has(a)))", "has(a)"),
        ("has(a) || has(b) && has(c)", "(has(a) || (has(b) && has(c)))"),
        ("(has(a) || has(b)) && has(c)", "((has(a) || has(b)) && has(c))"),
        ("has(a) && has(b) && has(c)", "(has(a) && has(b) && has(c))"),
        ("!(has(a) && has(b))", "!(has(a) && has(b))"),
        ("in in {'in'}", 'in in {"in"}'),
        ("not == 'x'", 'not == "x"'),
        ("not in {'x'}", 'not in {"x"}'),
        ("not not in {'x'}", 'not not in {"x"}'),
        ("contains contains 'c'", 'contains contains "c"'),
        ("starts starts with 'c'", 'starts starts with "c"'),
        ("has == 'a'", 'has == "a"'),
        ("all == 'a'", 'all == "a"'),
        ("has(has)", "has(has)"),
        ("has(in)", "has(in)"),
        ("a.b/c-d_e == 'x'", 'a.b/c-d_e == "x"'),
        ("a == 'line\nbreak'", 'a == "line\nbreak"'),
    ],
)
def test_canonical_text(text, canonical):
    assert parse(text).canonical == canonical


def test_negation_covers_one_operand():
    assert parse("!a == 'b' && has(c)").matches({"c": ""})
    assert not parse("!(a == 'b' && has(c))").matches({"a": "b", "c": ""})


def test_keywords_are_labels_when_an_operator_follows():
    assert parse("in in {'in'}").matches({"in": "in"})
    assert parse("not not in {'x'}").matches({"not": "y"})


def test_id_is_the_hash_of_the_canonical_text():
    digest = urlsafe_b64encode(sha224(b's:a == "b"').digest()).decode().rstrip("=")
    assert parse("a=='b'").id == f"s:{digest}"


def test_selectors_are_equal_when_their_canonical_texts_are():
    assert parse("a in {'x','y'}") == parse("a in {'y', 'x', 'x'}")
    assert len({parse(""), ALL, parse("all()"), parse("has(a)")}) == 2


# --- Errors ---


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("a", 1, "operator after the label"),
        ("a b", 2, "operator after the label"),
        ("a inb", 2, "operator after the label"),
        ("a = 'b'", 2, "=="),
        ("has(a) & has(b)", 7, "&&"),
        ("has(a) | has(b)", 7, "||"),
        ("a == 'b", 5, "closing quote"),
        ("a == b", 5, "a string"),
        ("'a' == 'b'", 0, "a label"),
        ("'a'", 0, "a label"),
        ("a == 'b' c == 'd'", 9, "the end of the selector"),
        ("a == 'b')", 8, "the end of the selector"),
        ("(a == 'b'", 9, "')'"),
        ("()", 1, "a label"),
        ("a == 'b' &&", 11, "a label"),
        ("a == 'b' && || has(a)", 12, "a label"),
        ("|| has(a)", 0, "a label"),
        ("a in {,}", 6, "'}'"),
        ("a in {'a' 'b'}", 10, "'}'"),
        ("a in {'a',,}", 10, "'}'"),
        ("a in {'a'", 9, "'}'"),
        ("a in 'a'", 5, "'{'"),
        ("a in {b}", 6, "'}'"),
        ("has (a)", 4, "operator after the label"),
        ("has()", 4, "a label"),
        ("has('a')", 4, "a label"),
        ("has(a", 5, "')'"),
        ("all ()", 4, "operator after the label"),
        ("all(a)", 3, "operator after the label"),
        ("global", 6, "operator after the label"),
        ("!", 1, "a label"),
        ("a ! in {'b'}", 2, "operator after the label"),
        ("has(a)\n&& has(b)", 6, "unexpected character"),
        ("has(a)\u00a0", 6, "unexpected character"),
        ("ä == 'b'", 0, "unexpected character"),
        ("a == 'b' || $", 12, "unexpected character"),
        ("x" * (MAX_LABEL_LENGTH + 1) + " == 'a'", 0, "longer than 512"),
        ("(" * 101 + "has(a)" + ")" * 101, 100, "nested more than 100"),
    ],
)
def test_errors_say_where_and_why(text, offset, message):
    with pytest.raises(SelectorError) as caught:
        parse(text)
    assert (caught.value.offset, message in caught.value.message) == (offset, True), str(caught.value)
    assert str(caught.value).startswith("cannot parse selector")


def test_the_longest_label_and_the_deepest_brackets_are_accepted():
    assert parse("x" * MAX_LABEL_LENGTH + " == 'a'")
    assert parse("(" * 100 + "has(a)" + ")" * 100) == parse("has(a)")
    deep = "!(has(a) && " * 100 + "has(a)" + ")" * 100
    assert parse(deep).matches({"a": "1"}) is True
    assert demands(with_prefix(parse(deep).expression, "p.")) == {}


def test_time_is_linear_in_the_length():
    def cost(count: int) -> float:
        text = " || ".join(["!!!!a in {'x', 'y'} && b not in {}"] * count)
        start = time.process_time()
        parse(text)
        return time.process_time() - start

    cost(1000)
    assert min(cost(8000) for _ in range(3)) < 20 * min(cost(1000) for _ in range(3))


# --- Properties ---

LABELS = st.sampled_from(["a", "b", "in", "not", "has", "all", "starts", "x.y/z"])
VALUES = st.sampled_from(["", "a", "ab", "b", 'quo"te', "quo'te", "\n", "ü"])
SETS = st.frozensets(VALUES, max_size=3)
LABEL_SETS = st.dictionaries(LABELS, VALUES)


def label_tests() -> st.SearchStrategy[Expression]:
    return st.one_of(
        *(st.builds(kind, LABELS, VALUES) for kind in (Equals, NotEquals, Contains, StartsWith, EndsWith)),
        *(st.builds(kind, LABELS, SETS) for kind in (In, NotIn)),
        st.builds(Has, LABELS),
        st.just(All()),
        st.just(Global()),
    )


EXPRESSIONS: st.SearchStrategy[Expression] = st.recursive(
    label_tests(),
    lambda inner: st.one_of(
        inner.map(negation),
        st.lists(inner, min_size=2, max_size=3).map(lambda operands: And(tuple(operands))),
        st.lists(inner, min_size=2, max_size=3).map(lambda operands: Or(tuple(operands))),
    ),
    max_leaves=12,
)


@given(EXPRESSIONS, LABEL_SETS)
def test_canonical_text_parses_to_the_same_selector(expression, labels):
    selector = Selector(expression)
    again = parse(selector.canonical)
    assert again == selector
    assert again.id == selector.id
    assert again.matches(labels) == selector.matches(labels)


@given(EXPRESSIONS, LABEL_SETS)
def test_whoever_matches_satisfies_the_demands(expression, labels):
    if expression.matches(labels):
        for label, values in demands(expression).items():
            assert label in labels
            assert values is None or labels[label] in values


@given(EXPRESSIONS, LABEL_SETS)
def test_prefixed_selector_sees_only_prefixed_labels(expression, labels):
    prefixed = with_prefix(expression, "pcns.")
    assert prefixed.matches({f"pcns.{label}": value for label, value in labels.items()}) == expression.matches(labels)
    assert prefixed.matches(labels) == expression.matches({})


PIECES = st.sampled_from(
    ["a", "b", "in", "not", " ", "\t", "'", '"', "'x'", "==", "!=", "=", "!", "&&", "||", "(", ")", "{", "}", ",",
     "has(", "all()", "global(", "contains", "starts with", "endswith", "\n", "é"]
)  # fmt: skip


@given(st.one_of(st.text(), st.lists(PIECES).map("".join), st.lists(PIECES).map(" ".join)))
@settings(deadline=None)  # the examples are long on purpose
@example("(" * 100_000)
@example("!" * 100_000 + "has(a)")
@example("'" * 9)
def test_any_text_parses_or_raises_a_selector_error_inside_the_text(text):
    try:
        selector = parse(text)
    except SelectorError as error:
        assert 0 <= error.offset <= len(text)  # noqa: PT017
    else:
        assert parse(selector.canonical) == selector


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("a == 'b' && has(c)", {"a": {"b"}, "c": None}),
        ("a in {'b','c'} && a in {'c','d'}", {"a": {"c"}}),
        ("has(a) && a == 'b'", {"a": {"b"}}),
        ("a == 'b' || a == 'c'", {"a": {"b", "c"}}),
        ("a == 'b' || has(a)", {"a": None}),
        ("a == 'b' || has(c)", {}),
        ("a != 'b'", {}),
        ("!has(a)", {}),
        ("all()", {}),
        ("a in {}", {"a": set()}),
    ],
)
def test_demands(text, wanted):
    assert demands(parse(text).expression) == wanted
