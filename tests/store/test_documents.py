"""Reading files: what documents they hold, what is told of those that cannot be read, and that no file can hurt."""

import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidegate.store.document import MAX_DEPTH, Document, line_of
from tidegate.store.documents import MAX_FILE_BYTES, read
from tidegate.store.scalars import plain_scalar
from tidegate.store.yaml_reader import MAX_ALIASED

TEXT = st.text(
    st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), max_size=60
)  # YAML: a key in a line has at most 1024 characters
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXT, inner, max_size=5),
    max_leaves=30,
)


def yaml(text: str) -> list[Document]:
    return list(read(text.encode()))


def value(text: str) -> object:
    (document,) = yaml(text)
    assert not document.faults, document.faults
    return document.value


def fault(text: str | bytes, **options) -> str:
    (document,) = read(text if isinstance(text, bytes) else text.encode(), **options)
    assert document.value is None
    (only,) = document.faults
    return only.message


def test_documents_of_a_file_have_their_lines_and_empty_ones_are_left_out():
    found = yaml("# only a comment\n---\n\n---\na: 1\n--- {b: 2}\n---\n\n# c\nc: 3\n...\n---\n")
    assert [(document.line, document.value) for document in found] == [(5, {"a": 1}), (6, {"b": 2}), (10, {"c": 3})]


def test_a_malformed_document_leaves_its_neighbours_alone():
    found = yaml("a: 1\n---\nb: [1\n---\nc: 3\n--- \nd: 'open\n---\ne: 5\n")
    assert [document.value for document in found] == [{"a": 1}, None, {"c": 3}, None, {"e": 5}]
    assert found[1].faults[0].message.startswith("line 4, column 1: cannot parse YAML: ")
    assert [document.line for document in found] == [1, 4, 5, 8, 9]


def test_dots_end_a_document_and_the_next_begins_with_dashes():
    assert [document.value for document in yaml("a: 1\n...\n---\nb: 2\n...\n")] == [{"a": 1}, {"b": 2}]
    first, second = yaml("a: 1\n...\nb: 2\n")
    assert first.value == {"a": 1}
    assert second.faults[0].message.startswith("line 3")


def test_directives_and_byte_order_marks_are_no_documents():
    assert value("%YAML 1.1\n---\na: 1\n") == {"a": 1}
    for encoding in ("utf-8-sig", "utf-16"):
        assert [document.value for document in read("a: ü\n".encode(encoding))] == [{"a": "ü"}]
    assert [document.value for document in read(b"a: 1\r\n---\r\nb: 2\r\n")] == [{"a": 1}, {"b": 2}]


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        ("20:22", "20:22"),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z"),
        ("80", 80),
        ("-1", -1),
        ("+1", 1),
        ("1_000", 1000),
        ("0x1F", 31),
        ("0o17", 15),
        ("017", 15),
        ("0b11", 3),
        ("1.5", 1.5),
        ("1e3", 1000.0),
        (".5", 0.5),
        (".", "."),
        ("0x", "0x"),
        ("1.2.3", "1.2.3"),
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("yes", True),
        ("Off", False),
        ("y", "y"),
        ("~", None),
        ("", None),
        ("null", None),
        ("nULL", "nULL"),
        ("'80'", "80"),
        ('"yes"', "yes"),
        ("!!str 80", "80"),
        ("!!int '80'", 80),
        ("! 80", "80"),
        (".inf", float("inf")),
        ("9" * 5000, float("inf")),
        ("<<", "<<"),
        ("=", "="),
    ],
)
def test_scalars_mean_what_kubernetes_takes_them_for(text, read_as):
    assert value(f"a: {text}") == {"a": read_as}
    assert type(value(f"a: {text}")["a"]) is type(read_as)


def test_keys_become_text():
    assert value("{1: a, true: b, 1.5: c, 'x': d}") == {"1": "a", "true": "b", "1.5": "c", "x": "d"}


@pytest.mark.parametrize("key", ["~", "[a]", "{a: b}", "? [a]\n"])
def test_other_keys_are_refused(key):
    assert "as a key" in fault(f"{key}: 1")


def test_a_key_that_stands_twice_is_told_with_its_line():
    assert fault("a:\n  b: 1\n  c: 2\n  b: 3\n") == "line 4: cannot use the key 'b' twice in one mapping"
    assert "twice" in fault('{"a": 1, "a": 2}', is_json=True)


def test_aliases_and_merges():
    assert value("a: &x [1, 2]\nb: *x\n") == {"a": [1, 2], "b": [1, 2]}
    assert value("a: &x {p: 1, q: 2}\nb:\n  q: 3\n  <<: *x\nc: {<<: [*x, {r: 4}]}\n") == {
        "a": {"p": 1, "q": 2},
        "b": {"q": 3, "p": 1},
        "c": {"p": 1, "q": 2, "r": 4},
    }
    assert value("&k key: *k") == {"key": "key"}
    assert "anchor" in fault("a: *x")
    assert "anchor" in fault("a: &x [*x]")
    assert "merge" in fault("a: {<<: 1}")


def test_a_bomb_of_aliases_is_refused_at_once():
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 30)
    )
    began = time.perf_counter()
    assert str(MAX_ALIASED) in fault(bomb)
    assert time.perf_counter() - began < 1
    merges = "a0: &a0 {x: [1, 2, 3]}\n" + "".join(
        f"a{i}: &a{i} {{{', '.join(f'k{j}: *a{i - 1}' for j in range(10))}}}\n" for i in range(1, 30)
    )
    assert str(MAX_ALIASED) in fault(merges)


@pytest.mark.parametrize("is_json", [False, True])
def test_depth_is_bounded(is_json):
    nested = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert next(iter(read(nested.encode(), is_json=is_json))).faults == ()
    for depth in (MAX_DEPTH + 1, 200_000):
        for begin, end in (("[", "]"), ('{"a":', "}")):
            assert "deep" in fault(begin * depth + ("1" if begin != "[" else "") + end * depth, is_json=is_json)


def test_size_is_bounded():
    assert "at most" in fault(b" " * (MAX_FILE_BYTES + 1))


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"a: 1\nb: \xff\n", 2),
        (b"a: 1\n\nb: \x00\n", 3),
        (b"a: 1\nb: \x07\n", 2),
        (b"a:\n\tb: 1\n", 2),
        (b"a: !foo x", 1),
        (b"a: 1\n  b: 2\n", 2),
        (b"{a", 1),
        (b"a: !!int x", 1),
        (b"a: !!binary eA==", 1),
        (b"- 1\n- !!set {a}\n", 2),
    ],
)
def test_what_cannot_be_read_is_told_with_its_line(content, line):
    assert fault(content).startswith((f"line {line}", f"line {line + 1}"))
    assert "cannot" in fault(content)


def test_json_files_hold_one_value_after_the_other():
    found = list(read(b'{"a": 1}\n\n{"b": [1.5, true, null]} ', is_json=True))
    assert [(document.line, document.value) for document in found] == [(1, {"a": 1}), (3, {"b": [1.5, True, None]})]
    assert list(read(b" \n ", is_json=True)) == []


@pytest.mark.parametrize(
    "text", ['{"a": 1', '{"a": NaN}', '{"a": Infinity}', "nope", "{'a': 1}", '{"a": ' + "9" * 5000 + "}"]
)
def test_malformed_json_is_told_with_its_line(text):
    assert fault(text, is_json=True).startswith("line 1")


def test_what_stands_before_malformed_json_counts():
    first, second = read(b'{"a": 1}\n{"b": }', is_json=True)
    assert first.value == {"a": 1}
    assert second.faults[0].message.startswith("line 2, column 7")


def test_fields_are_found_by_their_path():
    (document,) = yaml("---\na:\n  b:\n  - c: 1\n    d.e/f: 2\n  - [x]\ng: &x {h: 1}\ni: *x")
    for path, line in {
        "a": 2,
        "a.b": 3,
        "a.b[0]": 4,
        "a.b[0]['d.e/f']": 5,
        "a.b[0].missing": 4,
        "a.b[1][0]": 3,
        "a.b[9]": 3,
        "i.h": 7,
        "nope.x": 2,
        "": 2,
    }.items():
        assert line_of(document, path) == line, path
    (as_json,) = read(b'\n{"a": 1}', is_json=True)
    assert line_of(as_json, "a") == 2


@given(JSON_VALUES)
def test_json_reads_back_by_both_readers(written):
    found = [document.value for document in read(json.dumps(written).encode(), is_json=True)]
    assert found == [written]
    # YAML has no null document, and no surrogate pairs as JSON escapes them beyond the basic plane.
    if written is not None:
        found = [document.value for document in read(json.dumps(written).encode())]
        assert found == [written]


@given(st.text() | st.from_regex(r"[-a: \n\[\]{},&*!|>'\"#%?<~01.]{0,60}", fullmatch=True))
def test_any_text_gives_documents_or_faults(text):
    for is_json in (False, True):
        for document in read(text.encode("utf-8", "surrogatepass"), is_json=is_json):
            assert document.line >= 1
            assert (document.value is None) == bool(document.faults) or is_json


@given(st.binary())
def test_any_bytes_give_documents_or_faults(content):
    for is_json in (False, True):
        list(read(content, is_json=is_json))


@given(st.text(max_size=30))
def test_any_plain_scalar_has_a_meaning(text):
    plain_scalar(text)
