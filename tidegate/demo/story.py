"""What the demo plays, as values: each step says what a workload tries and what the policy says must come of it."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address

ZONE = """
api.example.com.          60 IN A     198.51.100.10
api.example.com.          60 IN AAAA  2001:db8:1::10
www.shop.example.com.     60 IN CNAME edge.cdn.example.net.
edge.cdn.example.net.     60 IN A     203.0.113.20
shop.example.com.         60 IN A     203.0.113.21
collect.example.org.      60 IN A     203.0.113.66
pay.shop.example.com.     60 IN A     169.254.169.254
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One attempt and what must come of it."""

    says: str
    pod: str = "builder"
    resolve: str | None = None
    """The name to ask for first; the connection goes to the answer's first address."""
    qtype: str = "A"
    to: IPAddress | None = None
    """Where to connect without asking for a name."""
    port: int = 443
    is_allowed: bool


STORY = (
    Step(
        says="before any name is resolved the address is closed",
        to=IPv4Address("198.51.100.10"),
        is_allowed=False,
    ),
    Step(says="a name of the policy, on the allowed port", resolve="api.example.com", is_allowed=True),
    Step(says="the same name over IPv6", resolve="api.example.com", qtype="AAAA", is_allowed=True),
    Step(says="the same name, another port", resolve="api.example.com", port=80, is_allowed=False),
    Step(says="a wildcard, behind an alias", resolve="www.shop.example.com", is_allowed=True),
    Step(says="the wildcard does not cover its own apex", resolve="shop.example.com", is_allowed=False),
    Step(says="a name the policy does not have", resolve="collect.example.org", is_allowed=False),
    Step(says="an allowed name that points at the metadata address", resolve="pay.shop.example.com", is_allowed=False),
    Step(
        says="another workload gains nothing by the builder's lookups, nor loses: no policy selects its egress",
        pod="neighbour",
        to=IPv4Address("203.0.113.66"),
        is_allowed=True,
    ),
    Step(says="the neighbour's metrics, as its ingress policy allows", to=IPv4Address("10.0.1.3"), port=9100,
         is_allowed=False),
)  # fmt: skip
"""The last one: ingress at the neighbour allows it, egress of the builder does not. Both must."""
