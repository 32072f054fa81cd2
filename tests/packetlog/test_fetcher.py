"""What is fetched is fetched once, whatever becomes of the packet process; what it never saw is counted."""

from base64 import b64encode

from hypothesis import given
from hypothesis import strategies as st

from dnsagent.link import LinkError
from tidegate.packetlog.fetcher import LogFetcher
from tidegate.packetlog.unseen import Unseen

COUNTS = {"lost": 0, "malformed": 0, "unread": 0, "dropped": 0, "received": 0}


class Process:
    """A packet process's side of the link, of one life after the other."""

    def __init__(self) -> None:
        self.lives, self.is_away = 0, False
        self.begin()

    def begin(self):
        self.lives += 1
        self.copies, self.confirmed, self.counts = [], 0, dict(COUNTS)

    def copy(self, *tags):
        self.copies += [[1.5, tag, 7, 2, None, "0200", b64encode(tag.encode()).decode()] for tag in tags]

    def page(self, life, after):
        if self.is_away:
            raise LinkError("cannot logged: nobody is there")
        if life == str(self.lives):
            self.confirmed = max(self.confirmed, after)
        found = self.copies[self.confirmed : self.confirmed + 2]
        last = self.confirmed + len(found)
        return {"copies": found, "life": str(self.lives), "last": last, "more": len(found) == 2, **self.counts}


def tags(taken):
    return [packet.origin.prefix.decode() for _, packet in taken]


def fetcher(process, came=lambda: None):
    return LogFetcher(process.page, came)


def test_every_copy_is_taken_once_page_after_page():
    process = Process()
    source = fetcher(process)
    process.copy("a", "b", "c")
    first = source.take()
    assert tags(first) == ["a", "b", "c"]
    at, packet = first[0]
    assert (at, bytes(packet.payload), packet.origin.mark, packet.origin.in_index) == (1.5, b"a", 7, 2)
    assert source.take() == []
    process.copy("d")
    assert tags(source.take()) == ["d"]


def test_a_new_life_is_read_from_its_beginning_and_losses_of_all_lives_are_added():
    process = Process()
    source = fetcher(process)
    process.copy("a")
    process.counts |= {"lost": 2}
    assert tags(source.take()) == ["a"]
    process.begin()
    process.copy("b", "c", "d")  # more than the life before gave: its number would confirm the first of them
    process.counts |= {"lost": 3}
    assert tags(source.take()) == ["b", "c", "d"]
    assert source.lost == 5


def test_while_nobody_is_there_the_reason_is_told():
    process = Process()
    source = fetcher(process)
    process.is_away = True
    assert source.take() == []
    assert "nobody is there" in source.error
    process.is_away = False
    source.take()
    assert source.error == ""


def test_packets_that_came_while_nobody_was_there_are_counted():
    process, came = Process(), [100]
    source = fetcher(process, lambda: came[0])
    process.counts["received"] = 40  # the count of the rules has begun earlier: only what comes from now on is compared
    source.take()
    came[0], process.counts["received"] = 110, 50
    source.take()
    process.is_away, came[0] = True, 117
    source.take()
    process.begin()
    process.is_away, came[0], process.counts["received"] = False, 120, 3
    source.take()
    source.take()
    assert source.unseen == 7


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_what_is_received_by_the_next_look_is_never_counted(steps):
    unseen, came = Unseen(), 0
    unseen.look(0, 0)
    for more, _ in steps:
        received = came  # all that had come by the last look
        came += more
        unseen.look(came, received)
    unseen.look(came, came)
    assert unseen.count == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1))
def test_whatever_is_not_received_is_counted_in_the_end(steps):
    unseen, came, received = Unseen(), 0, 0
    unseen.look(0, 0)
    for seen, missed in steps:
        came, received = came + seen + missed, received + seen
        unseen.look(came, received)
    unseen.look(came, received)
    assert unseen.count == came - received


def test_a_table_made_anew_counts_from_zero():
    unseen = Unseen()
    for came, received in ((50, 0), (60, 10), (5, 15), (5, 15)):
        unseen.look(came, received)
    assert unseen.count == 0
