r"""Domain names and patterns: what is accepted, what it matches, and that canonical text comes back as what it was."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from policy.domains import DomainError, DomainName, DomainPattern, Wildcard

LABEL = st.binary(min_size=1, max_size=12).map(bytes.lower)
NAME = st.lists(LABEL, min_size=1, max_size=5).map(tuple)


def labels(text: str) -> tuple[bytes, ...]:
    return DomainName.parse(text).labels


@st.composite
def patterns(draw):
    wildcard = draw(st.sampled_from([None, *Wildcard]))
    return DomainPattern(draw(NAME) if wildcard and draw(st.booleans()) else (), wildcard, draw(NAME))


@pytest.mark.parametrize(
    ("pattern", "matching", "others"),
    [
        ("a.test", ["a.test"], ["b.test", "x.a.test", "test", "a.test.x"]),
        ("*.g.test", ["x.g.test", "a.b.g.test"], ["g.test", "test", "xg.test", "x.h.test"]),
        ("www.*.test", ["www.q.c.test", "www.c.test"], ["www.test", "www.c.org", "ww.c.test", "x.www.c.test"]),
        ("update.*.m.test", ["update.a.b.m.test", "update.a.m.test"], ["update.m.test", "a.update.b.m.test"]),
        ("*.a.test", ["_svc._tcp.a.test"], [r"evil\.a.test"]),
        ("a_b.test", ["a_b.test"], ["a-b.test"]),
        ("test", ["test"], ["a.test"]),
    ],
)
def test_a_pattern_matches_whole_labels(pattern, matching, others):
    parsed = DomainPattern.parse(pattern)
    assert all(parsed.matches(labels(name)) for name in matching)
    assert not any(parsed.matches(labels(name)) for name in others)


def test_a_single_label_wildcard_matches_exactly_one_label():
    parsed = DomainPattern.parse("*.g.test", Wildcard.SINGLE_LABEL)
    assert parsed.matches(labels("x.g.test"))
    assert not parsed.matches(labels("a.b.g.test"))
    assert not parsed.matches(labels("g.test"))
    assert DomainPattern.parse("*.g.test").with_wildcard(Wildcard.SINGLE_LABEL) == parsed
    assert DomainPattern.parse("g.test").with_wildcard(Wildcard.SINGLE_LABEL) == DomainPattern.parse("g.test")


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("a.test.", "a.test"),
        ("WwW.A.tEsT", "www.a.test"),
        ("bücher.test", "xn--bcher-kva.test"),
        ("BÜCHER.test", "xn--bcher-kva.test"),
        ("*.bücher.test", "*.xn--bcher-kva.test"),
        ("straße.test", "xn--strae-oqa.test"),
        ("日本。jp", "xn--wgv71a.jp"),
        (r"evil\.a.test", r"evil\.a.test"),
        (r"\*.test", r"\*.test"),
        (r"\101\\.test", r"e\\.test"),
        (r"\032x.test", r"\032x.test"),
        ("_svc._tcp.a.test", "_svc._tcp.a.test"),
    ],
)
def test_names_are_normalised(text, canonical):
    assert str(DomainPattern.parse(text)) == canonical
    assert DomainPattern.from_canonical(canonical) == DomainPattern.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (".", "empty"),
        ("a..b", "empty label"),
        (".a.test", "empty label"),
        ("a.test..", "empty label"),
        ("g*.test", "whole labels"),
        ("*g.test", "whole labels"),
        ("ü*.test", "whole labels"),
        ("*.*.test", "more than one wildcard"),
        ("a.*", "end in a wildcard"),
        ("*", "end in a wildcard"),
        ("*.", "end in a wildcard"),
        ("*{1}.g.test", "whole labels"),
        ("{1}.g.test", "without scheme"),
        ("a" * 64 + ".test", "64 bytes"),
        (".".join(["a" * 63] * 4), "257 bytes"),
        ("a." * 126 + "abc", "257 bytes"),
        ("*." + "a." * 126 + "a", "257 bytes"),
        ("a" * 10_000, "longer than 255"),
        ("https://a.test/", "without scheme"),
        ("a.test:443", "without scheme"),
        ("a b.test", "without scheme"),
        ("a\n.test", "without scheme"),
        ("☃.test", "international"),
        ("\ud800.test", "international"),
        ("ü\\..test", "A-label"),
        (r"a\256.test", "largest"),
        ("a.test\\", "escape"),
        (r"\1.test", "escape"),
        (r"\..{.test", "backslash|without"),
    ],
)
def test_bad_patterns_say_what_is_wrong(text, says):
    with pytest.raises(DomainError, match=says) as error:
        DomainPattern.parse(text)
    assert str(error.value).startswith("cannot")


def test_the_longest_names_are_accepted():
    assert len(DomainPattern.parse("a" * 63 + ".test").suffix[0]) == 63
    assert len(DomainPattern.parse("a." * 126 + "a").suffix) == 127
    assert len(DomainPattern.parse("*." + "a." * 125 + "a").suffix) == 126


def test_a_name_has_no_wildcard():
    with pytest.raises(DomainError, match="wildcard"):
        DomainName.parse("*.a.test")


def test_labels_of_a_message_are_folded_and_printed_with_escapes():
    name = DomainName.of([b"EVIL.A", b"te*t\xff", b"x"])
    assert name.labels == (b"evil.a", b"te*t\xff", b"x")
    assert str(name) == r"evil\.a.te\*t\255.x"
    assert str(DomainName(())) == "."


@given(NAME)
def test_printed_names_are_read_back(name):
    assert DomainName.parse(str(DomainName(name))).labels == name


@given(patterns())
def test_canonical_text_is_read_back(pattern):
    assert DomainPattern.from_canonical(str(pattern)) == pattern


@given(patterns(), patterns())
def test_patterns_with_one_text_are_equal(one, other):
    assert (str(one) == str(other)) == (one == other)


@given(st.text(max_size=300) | st.from_regex(r"[a*.\\{}1üß-]{0,30}", fullmatch=True))
@example("*{1}.a")
def test_any_text_is_a_pattern_or_a_domain_error(text):
    try:
        pattern = DomainPattern.parse(text)
    except DomainError:
        return
    assert DomainPattern.from_canonical(str(pattern)) == pattern
    assert pattern.wildcard is not Wildcard.SINGLE_LABEL
    assert all(label and len(label) <= 63 for label in (*pattern.prefix, *pattern.suffix))


@pytest.mark.parametrize("text", ["\u00ad", "a.\u00ad.test", "\u200b\u00ad.test"])
def test_a_label_of_which_nothing_is_left_is_refused(text):
    with pytest.raises(DomainError, match="mean nothing"):
        DomainPattern.parse(text)


@given(patterns(), st.lists(LABEL, max_size=4))
def test_a_pattern_matches_its_own_names(pattern, between):
    matched = pattern.matches((*pattern.prefix, *between, *pattern.suffix))
    assert (
        matched
        == {
            None: not between,
            Wildcard.LABELS: len(between) >= 1,
            Wildcard.SINGLE_LABEL: len(between) == 1,
        }[pattern.wildcard]
    )
