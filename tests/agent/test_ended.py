"""What is written of ended connections, and where nothing can be."""

import errno
from ipaddress import ip_address

import pytest

from nfq.connection import Connection
from nfq.packet import FiveTuple
from nft.elements import Element
from nft.errors import NftError
from tests.render.states import state
from tidegate.agent import ended as module
from tidegate.agent.ended import KernelSets
from tidegate.render.ended import DATAGRAM_SECONDS, STREAM_SECONDS

PARTIES = {4: ("10.0.1.2", "192.0.2.1", "10.0.53.1"), 6: ("fd00::2", "2001:db8::1", "fd00:53::1")}


class Writer:
    """Stands for the kernel's sets."""

    def __init__(self, table, *, readd_refreshes):
        self.table, self.is_quick = table, readd_refreshes
        self.written, self.errno = [], 0
        self.elements = {}
        self.port_id = 7

    def write(self, changes):
        if self.errno:
            raise NftError(self.errno, "write elements of", "a set")
        self.written.append([(change.set_name, change.key, change.timeout_ms) for change in changes])

    def read(self, name):
        return self.elements.get(name, [])

    def close(self):
        pass


@pytest.fixture
def sets(monkeypatch):
    monkeypatch.setattr(module, "ElementWriter", Writer)
    return KernelSets("tidegate", readd_refreshes=True)


def connection(version=4, protocol=6, *, ports=(40000, 443), is_picked_up=False):
    """From a pod to a service that is behind another address, and by a host that answers in the pod's place."""
    pod, far, host = (ip_address(text).packed for text in PARTIES[version])
    source_port, port = ports if protocol != 47 else (None, None)
    return Connection(
        original=FiveTuple(version, protocol, pod, b"\1" * len(pod), source_port, 80),
        reply=FiveTuple(version, protocol, far, host, port, source_port),
        is_picked_up=is_picked_up, id=b"", key=b"",
    )  # fmt: skip


@pytest.mark.parametrize("version", [4, 6])
def test_the_direction_of_answers_is_written_as_rules_look_it_up(sets, version):
    assert sets.remember([connection(version)]) == 0
    _, far, host = (ip_address(text).packed for text in PARTIES[version])
    key = far + host + b"\6\0\0\0" + (443).to_bytes(2) + b"\0\0" + (40000).to_bytes(2) + b"\0\0"
    assert sets._writer.written == [[(f"ended{version}", key, STREAM_SECONDS * 1000)]]
    assert sets.commits == 1


def test_datagrams_are_remembered_for_a_shorter_time_and_pairs_without_ports(sets):
    sets.remember([connection(protocol=17), connection(protocol=47)])
    ((datagrams, pair),) = sets._writer.written
    assert (datagrams[0], datagrams[2]) == ("ended4", DATAGRAM_SECONDS * 1000)
    assert (pair[0], len(pair[1]), pair[2]) == ("ended-pairs4", 12, DATAGRAM_SECONDS * 1000)


def test_what_was_picked_up_in_its_middle_and_what_conntrack_begins_nothing_with_is_left_out(sets):
    assert sets.remember([connection(is_picked_up=True), connection(protocol=1), connection(6, protocol=58)]) == 0
    assert not sets._writer.written


def test_two_entries_with_one_direction_are_one_element(sets):
    """A transaction may name a key once."""
    sets.remember([connection(), connection()])
    assert [len(batch) for batch in sets._writer.written] == [1]


def test_many_are_written_in_pieces(sets):
    sets.remember([connection(ports=(number, 443)) for number in range(2500)])
    assert [len(batch) for batch in sets._writer.written] == [1000, 1000, 500]


def test_what_a_full_set_has_no_room_for_is_counted(sets):
    sets._writer.errno = errno.ENFILE
    assert sets.remember([connection(ports=(number, 443)) for number in range(1500)]) == 1500


def test_any_other_refusal_is_an_error(sets):
    sets._writer.errno = errno.ENOENT
    with pytest.raises(NftError):
        sets.remember([connection()])


def test_learned_addresses_are_read_for_the_sets_of_the_part(sets):
    part = state(domains={"d": ("a.test",)})
    name = next(iter(sets.learned(part)))
    pod, far = (ip_address(text) for text in PARTIES[4][:2])
    sets._writer.elements = {name: [Element(pod.packed + far.packed, 0, 0)]}
    assert sets.learned(part)[name] == [(pod, far)]
    assert len(sets.learned(part)) == 2
