"""Each finding, on machines made of files."""

import os
from pathlib import Path

import pytest

from netlink.transport import NetlinkSocket
from tidegate.agent import doctor
from tidegate.agent.doctor import Verdict
from tidegate.agent.machine import Machine
from tidegate.config.settings import Settings

QUEUES = """  101  12345     3 2 65531     0     2        7  1
"""


@pytest.fixture
def machine(tmp_path):
    def write(**files):
        for name, text in files.items():
            path = tmp_path / name.replace("__", "/")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return Machine(tmp_path)

    return write


def _put(machine, path, text):
    full = machine.root / path
    full.parent.mkdir(parents=True, exist_ok=True)
    full.write_text(text)


def test_missing_capabilities_are_named(machine):
    here = machine(proc__self__status="Name: x\nCapEff:\t0000000000001000\n")
    found = doctor.privileges(here)
    assert (found.verdict, found.finding) == (Verdict.WARNING, "missing: CAP_NET_RAW, CAP_SYS_ADMIN")
    assert doctor.privileges(machine(proc__self__status="CapEff: 000001ffffffffff")).verdict is Verdict.GOOD
    assert doctor.privileges(machine(proc__self__status="CapEff: 0")).verdict is Verdict.BAD


def test_queues_tell_their_listeners_and_losses(machine):
    here = machine()
    _put(here, "proc/thread-self/net/netfilter/nfnetlink_queue", QUEUES)
    answers, denied = doctor.queues(here, Settings())
    assert (answers.verdict, denied.verdict) == (Verdict.WARNING, Verdict.GOOD)
    assert "2 lost" in answers.finding
    assert denied.finding == "free"


def test_a_kernel_without_queues_log_or_conntrack_is_bad(machine):
    here = machine()
    assert [item.verdict for item in doctor.queues(here, Settings())] == [Verdict.BAD]
    assert doctor.query_log(here, Settings()).verdict is Verdict.BAD
    assert doctor.connection_tracking(here).verdict is Verdict.BAD


def test_groups_and_conntrack(machine):
    here = machine(
        proc__sys__net__netfilter__nf_conntrack_max="100",
        proc__sys__net__netfilter__nf_conntrack_count="90",
    )
    _put(here, "proc/thread-self/net/netfilter/nfnetlink_log", "    3  99  1  2 0  1\n")
    assert "has a listener" in doctor.query_log(here, Settings()).finding
    assert doctor.query_log(here, Settings(dns_query_log_group=4)).finding == "group 4 is free"
    assert doctor.connection_tracking(here).verdict is Verdict.WARNING


def test_forwarding_legacy_tables_and_bridges(machine):
    here = machine(proc__sys__net__ipv4__ip_forward="1\n", proc__net__ip_tables_names="nat\nfilter\n")
    _put(here, "proc/sys/net/bridge/bridge-nf-call-iptables", "0\n")
    assert [item.verdict for item in doctor.forwarding(here)] == [Verdict.GOOD, Verdict.WARNING]
    assert [item.finding for item in doctor.legacy_tables(here)] == ["tables in use: nat, filter"]
    assert [item.verdict for item in doctor.bridges(here)] == [Verdict.WARNING]


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("nameserver 10.0.0.53", Verdict.GOOD), ("nameserver 127.0.0.53", Verdict.WARNING), ("", Verdict.BAD)],
)
def test_trusted_servers(tmp_path, text, verdict):
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    assert list(doctor.trusted_servers(Settings(), path))[-1].verdict is verdict


def test_directories(tmp_path):
    settings = Settings(resources=tmp_path / "none", state=tmp_path / "a" / "b", socket=Path("/proc/x/y"))
    found = {item.name: item for item in doctor.directories(settings)}
    assert found["resources"].verdict is Verdict.BAD
    assert found["state"].finding.endswith("will be made")
    assert found["socket"].verdict is Verdict.BAD


def test_chains_that_drop_by_default_are_named():
    def chain(table, **fields):
        return {"chain": {"family": "inet", "table": table, "name": "c", "hook": "forward", "policy": "drop"} | fields}

    listing = [chain("tidegate"), chain("fw"), chain("fw", policy="accept", name="d"), {"table": {}}]
    (found,) = doctor.other_chains(listing, "tidegate")
    assert (found.verdict, found.finding) == (Verdict.WARNING, "drop by default: inet fw c (forward)")
    (found,) = doctor.other_chains([], "tidegate")
    assert found.verdict is Verdict.GOOD


@pytest.mark.kernel
def test_the_kernel_is_tried_and_what_it_lacks_is_named():
    found = {item.name: item for item in doctor.kernel(Settings())}
    assert found["kernel"].verdict is Verdict.GOOD
    missing = Settings(debug_missing_features=("native_queue", "compat_queue", "fib"))
    found = {item.name: item for item in doctor.kernel(missing)}
    assert found["DNS policy mode"].verdict is Verdict.WARNING
    assert found["kernel feature fib"].mend == "modprobe nft_fib_inet"
    assert next(item.verdict for item in doctor.tables()) is Verdict.GOOD


@pytest.mark.kernel
def test_every_check_of_this_machine_says_something():
    for name, check in doctor.checks(Machine(), Settings()).items():
        assert list(check()), name


def test_the_netlink_ports_of_a_process_are_found_by_their_inodes():
    first, second = NetlinkSocket(), NetlinkSocket()
    try:
        wanted = {item.raw.getsockname()[0] for item in (first, second)}
        assert wanted <= set(Machine().netlink_ports(os.getpid()))
    finally:
        first.close()
        second.close()
    assert not wanted & set(Machine().netlink_ports(os.getpid()))
