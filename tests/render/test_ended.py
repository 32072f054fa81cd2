"""What far ends of ended connections send on begins nothing new."""

from ipaddress import ip_address

import pytest

from nft import matching, simulate
from tests.render.states import endpoint, policy, state, tier
from tidegate.render import RenderSettings, names, render_table

OPEN = policy("open", ingress=({},), egress=({},))
NODE = state(
    endpoints=(endpoint("a", tiers=(tier(ingress=(OPEN.id,), egress=(OPEN.id,)),)),), policies=(OPEN,)
)  # fmt: skip
POD = {4: ip_address("10.65.0.2"), 6: ip_address("fd00:65::2")}
FAR = {4: ip_address("192.0.2.1"), 6: ip_address("2001:db8::1")}
WAYS = {
    "forward": ("eth0", "calia", ("forward",)),
    "input": ("eth0", "", ("input",)),
    "output": ("", "eth0", ("output",)),
}
BOTH = pytest.mark.parametrize("version", [4, 6])


def passes(version, *, protocol=6, ports=(443, 40000), known=True, way="forward", **packet):
    """Whether a packet from the far end passes, where the direction is remembered with port 443 and 40000."""
    source, destination = FAR[version], POD[version]
    elements = {
        names.ended(version): [(source, destination, protocol, 443, 40000)],
        names.ended_pairs(version): [(source, destination, 47)],
    }
    table = render_table(NODE, RenderSettings(ends_connections=True))
    iif, oif, hooks = WAYS[way]
    made = matching.Packet(
        source=source, destination=destination, protocol=protocol, source_port=ports[0], destination_port=ports[1],
        iif=iif, oif=oif, **{"is_syn": False} | packet,
    )  # fmt: skip
    outcome = simulate.Simulator(table, elements if known else {}).run(
        made, hooks, only=("filter-forward", "filter-input", "filter-output", "filter-delivery")
    )
    return outcome.end is simulate.End.ACCEPT


@BOTH
@pytest.mark.parametrize("way", list(WAYS))
def test_a_segment_from_the_middle_does_not_pass(version, way):
    assert passes(version, way=way, known=False)
    assert not passes(version, way=way)


@BOTH
def test_a_connection_that_begins_passes(version):
    """The port may have been given to somebody else meanwhile."""
    assert passes(version, is_syn=True)


@BOTH
@pytest.mark.parametrize("state", ["established", "related"])
def test_what_belongs_to_an_open_connection_passes(version, state):
    assert passes(version, ct_state=state)


@BOTH
@pytest.mark.parametrize("protocol", [17, 132, 136])
def test_datagrams_do_not_pass_whether_they_begin_something_or_not(version, protocol):
    assert not passes(version, protocol=protocol)
    assert not passes(version, protocol=protocol, is_syn=True)


@BOTH
def test_of_protocols_without_ports_the_pair_of_addresses_is_remembered(version):
    assert not passes(version, protocol=47, ports=(7, 9))
    assert passes(version, protocol=50, ports=(7, 9))


@BOTH
def test_other_ports_and_the_other_direction_pass(version):
    assert passes(version, ports=(443, 40001))
    assert passes(version, ports=(40000, 443))


def test_where_connections_are_kept_nothing_of_this_is_there():
    table = render_table(NODE, RenderSettings())
    assert names.ENDED not in table.chains
    assert not [name for name in table.sets if name.startswith("ended")]
