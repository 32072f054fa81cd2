"""Who is called for which descriptor, whatever happened to descriptors meanwhile."""

import os
import socket

import pytest

from dnsagent.poller import READABLE, WRITABLE, Poller


@pytest.fixture
def poller():
    made = Poller()
    yield made
    made.close()


@pytest.fixture
def pair():
    ends = socket.socketpair()
    yield ends
    for end in ends:
        end.close()


def test_a_readable_descriptor_is_told_with_its_handler(poller, pair):
    told = []
    poller.watch(pair[0].fileno(), told.append)
    assert poller.wait(0) == []
    pair[1].send(b"x")
    [(descriptor, events)] = poller.wait(1)
    poller.handler(descriptor)(events)
    assert told == [READABLE]


def test_watching_again_replaces_events_and_handler(poller, pair):
    poller.watch(pair[0].fileno(), print)
    poller.watch(pair[0].fileno(), len, events=READABLE | WRITABLE)
    assert poller.wait(0) == [(pair[0].fileno(), WRITABLE)]
    assert poller.handler(pair[0].fileno()) is len
    assert len(poller) == 1


def test_a_hang_up_is_told(poller, pair):
    poller.watch(pair[0].fileno(), print)
    pair[1].close()
    [(_, events)] = poller.wait(1)
    assert events & ~WRITABLE


def test_what_is_unwatched_has_no_handler_and_may_be_closed_before(poller, pair):
    number = pair[0].fileno()
    poller.watch(number, print)
    pair[0].close()
    poller.unwatch(number)
    poller.unwatch(number)
    assert poller.handler(number) is None
    assert len(poller) == 0


def test_a_number_given_to_another_descriptor_is_watched_anew(poller, pair):
    number = pair[0].fileno()
    poller.watch(number, print)
    other = os.eventfd(1)
    os.dup2(other, number)
    poller.watch(number, len)
    assert poller.wait(0) == [(number, READABLE)]
    os.close(other)
