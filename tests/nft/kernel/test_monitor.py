"""Announcements of commits, from the real kernel."""

import contextlib
import subprocess
import threading

import pytest

from netlink.transport import NetlinkSocket
from nft.elements import Change, ElementWriter, Operation
from nft.monitor import LOST, MAX_PORTS, Monitor
from nft.monitor import own_task as task_through
from nft.transport import KernelTransport

pytestmark = pytest.mark.kernel


@pytest.fixture
def kernel(netns):
    kernel = KernelTransport()
    kernel.run("add table inet tg\nadd set inet tg d4 { type ipv4_addr; flags timeout; }")
    return kernel


def own_task():
    with contextlib.closing(NetlinkSocket()) as link:
        return task_through(link)


@pytest.fixture
def monitor(kernel):
    monitor = Monitor("tg")
    yield monitor
    monitor.close()


@pytest.fixture
def writer(kernel):
    writer = ElementWriter("tg")
    yield writer
    writer.close()


def add(last):
    return Change(Operation.ADD, "d4", bytes([10, 0, 0, last]), 60_000)


def nft(script):
    subprocess.run(["nft", "-f", "-"], input=script.encode(), check=True)


def test_nothing_happened_is_nothing_read(monitor):
    assert monitor.read() == []


def test_our_own_commit_is_known_by_its_task(kernel, monitor):
    kernel.run("add chain inet tg one\nadd chain inet tg two")
    (commit,) = monitor.read()
    assert commit.task == own_task()
    assert commit.touches_objects


def test_every_thread_has_a_task_of_its_own(kernel, monitor):
    tasks = []
    thread = threading.Thread(target=lambda: (kernel.run("add chain inet tg one"), tasks.append(own_task())))
    thread.start()
    thread.join()
    (commit,) = monitor.read()
    assert tasks == [commit.task]
    assert tasks != [own_task()]


@pytest.mark.parametrize(
    "script", ["flush ruleset", "delete table inet tg", "add chain inet tg c", "delete set inet tg d4"]
)
def test_another_programs_change_is_told_with_its_name(monitor, script):
    nft(script)
    (commit,) = monitor.read()
    assert commit.program == "nft"
    assert commit.task != own_task()
    assert commit.touches_objects


def test_changed_elements_are_told_by_set(monitor):
    nft("add element inet tg d4 { 10.0.0.1 timeout 1m }")
    (commit,) = monitor.read()
    assert not commit.touches_objects
    assert commit.element_sets == {"d4"}
    assert not commit.shrunk_sets
    nft("flush set inet tg d4")
    (commit,) = monitor.read()
    assert commit.shrunk_sets == {"d4"}


def test_changed_rules_are_told_by_chain(kernel, monitor):
    kernel.run("add chain inet tg one\nadd chain inet tg two\nadd rule inet tg two accept")
    nft("add rule inet tg one accept\nflush chain inet tg two")
    assert monitor.read()[-1].rule_chains == {"one", "two"}


def test_changes_of_other_tables_are_not_told(monitor):
    nft("add table inet other\nadd chain inet other c\nadd table ip tgx\nadd set inet other d4 { type ipv4_addr; }")
    assert monitor.read() == []


def test_commits_come_in_order_each_with_its_own(kernel, monitor):
    kernel.run("add chain inet tg one")
    nft("add table inet other")
    nft("add element inet tg d4 { 10.0.0.1 timeout 1m }")
    assert [commit.element_sets for commit in monitor.read()] == [frozenset(), frozenset({"d4"})]


def test_commits_of_ignored_ports_do_not_wake_us(monitor, writer):
    writer.write([add(1)])
    assert [commit.element_sets for commit in monitor.read()] == [{"d4"}]
    monitor.ignore_ports({writer.port_id, 1, 2})
    writer.write([add(2)])
    assert monitor.read() == []
    nft("add chain inet tg c")
    assert len(monitor.read()) == 1
    monitor.ignore_ports(())
    writer.write([add(3)])
    assert len(monitor.read()) == 1


def test_the_ports_to_ignore_are_bounded(monitor):
    monitor.ignore_ports(range(1, MAX_PORTS + 1))
    with pytest.raises(ValueError, match="at most"):
        monitor.ignore_ports(range(1, MAX_PORTS + 2))


def test_lost_announcements_are_told(kernel, monkeypatch):
    monkeypatch.setattr("nft.monitor.RECEIVE_BUFFER_BYTES", 1 << 12)
    monitor = Monitor("tg")
    for number in range(50):
        kernel.run(f"add chain inet tg c{number}")
    commits = monitor.read()
    monitor.close()
    assert LOST in commits
