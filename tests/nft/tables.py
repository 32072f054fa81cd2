"""Small tables for the tests of this room."""

from ipaddress import ip_address, ip_network

from hypothesis import strategies as st

from nft.expr import (
    Accept,
    Compare,
    Counter,
    Drop,
    Field,
    Goto,
    Jump,
    KeyType,
    Lookup,
    Op,
    Queue,
    VerdictMap,
)
from nft.model import Chain, Hook, Rule, Set, Table, VerdictMapping

PAIRS = (KeyType.IPV4, KeyType.IPV4)
D4 = Set(name="d4-1", key=PAIRS, has_timeout=True, size=65536, gc_interval_seconds=600, is_learned=True)
NETS = Set(name="nets", key=(KeyType.IPV4,), is_interval=True)
NAMES = Set(name="workloads", key=(KeyType.IFNAME,))
FROM = VerdictMapping(name="from-endpoint", key=(KeyType.IFNAME,))
QUEUE_CHAIN = Chain("queue-denied", (Rule((Queue(100),)),))
FORWARD = Chain(
    "filter-forward",
    (
        Rule((Compare(Field.CT_STATE, Op.EQ, "established,related"), Accept())),
        Rule((VerdictMap((Field.IIFNAME,), "from-endpoint"),)),
        Rule((Lookup((Field.IIFNAME,), "workloads"), Drop())),
    ),
    Hook("filter", "forward", 0),
)


def net(text):
    return (ip_network(text),)


def address(text):
    return (ip_address(text),)


def port_rule(port, comment=""):
    return Rule(
        (Compare(Field.L4PROTO, Op.EQ, 6), Compare(Field.DPORT, Op.EQ, port), Counter(), Accept()), comment=comment
    )


def policy_chain(name, *ports):
    """Allows TCP to the ports, to the nets, and to learned addresses."""
    rules = tuple(port_rule(port, f"policy {name}") for port in ports)
    looks = (
        Rule((Lookup((Field.IP_DADDR,), "nets"), Accept())),
        Rule((Lookup((Field.IP_SADDR, Field.IP_DADDR), "d4-1"), Accept())),
    )
    return Chain(name, rules + looks)


def endpoint_chain(name, *policies):
    return Chain(name, (*(Rule((Jump(policy),)) for policy in policies), Rule((Goto("deny"),))))


def table(policies, endpoints, *, nets=("10.0.0.0/8",)):
    """policies: name -> ports; endpoints: interface -> names of policies."""
    chains = [
        FORWARD,
        QUEUE_CHAIN,
        Chain("deny", (Rule((Compare(Field.L4PROTO, Op.EQ, 6), Goto("queue-denied"))), Rule((Drop(),)))),
        *(policy_chain(name, *ports) for name, ports in policies.items()),
        *(endpoint_chain(f"from-{interface}", *names) for interface, names in endpoints.items()),
    ]
    return Table(
        name="tg",
        chains={chain.name: chain for chain in chains},
        sets={item.name: item for item in (D4, NETS, NAMES)},
        elements={
            "nets": frozenset(net(each) for each in nets),
            "workloads": frozenset((interface,) for interface in endpoints),
        },
        maps={"from-endpoint": FROM},
        verdicts={"from-endpoint": {(interface,): Goto(f"from-{interface}") for interface in endpoints}},
    )


WEB = table({"p-web": (80, 443)}, {"cali1": ("p-web",)})
WEB_AND_SSH = table({"p-web": (80,), "p-ssh": (22,)}, {"cali1": ("p-web",), "cali2": ("p-web", "p-ssh")})


ports = st.lists(st.integers(1, 5), max_size=3)
policies = st.dictionaries(st.sampled_from(["p-a", "p-b", "p-c"]), ports, min_size=1)


@st.composite
def tables(draw):
    chosen = draw(policies)
    names = st.lists(st.sampled_from(sorted(chosen)), max_size=3).map(tuple)
    endpoints = draw(st.dictionaries(st.sampled_from(["cali1", "cali2", "cali3"]), names))
    nets = draw(st.sets(st.sampled_from(["10.0.0.0/8", "192.0.2.0/24", "172.16.0.0/12"])))
    return table(chosen, endpoints, nets=tuple(nets))
