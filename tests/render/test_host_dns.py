"""The DNS of a host's own processes is seen where its host endpoints have rules by names, and nowhere else."""

from dataclasses import replace
from ipaddress import ip_address

import pytest

from dnsagent.snapshot import Mode, TrustedServer
from nft.matching import Packet
from nft.simulate import End, Simulator
from tests.render.states import host, policy, state, tier, to
from tidegate.render import RenderSettings, names, render_table
from tidegate.render.renderer import Renderer, events_of

SERVER, HOST = ip_address("192.0.2.53"), ip_address("172.18.0.1")
SETTINGS = RenderSettings(trusted_servers=(TrustedServer(address=SERVER),))
NAMED = policy("named", egress=({"destination": to(domain_set="d")},))
PLAIN = policy("plain", egress=({"protocol": 6},))
ASKED = SETTINGS.asked_mark


def node(own=NAMED, place="normal"):
    made = host("h", "eth0", **{place: (tier(egress=(own.id,)),)})
    return state(hosts=(made,), policies=(own,), domains={"d": ("a.example",)})


def run(rules, hook, **fields):
    packet = Packet(**{"protocol": 17, "source": HOST, "destination": SERVER} | fields)
    return Simulator(rules).run(packet, (hook,), only=(names.DNS_OUTPUT, names.DNS_INPUT))


def asked(rules, **fields):
    return run(rules, "output", **{"source_port": 4000, "destination_port": 53, "oif": "eth0"} | fields)


def answered(rules, **fields):
    known = {"source": SERVER, "destination": HOST, "source_port": 53, "destination_port": 4000, "iif": "eth0"}
    return run(
        rules, "input", **known | {"ct_state": "established", "ct_direction": "reply", "ct_mark": ASKED} | fields
    )


@pytest.mark.parametrize("protocol", [6, 17])
def test_a_question_is_shown_and_its_answer_waits(protocol):
    table = render_table(node(), SETTINGS)
    question = asked(table, protocol=protocol)
    assert (question.end, question.logs, question.ct_mark) == (End.ACCEPT, ("group 3",), ASKED)
    assert answered(table, protocol=protocol).queue == SETTINGS.answer_queue


def test_over_tcp_nothing_is_read_where_that_is_switched_off():
    table = render_table(node(), replace(SETTINGS, reads_host_tcp=False))
    question = asked(table, protocol=6)
    assert (question.logs, question.ct_mark, answered(table, protocol=6).end) == ((), 0, End.ACCEPT)


@pytest.mark.parametrize(
    "fields",
    [
        {"destination": ip_address("192.0.2.54")},
        {"destination_port": 54},
        {"protocol": 132},
        {"mark": SETTINGS.agent_mark},
        {"mark": SETTINGS.repeated_mark},
    ],
    ids=str,
)
def test_what_is_no_question_of_the_hosts_is_left_alone(fields):
    question = asked(render_table(node(), SETTINGS), **fields)
    assert (question.end, question.logs, question.ct_mark) == (End.ACCEPT, (), 0)


@pytest.mark.parametrize("fields", [{"ct_mark": 0}, {"source": ip_address("192.0.2.54")}, {"ct_direction": "original"}])
def test_what_answers_no_question_of_the_hosts_does_not_wait(fields):
    assert answered(render_table(node(), SETTINGS), **fields).end is End.ACCEPT


@pytest.mark.parametrize(
    ("mode", "waits"),
    [(Mode.DELAY_DNS_RESPONSE, True), (Mode.DELAY_DENIED_PACKET, True), (Mode.PROXY, True), (Mode.NO_DELAY, False)],
)
def test_answers_wait_in_every_mode_but_one_for_a_hosts_denied_packets_never_do(mode, waits):
    found = answered(render_table(node(), replace(SETTINGS, dns_mode=mode)))
    assert (found.queue is not None, bool(found.logs)) == (waits, not waits)


@pytest.mark.parametrize("made", [node(PLAIN), node(place="forward"), state()], ids=["plain", "forward", "none"])
def test_without_names_for_its_own_processes_no_packet_meets_a_rule(made):
    table = render_table(made, SETTINGS)
    assert [table.chains[name].rules for name in (names.DNS_OUTPUT, names.DNS_INPUT)] == [(), ()]


def test_the_rules_come_and_go_with_the_policy():
    renderer = Renderer(SETTINGS)
    renderer.apply(events_of(node(PLAIN)))
    assert renderer.apply(events_of(node(replace(NAMED, id=PLAIN.id)))).chains.keys() >= {names.DNS_OUTPUT}
    change = renderer.apply(events_of(node(PLAIN)))
    assert change.chains[names.DNS_INPUT].rules == ()
