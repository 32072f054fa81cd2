"""The few words that random worlds are made of: few, so that rules and packets meet.

Addresses, ports and labels are chosen so that sets overlap, nest, touch and miss each other by one.
"""

NAMESPACES = {
    "prod": {"team": "red", "stage": "live"},
    "dev": {"team": "blue"},
    "void": {},
}
ACCOUNTS = [("prod", "web", {"grade": "gold"}), ("prod", "db", {}), ("dev", "web", {"grade": "tin"})]

LABELS = {"app": ["web", "db", "cache"], "role": ["front", "back"], "tier": ["one"], "empty": [""]}

SELECTORS = [
    "all()",
    "app == 'web'",
    "app != 'web'",
    "app in {'web', 'db'}",
    "app not in {'web', 'db'}",
    "has(role)",
    "!has(role)",
    "role starts with 'f'",
    "role ends with 'ck'",
    "app contains 'e'",
    "has(role) && app == 'db'",
    "app == 'cache' || role == 'front'",
    "!(app == 'web' && role == 'front')",
    "kind == 'outside'",
    "has(kind)",
    "projectcalico.org/namespace == 'prod'",
]
NAMESPACE_SELECTORS = ["all()", "global()", "team == 'red'", "team != 'red'", "!has(team)", "has(stage)"]
ACCOUNT_SELECTORS = ["all()", "grade == 'gold'", "!has(grade)"]

SERVICES = [("prod", "web"), ("prod", "db"), ("dev", "web")]
"""Namespace and name."""

NODES = ("node1", "node2")
NODE_ADDRESSES = {4: "172.18.0.1", 6: "fd00:18::1"}
OUTSIDE = {
    4: ["192.0.2.1", "192.0.2.2", "192.0.2.129", "198.51.100.7", "203.0.113.9"],
    6: ["2001:db8::1", "2001:db8::2", "2001:db8:1::9", "2001:db8:ffff::7"],
}
NETS = {
    4: [
        "10.65.0.0/24",
        "10.65.0.0/30",
        "10.65.0.2/32",
        "10.65.0.4/31",
        "192.0.2.0/24",
        "192.0.2.0/25",
        "192.0.2.128/25",
        "192.0.2.1/32",
        "198.51.100.0/24",
        "0.0.0.0/1",
        "128.0.0.0/1",
    ],
    6: [
        "fd00:65::/64",
        "fd00:65::2/128",
        "fd00:65::4/127",
        "2001:db8::/32",
        "2001:db8::/127",
        "2001:db8::1/128",
        "2001:db8:1::/48",
        "8000::/1",
    ],
}
EVERYTHING = {4: "0.0.0.0/0", 6: "::/0"}

PORTS = [53, 80, 81, 443, 8080, 8081, 8443]
RANGES = ["80:81", "8080:8443", "1:1023", "1024:65535", "443:443"]
PORT_NAMES = ["http", "metrics", "dns", "nobody-has-this"]

WITH_PORTS = {"TCP": 6, "UDP": 17, "SCTP": 132}
OTHER_PROTOCOLS = {"ICMP": 1, "ICMPv6": 58, "UDPLite": 136, "GRE": 47}

OPTIONS = {
    "dns.tidegate.io/scope": ["node", "endpoint"],
    "dns.tidegate.io/wildcard": ["single-label", "labels"],
    "dns.tidegate.io/ttl-floor": ["10s", "1m"],
    "dns.tidegate.io/sni": ["bind"],
}
DOMAINS = ["api.example.com", "*.example.com", "www.*.example.org", "example.net"]
NAMES = ["api.example.com", "a.b.example.com", "www.eu.example.org", "example.net", "example.com", "elsewhere.test"]

ICMP_TYPES = {4: [0, 3, 8, 11], 6: [1, 3, 128, 129]}
"""Echo, unreachable, time exceeded; neighbour discovery is not about policy and stands in a test of its own."""
ICMP_CODES = [0, 1, 3, 4]
