"""Messages in a stream: whatever the pieces, the same messages; what cannot be a message ends it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.framing import Deframer, FramingError, frame

MESSAGES = st.lists(st.binary(min_size=12, max_size=400), max_size=8)


def pieces(data: bytes, sizes: list[int]) -> list[bytes]:
    found, at = [], 0
    for size in sizes:
        found.append(data[at : at + size])
        at += size
    return [*found, data[at:]]


@given(MESSAGES, st.lists(st.integers(1, 50), max_size=40))
def test_any_cut_gives_the_same_messages(messages, sizes):
    deframer, found = Deframer(), []
    for piece in pieces(b"".join(map(frame, messages)), sizes):
        deframer.feed(piece)
        found += deframer.take(1000)
    assert found == messages
    assert len(deframer) == 0


@given(MESSAGES, st.integers(0, 9))
def test_a_limit_leaves_the_rest_for_later(messages, limit):
    deframer = Deframer()
    deframer.feed(b"".join(map(frame, messages)))
    assert deframer.take(limit) == messages[:limit]
    assert deframer.take(100) == messages[limit:]


@pytest.mark.parametrize("length", range(12))
def test_a_length_below_a_header_ends_the_stream(length):
    deframer = Deframer()
    deframer.feed(length.to_bytes(2, "big") + bytes(length))
    with pytest.raises(FramingError, match=f"message of {length} bytes"):
        deframer.take(1)


def test_the_largest_message_fits_and_no_larger_one():
    largest = bytes(65_535)
    deframer = Deframer()
    deframer.feed(frame(largest))
    assert deframer.take(1) == [largest]
    with pytest.raises(FramingError, match="65536"):
        frame(bytes(65_536))
