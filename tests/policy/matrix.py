"""For each field of each model: values that are accepted and values that are refused, in a document that is good otherwise.

Fields that hold another model, plain text or a flag need no entry: `plain` says what is right and wrong there.
"""

from typing import Any

LONG = "x" * 254
TOO_MANY = [f"10.0.{index // 256}.{index % 256}/32" for index in range(257)]


class With:
    """A value that needs other fields beside it."""

    def __init__(self, value: Any, **beside: Any) -> None:
        self.value, self.beside = value, beside


Examples = tuple[list[Any], list[Any]]

SELECTORS: Examples = (
    ["", "all()", "a == 'b' && !has(c)", "x" * 512 + " == 'a'"],
    ["has(", "a", "global()", "a == 'b'" * 200, 5],
)
NAMES: Examples = (["a", "a.b-c.d0"], ["A", "a_b", "-a", ""])
LABELS: Examples = (
    [{}, {"a": ""}, {"example.com/a_B.c": "x"}],
    [{"a/b/c": ""}, {"": "x"}, {"a": "x" * 64}, {"a": 5}, {"a": "-"}],
)
PORTS: Examples = (
    [With([1, "80:90", "65535", "http"], protocol="TCP"), With([1], protocol=132), ["http"]],
    [With([0], protocol="TCP"), With(["10:5"], protocol="UDP"), With([65536], protocol="TCP"), [80],
     With([80], protocol="ICMP"), With(["http"], protocol=47), With([1] * 51, protocol="TCP"), ["ä"], [1.5]],
)  # fmt: skip
PORT_NUMBERS: Examples = ([1, 65535], [0, 65536, "80", 1.5, True])
PROTOCOLS: Examples = (
    ["TCP", "UDP", "SCTP", "ICMP", "ICMPv6", "UDPLite", 1, 255, "47"],
    ["tcp", 0, 256, "", "GRE", True, 6.0],
)
TRANSPORT: Examples = (["TCP", "UDP", "SCTP"], ["tcp", "ICMP", "", 5, 1])
RULES: Examples = (
    [[], [{"action": "Allow"}], [{"action": "Log"}] * 1024],
    [{}, [{}], [{"action": "Allow"}] * 1025, [5]],
)
ICMP: Examples = (
    [With({"type": 8, "code": 0}, protocol="ICMP"), With({"type": 128}, protocol=58), With({}, protocol="ICMPv6")],
    [
        {"type": 8},
        With({"type": 8}, protocol="TCP"),
        With({"code": 0}, protocol="ICMP"),
        With({"type": 255}, protocol="ICMP"),
    ],
)
ACCOUNT_NAMES: Examples = ([[], ["a", "b.c"]], [["A"], [""], "a", [5]])
CIDRS: Examples = (
    [[], ["10.0.0.0/8", "0.0.0.0/0"], ["fd00::/8"]],
    [["10.0.0.1/8"], ["10.0.0.1"], ["10.0.0.0/33"], ["10.0.0.0/8"] * 2, TOO_MANY],
)
DOMAINS = ["example.com", "*.example.com", "api.*.example.com"]
STAGED: Examples = (["Set", "Learn", "Ignore", "Delete"], ["set", "Remove", "", 5])
PREFIXES = ["10.0.0.0/8", "10.1.2.3/8", "fd00::/8"]
ADDRESS: Examples = (["10.0.0.1", "fd00::1"], ["10.0.0.0/8", "10.0.0", "", "fe80::1%eth0", 5])
DURATION: Examples = (["10s", "1h30m", "500ms", "1.5s", ""], ["10", "1d", "-1s", "10 s", 5])
ON_OFF: Examples = ([True, False], ["true", 1, "Enabled"])
MODES: Examples = (["DelayDeniedPacket", "DelayDNSResponse", "NoDelay", "Inline"], ["delay", "", 5])
FAILSAFE: Examples = (
    [
        [],
        [
            {"port": 22},
            {"protocol": "udp", "port": 53, "net": "10.0.0.0/8"},
            {"protocol": "TCP", "port": 1, "net": "::1"},
        ],
    ],
    [[{"port": 0}], [{"protocol": "ICMP", "port": 1}], [{"port": 1, "net": "x"}], [{}], ["tcp:22"], {}],
)
QUEUES: Examples = ([0, 65535], [-1, 65536, "1"])
ENCAPSULATION: Examples = (
    ["Never", "Always", "CrossSubnet"],
    ["always", "", With("Always", cidr="fd00::/64", blockSize=122, ipipMode="Always")],
)
SUBJECT: Examples = (
    [{"namespaces": {}}, {"pods": {"namespaceSelector": {}, "podSelector": {}}}],
    [{}, {"nodes": {}}, [], {"namespaces": {}, "pods": {"namespaceSelector": {}, "podSelector": {}}}],
)
SELECTION = {"namespaces": {"matchLabels": {"a": "b"}}}
ALONE: Examples = ([{}, {"matchLabels": {"a": "b"}}], [[], "x", {"matchNames": {}}])
PRIORITY: Examples = ([0, 1000], [-1, 1001, "1", 1.5])
IN_RULES: Examples = (
    [[], [{"action": "Deny", "from": [SELECTION]}]],
    [{}, [{}], [{"action": "Drop", "from": [SELECTION]}], [5]],
)
OUT_RULES: Examples = (
    [[], [{"action": "Deny", "to": [{"nodes": {}}]}]],
    [{}, [{}], [{"action": "Drop", "to": [SELECTION]}], [5]],
)
FROM: Examples = ([[SELECTION], [SELECTION] * 100], [[], [{}], [{"networks": ["10.0.0.0/8"]}], [SELECTION] * 101])
TO: Examples = (
    [[SELECTION, {"nodes": {}}, {"networks": PREFIXES}, {"domainNames": ["*.example.com"]}]],
    [
        [],
        [{}],
        [{"networks": ["10.0.0.1"]}],
        [{"domainNames": ["*"]}],
        [{"nodes": {}, "networks": PREFIXES}],
        [SELECTION] * 101,
    ],
)
PROTOCOL_LISTS: Examples = (
    [[], [{"tcp": {"destinationPort": {"number": 80}}}, {"sctp": {}}, {"destinationNamedPort": "web"}]],
    [[{}], [{"icmp": {}}], [{"tcp": {}, "udp": {}}], ["tcp"], [{"tcp": {}}] * 101],
)
ADMIN_PORTS: Examples = (
    [[], [{"portNumber": {"protocol": "TCP", "port": 80}}, {"namedPort": "web"}]],
    [[{}], [{"port": 80}], [{"portNumber": {"port": 80}}], [{"namedPort": "web"}] * 101],
)
DECISION: Examples = (["Accept", "Deny", "Pass"], ["Allow", "accept", "", 5])
ADMIN_DECISION: Examples = (["Allow", "Deny", "Pass"], ["Accept", "allow", "", 5])
RULE_NAMES: Examples = (["", "x" * 100], ["x" * 101, 5])
PORT_NAMES: Examples = (["web", "a-1"], ["80", "Web", "a--b", "", "x" * 16, 80])
RANGE_END: Examples = ([With(9, start=9), 65535], [With(8, start=9), 65536])
ENDPOINT_PROFILES: Examples = ([["kns.a", "b"]], [["A"], "kns.a", [5]])

PACKET_RATE: Examples = ([0, 1, 1_000_000_000], [-1, 1_000_000_001, "5", 1.5, True])
CONNECTIONS: Examples = ([0, 1, 4_294_967_295], [-1, 4_294_967_296, "5", True])
BITS: Examples = ([0, 10_000_000, 2**63 - 1], [-1, 2**63, "10M", True])
QOS: dict[str, Examples] = {
    f"{direction}{word}": examples
    for direction in ("ingress", "egress")
    for word, examples in {
        "PacketRate": PACKET_RATE, "PacketBurst": PACKET_RATE, "MaxConnections": CONNECTIONS,
        "Bandwidth": BITS, "Burst": BITS, "Peakrate": BITS, "Minburst": BITS,
    }.items()
}  # fmt: skip
POD_CIDRS: Examples = ([[], ["10.0.0.0/24", "fd00::/64"], ["nonsense"]], ["10.0.0.0/24", [5]])
EXAMPLES: dict[str, dict[str, Examples]] = {
    "QoSControls": {**QOS, "dscp": ([0, 63, "EF", "af21", "CS0", "46", None], [-1, 64, "AF", "64", "", True, 1.5, []])},
    "ObjectMeta": {
        "name": NAMES,
        "namespace": (["", "a-b"], ["a.b", "A", "x" * 64, 5]),
        "labels": LABELS,
        "annotations": ([{}, {"Example.com/a": "anything\nat all"}], [{"a/b/c": ""}, {"a": 5}, {"a": "x" * 262144}]),
    },
    "TierSpec": {
        "order": ([0, -1, 1.5, None], ["1", float("inf"), True]),
        "defaultAction": (["Deny", "Pass"], ["Allow", "deny", "", 5]),
    },
    "PolicySpec": {
        "tier": (["default", "a-b"], ["a.b", "", "A", "x" * 64]),
        "order": ([0, -1, 1.5, None], ["1", float("nan"), True]),
        "selector": SELECTORS,
        "types": ([["Ingress"], ["Egress", "Ingress"]], [[], ["ingress"], ["Ingress", "Ingress"], "Ingress"]),
        "ingress": RULES,
        "egress": RULES,
        "serviceAccountSelector": SELECTORS,
        "performanceHints": ([[], ["AssumeNeededOnEveryNode"]], [["Other"], ["AssumeNeededOnEveryNode"] * 2]),
    },
    "Rule": {
        "action": (["Allow", "Deny", "Log", "Pass"], ["allow", "", None, 5]),
        "ipVersion": ([4, 6, None], [5, "4", With(6, protocol="ICMP"), With(4, notProtocol=58)]),
        "protocol": PROTOCOLS,
        "notProtocol": PROTOCOLS,
        "icmp": ICMP,
        "notICMP": ICMP,
        "http": (
            [{"methods": ["GET"], "paths": [{"exact": "/a"}]}, With({}, protocol="TCP"), With({}, protocol=6)],
            [With({}, action="Deny"), With({}, protocol="UDP"), {"headers": []}, {"methods": ["GET", "GET"]}],
        ),
    },
    "ICMPFields": {
        "type": ([0, 254, None], [255, -1, "8"]),
        "code": ([0, 255, None], [256, -1, With(0, type=None)]),
    },
    "EntityRule": {
        "nets": CIDRS,
        "notNets": ([[], ["10.0.0.0/8"]], [["0.0.0.0/0"], ["::/0"], ["10.0.0.1/8"], TOO_MANY]),
        "selector": SELECTORS,
        "notSelector": SELECTORS,
        "namespaceSelector": (["", "all()", "global()", "a == 'b'"], ["global() && has(a)", "!global()", "has(", 5]),
        "ports": ([["http"]], [[80], ["ä"], ["http"] * 51, [0]]),
        "notPorts": ([["http"]], [[80], ["ä"], ["http"] * 51, [0]]),
        "services": (
            [{"name": "web"}, {"name": "web", "namespace": "a"}],
            [
                {},
                With({"name": "web"}, ports=["http"]),
                With({"name": "web"}, nets=["10.0.0.0/8"]),
                With({"name": "web"}, selector="all()"),
                With({"name": "web"}, serviceAccounts={"names": ["a"]}),
                {"name": LONG},
            ],
        ),
        "domains": (
            [DOMAINS],
            [
                ["*"],
                ["example.*"],
                ["a*.example.com"],
                ["a.*b.com"],
                "example.com",
                [5],
                With(["a.example"], nets=["10.0.0.0/8"]),
                With(["a.example"], selector="all()"),
            ],
        ),
    },
    "ServiceAccountMatch": {"names": ACCOUNT_NAMES, "selector": SELECTORS},
    "ServiceMatch": {"name": (["a"], ["", LONG, 5]), "namespace": (["a", ""], [LONG, 5])},
    "HTTPMatch": {
        "methods": ([[], ["GET", "POST"]], [["GET", "GET"], [5], [str(index) for index in range(21)]]),
        "paths": (
            [[], [{"exact": "/a"}, {"prefix": "/"}]],
            [[{}], [{"exact": "/a", "prefix": "/a"}], [{"exact": "/"}] * 21],
        ),
    },
    "HTTPPath": {
        "exact": (["/", "/a" * 512], ["a", "/a?b", "/a#b", "/" * 1025, 5]),
        "prefix": (["/", "/a" * 512], ["a", "/a?b", "/a#b", "/" * 1025, 5]),
    },
    "RuleMetadata": {"annotations": ([{"name": "x"}], [{"a/b/c": ""}, {"a": 5}])},
    "GlobalPolicySpec": {
        "namespaceSelector": SELECTORS,
        "doNotTrack": ([False, With(True, applyOnForward=True)], [True, "true"]),
        "preDNAT": (
            [False, With(True, applyOnForward=True, types=["Ingress"])],
            [True, With(True, applyOnForward=True, doNotTrack=True), 1],
        ),
    },
    "StagedPolicySpec": {"stagedAction": STAGED},
    "StagedGlobalPolicySpec": {"stagedAction": STAGED},
    "StagedNetworkingPolicySpec": {"stagedAction": STAGED},
    "LabelSelector": {"matchLabels": LABELS},
    "Requirement": {
        "key": (["a", "example.com/a"], ["", "a/b/c", 5]),
        "operator": (
            ["Exists", "DoesNotExist", With("In", values=["a"]), With("NotIn", values=["a"])],
            ["Equals", "in", ""],
        ),
        "values": (
            [[], With(["a", ""], operator="In")],
            [["a"], With([], operator="In"), With(["-"], operator="NotIn")],
        ),
    },
    "PolicyPort": {
        "protocol": TRANSPORT,
        "port": ([1, 65535, "http"], [0, 65536, "80", "Http", True]),
        "endPort": (
            [With(90, port=80), With(80, port=80)],
            [80, With(79, port=80), With(90, port="http"), With(65536, port=1)],
        ),
    },
    "IPBlock": {
        "cidr": (["10.0.0.0/8", "10.0.0.1/8", "::/0"], ["10.0.0.1", "", 5]),
        "except": ([[], ["10.1.0.0/16"]], [["10.0.0.0/8"], ["11.0.0.0/16"], ["fd00::/16"], ["10.1.0.0"]]),
    },
    "NetworkingPolicySpec": {
        "policyTypes": ([[], ["Ingress", "Egress"]], [["ingress"], ["Ingress", "Ingress"], "Ingress"])
    },
    "NetworkSetSpec": {
        "nets": (
            [[], ["10.0.0.0/8", "10.0.0.1/8", "10.0.0.1", "fd00::1"]],
            [["10.0.0.0/33"], ["a"], ["10.0.0.1", "10.0.0.1"], [5]],
        ),
        "allowedEgressDomains": ([[], DOMAINS], [["*"], ["example.*"], ["a*.example.com"], [5]]),
    },
    "WorkloadEndpointSpec": {
        "ipNetworks": ([[], ["10.0.0.1/32", "fd00::1/128", "10.0.0.2"]], [["10.0.0.0/24"], ["a"], "10.0.0.1"]),
        "ipNATs": (
            [[], With([{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}], ipNetworks=["10.0.0.1/32"])],
            [
                [{"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"}],
                [{}],
                With([{"internalIP": "10.0.0.1", "externalIP": "2001:db8::1"}], ipNetworks=["10.0.0.1/32"]),
            ],
        ),
        "ipv4Gateway": ADDRESS,
        "ipv6Gateway": ADDRESS,
        "profiles": ENDPOINT_PROFILES,
        "interfaceName": (["eth0", "a" * 15], ["", "a" * 16, "a/b", 5]),
        "mac": (["0a:1b:2C:3d:4e:5f", None], ["0a1b2c3d4e5f", "0a:1b:2c:3d:4e", 5]),
        "allowSpoofedSourcePrefixes": ([[], PREFIXES], [["10.0.0.1"], "10.0.0.0/8"]),
        "qosControls": (
            [{}, {"ingressMaxConnections": 5, "dscp": None}],
            [5, "x", ["dscp"], {"egressPacketRate": -1}, {"ingressMaxConnections": "5"}],
        ),
    },
    "AddressTranslation": {
        "internalIP": (["10.0.0.1"], ["10.0.0.2", "fd00::1", "x"]),
        "externalIP": (["192.0.2.9"], ["2001:db8::1", "x"]),
    },
    "EndpointPort": {
        "name": (["http", With("", hostPort=80)], ["", 5]),
        "protocol": TRANSPORT,
        "port": PORT_NUMBERS,
        "hostPort": ([0, 65535], [-1, 65536, "80"]),
    },
    "HostEndpointSpec": {
        "node": (["n", "x" * 253], ["", LONG, 5]),
        "interfaceName": (["eth0", "*", With("", expectedIPs=["10.0.0.1"])], ["a b", "a" * 16, 5]),
        "expectedIPs": ([[], ["10.0.0.1", "fd00::1"]], [["10.0.0.0/8"], ["a"], "10.0.0.1"]),
        "profiles": ENDPOINT_PROFILES,
    },
    "HostEndpointPort": {"name": (["a" * 128], ["a" * 129, 5]), "protocol": TRANSPORT, "port": PORT_NUMBERS},
    "AutomaticHostEndpoints": {
        "autoCreate": (["Enabled", "Disabled"], ["enabled", True]),
        "createDefaultHostEndpoint": (["Enabled", "Disabled"], ["enabled", True]),
    },
    "HostEndpointTemplate": {
        "generateName": (["a", "x" * 253], [LONG, 5]),
        "nodeSelector": SELECTORS,
        "interfaceCIDRs": ([[], PREFIXES], [["10.0.0.1"], "10.0.0.0/8"]),
        "interfacePattern": (["", "eth.*"], ["(", 5]),
        "labels": LABELS,
        "annotations": ([{"a": "b"}], [{"a": 5}, []]),
    },
    "ProfileSpec": {"ingress": RULES, "egress": RULES, "labelsToApply": LABELS},
    "FelixConfigurationSpec": {
        "nodeSelector": (["all()", "zone == 'a'"], ["", "has(", "global()", 5]),
        "defaultEndpointToHostAction": (["Drop", "return", "ACCEPT"], ["Deny", "", 5]),
        "nftablesMode": (["Enabled", "Disabled", "Auto"], ["auto", True]),
        "nftablesFilterAllowAction": (["Accept", "Return"], ["Drop", 5]),
        "nftablesMangleAllowAction": (["Accept", "Return"], ["Drop", 5]),
        "nftablesFilterDenyAction": (["Drop", "Reject"], ["Accept", 5]),
        "nftablesMarkMask": ([0, 0xFFFFFFFF], [-1, 2**32, "0xff"]),
        "nftablesRefreshInterval": DURATION,
        "nftablesFlowTableOffload": (["All", "Disabled"], ["all", True]),
        "chainInsertMode": (["Insert", "Append"], ["insert", 5]),
        "failsafeInboundHostPorts": FAILSAFE,
        "failsafeOutboundHostPorts": FAILSAFE,
        "logPrefix": (["", "calico-packet %t: a_b/c 0"], ["a.b", "a\nb", "ä", 5]),
        "logActionRateLimit": (["1/second", "9999/day"], ["0/second", "10000/day", "1/week", "1", 5]),
        "logActionRateLimitBurst": ([0, 9999], [-1, 10000, "5"]),
        "workloadSourceSpoofing": (["Disabled", "Any"], ["any", True]),
        "serviceLoopPrevention": (["Drop", "Reject", "Disabled"], ["drop", 5]),
        "flowLogsFlushInterval": DURATION,
        "flowLogsPolicyEvaluationMode": (["None", "Continuous"], ["none", 5]),
        "wireguardListeningPort": PORT_NUMBERS,
        "wireguardListeningPortV6": PORT_NUMBERS,
        "wireguardMTU": ([0, 1440], ["1440", True]),
        "wireguardMTUV6": ([0, 1420], ["1420", True]),
        "wireguardKeepAlive": DURATION,
        "kubeNodePortRanges": ([[], ["30000:32767", 80, "443"], ["1"] * 7], [["a"], ["1"] * 8, [True], "1"]),
        "dropActionOverride": (["Drop", "Accept", "LogAndDrop", "LogAndAccept"], ["drop", 5]),
        "dnsTrustedServers": ([[], ["10.96.0.10", "k8s-service:kube-dns"]], ["10.96.0.10", [5]]),
        "dnsPolicyMode": MODES,
        "nftablesDNSPolicyMode": MODES,
        "dnsPolicyNfqueueID": QUEUES,
        "dnsPacketsNfqueueID": QUEUES,
        "dnsPacketsNfqueueMaxHoldDuration": DURATION,
        "dnsExtraTTL": DURATION,
    },
    "ProtocolPort": {
        "protocol": (["TCP", "udp"], ["SCTP", "", 5]),
        "port": PORT_NUMBERS,
        "net": (["10.0.0.0/8", "10.0.0.1", "::/0", None], ["a", "", 5]),
    },
    "IPPoolSpec": {
        "cidr": (
            ["10.0.0.0/16", With("fd00::/64")],
            ["10.0.0.1/16", "10.0.0.0", "169.254.0.0/24", "0.0.0.0/0", "fe80::/64", 5],
        ),
        "blockSize": (
            [20, 32, With(116, cidr="fd00::/64"), With(128, cidr="fd00::/64")],
            [19, 33, 122, With(26, cidr="10.0.0.0/28"), With(26, cidr="fd00::/64"), "26"],
        ),
        "ipipMode": (["Never", "Always", "CrossSubnet"], ["always", 5, With("Always", cidr="fd00::/64")]),
        "vxlanMode": (["Never", "Always", "CrossSubnet"], ["always", 5, With("Always", ipipMode="Always")]),
        "nodeSelector": SELECTORS,
        "namespaceSelector": SELECTORS,
        "allowedUses": ([[], ["Workload", "Tunnel", "LoadBalancer"]], [["Pod"], ["Tunnel", "Tunnel"], "Tunnel"]),
        "assignmentMode": (["Automatic", "Manual"], ["manual", 5]),
    },
    "ClusterPolicySpec": {
        "tier": (["Admin", "Baseline"], ["admin", "Platform", "", 5]),
        "priority": PRIORITY,
        "subject": SUBJECT,
        "ingress": IN_RULES,
        "egress": OUT_RULES,
    },
    "AdminPolicySpec": {"priority": PRIORITY, "subject": SUBJECT, "ingress": IN_RULES, "egress": OUT_RULES},
    "BaselinePolicySpec": {"subject": SUBJECT, "ingress": IN_RULES, "egress": OUT_RULES},
    "ClusterRule": {"name": RULE_NAMES},
    "ClusterIngressRule": {"action": DECISION, "from": FROM, "protocols": PROTOCOL_LISTS},
    "ClusterEgressRule": {"action": DECISION, "to": TO, "protocols": PROTOCOL_LISTS},
    "AdminIngressRule": {"action": ADMIN_DECISION, "from": FROM, "ports": ADMIN_PORTS},
    "AdminEgressRule": {"action": ADMIN_DECISION, "to": TO, "ports": ADMIN_PORTS},
    "EgressPeer": {
        "networks": ([PREFIXES, ["10.0.0.0/8"] * 100], [[], ["10.0.0.1"], ["10.0.0.0/8"] * 101, "10.0.0.0/8"]),
        "domainNames": ([["example.com", "*.example.com", "a.b."]], [[], ["com"], ["a.*.com"], [5], ["a.b"] * 101]),
    },
    "ClusterProtocol": {"destinationNamedPort": PORT_NAMES},
    "ClusterPort": {"number": PORT_NUMBERS},
    "ClusterPortRange": {"start": PORT_NUMBERS, "end": RANGE_END},
    "AdminPort": {"namedPort": PORT_NAMES},
    "AdminPortNumber": {"protocol": TRANSPORT, "port": PORT_NUMBERS},
    "AdminPortRange": {"protocol": TRANSPORT, "start": PORT_NUMBERS, "end": RANGE_END},
    "ContainerPort": {"containerPort": ([80], ["80", None]), "hostPort": ([0, 80], ["80", 1.5])},
    "PodStatus": {"podIP": ADDRESS},
    "PodIP": {"ip": ADDRESS},
    "ServiceSpec": {
        "clusterIP": (["10.96.0.1", "None", "", "fd00::1"], ["none", "10.96.0.0/24", 5]),
        "clusterIPs": ([[], ["None"], ["10.96.0.1", "fd00::1"]], [["none"], "10.96.0.1", [5]]),
        "externalIPs": ([[], ["192.0.2.1"]], [["a"], "192.0.2.1"]),
    },
    "ServicePort": {"protocol": TRANSPORT, "port": PORT_NUMBERS, "nodePort": ([0, 30000], [-1, 65536, "1"])},
    "NodeSpec": {"podCIDRs": POD_CIDRS},
    "CalicoNodeStatus": {"podCIDRs": POD_CIDRS},
    "EndpointSlice": {"addressType": (["IPv4", "IPv6", "FQDN"], ["ipv4", "", None])},
    "SliceEndpoint": {
        "addresses": ([["10.0.0.1"], ["10.0.0.1"] * 100], [[], ["fd00::1"], ["a_b"], ["10.0.0.1"] * 101, "10.0.0.1"])
    },
    "PacketCaptureSpec": {
        "selector": SELECTORS,
        "filters": ([[], [{}], [{}] * 10], [[{}] * 11, {}, [5]]),
        "startTime": (
            [
                "2026-01-31T12:00:00Z",
                "2026-01-31T12:00:00.5+01:00",
                With("2026-01-31T12:00:00Z", endTime="2027-01-01T00:00:00Z"),
            ],
            ["2026-01-31", "2026-01-31T12:00:00", "2026-02-30T12:00:00Z", "", 5, "12:00"],
        ),
        "endTime": (
            ["2026-01-31T12:00:00z", With("2026-01-31T12:00:01Z", startTime="2026-01-31T12:00:00Z")],
            ["never", 1, With("2026-01-31T12:00:00Z", startTime="2026-01-31T12:00:00Z")],
        ),
    },
    "CaptureFilter": {
        "protocol": PROTOCOLS,
        "ports": (
            [
                [],
                With([1, "80:90", "65535"], protocol="TCP"),
                With([1], protocol="UDPLite"),
                With([1] * 50, protocol=17),
            ],
            [
                [80],
                With([80], protocol="ICMP"),
                With(["http"], protocol="TCP"),
                With([0], protocol="TCP"),
                With([1] * 51, protocol="TCP"),
                With(["90:80"], protocol="TCP"),
                80,
            ],
        ),
    },
    "SlicePort": {"protocol": TRANSPORT, "port": ([1, 65535, None], [0, 65536, "80"])},
}
"""By model (the one that declares the field) and by the field's name in documents."""

BASE: dict[str, dict[str, Any]] = {
    "ObjectMeta": {"name": "x"},
    "Rule": {"action": "Allow"},
    "ICMPFields": {"type": 8},
    "ServiceMatch": {"name": "web"},
    "Requirement": {"key": "a", "operator": "Exists"},
    "IPBlock": {"cidr": "10.0.0.0/8"},
    "WorkloadEndpointSpec": {"interfaceName": "eth0"},
    "AddressTranslation": {"internalIP": "10.0.0.1", "externalIP": "192.0.2.1"},
    "EndpointPort": {"name": "a", "protocol": "TCP", "port": 80},
    "HostEndpointSpec": {"node": "n", "interfaceName": "eth0"},
    "HostEndpointPort": {"name": "a", "protocol": "TCP", "port": 80},
    "FelixConfigurationSpec": {"nodeSelector": "all()"},
    "ProtocolPort": {"port": 22},
    "IPPoolSpec": {"cidr": "10.0.0.0/16"},
    "ClusterPolicySpec": {"tier": "Admin", "priority": 1, "subject": SELECTION},
    "AdminPolicySpec": {"priority": 1, "subject": SELECTION},
    "BaselinePolicySpec": {"subject": SELECTION},
    "PodSelection": {"namespaceSelector": {}, "podSelector": {}},
    "ClusterIngressRule": {"action": "Deny", "from": [SELECTION]},
    "ClusterEgressRule": {"action": "Accept", "to": [SELECTION]},
    "AdminIngressRule": {"action": "Deny", "from": [SELECTION]},
    "AdminEgressRule": {"action": "Allow", "to": [SELECTION]},
    "ClusterPortRange": {"start": 1, "end": 65535},
    "AdminPortNumber": {"protocol": "TCP", "port": 1},
    "AdminPortRange": {"protocol": "TCP", "start": 1, "end": 65535},
    "ContainerPort": {"containerPort": 80},
    "PodIP": {"ip": "10.0.0.1"},
    "ServicePort": {"port": 80},
    "EndpointSlice": {"addressType": "IPv4"},
    "SliceEndpoint": {"addresses": ["10.0.0.1"]},
}
"""What else must be there."""

BESIDE: dict[tuple[str, str], dict[str, Any]] = {
    ("Rule", "icmp"): {"protocol": "ICMP"},
    ("WorkloadEndpointSpec", "ipNATs"): {"ipNetworks": ["10.0.0.1/32"]},
}
"""What must stand beside a part."""

WHOLE_PARTS: dict[tuple[str, str], Any] = {
    ("IngressRule", "from"): {"podSelector": {}},
    ("EgressRule", "to"): {"podSelector": {}},
    ("HTTPMatch", "paths"): {"exact": "/"},
    ("ClusterPort", "range"): {"start": 1, "end": 2},
    ("TransportPorts", "destinationPort"): {"number": 1},
}
"""Good values of fields that hold other models, where nothing but what must be there would not do."""
