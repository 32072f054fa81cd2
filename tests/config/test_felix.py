"""Which documents configure a node, in which order, and what of them is a setting here."""

import pytest

from policy.errors import Faults
from policy.resources.decode import decode
from tidegate.config.felix import givens, restored, stored, without_effect
from tidegate.config.sources import Given, configure


def document(name="default", version="projectcalico.org/v3", **spec):
    return {"apiVersion": version, "kind": "FelixConfiguration", "metadata": {"name": name}, "spec": spec}


def felix(name="default", **spec):
    decoded = decode(document(name, **spec))
    assert not isinstance(decoded, Faults), str(decoded)
    return decoded


def faults(name="default", **spec):
    decoded = decode(document(name, **spec))
    return {fault.path: fault.message for fault in decoded.faults} if isinstance(decoded, Faults) else {}


ZONE = {"zone": "a"}


def prefix(*configurations, labels=ZONE):
    return configure(givens(configurations, "n1", labels)).settings.log_prefix


def test_one_node_stands_before_a_selector_and_that_before_all():
    cluster, by_zone = felix(logPrefix="all"), felix("z", nodeSelector="zone == 'a'", logPrefix="zone")
    own, other = felix("node.n1", logPrefix="own"), felix("node.n2", logPrefix="other")
    assert prefix() == "calico-packet"
    assert prefix(other, cluster) == "all"
    assert prefix(cluster, by_zone, other) == "zone"
    assert prefix(cluster, by_zone, labels={}) == "all"
    assert prefix(own, by_zone, cluster) == "own"


def test_of_two_selectors_the_first_name_counts():
    first, second = felix("a", nodeSelector="all()", logPrefix="a"), felix("b", nodeSelector="all()", logPrefix="b")
    assert prefix(first, second) == prefix(second, first) == "a"


def test_documents_stand_behind_the_file_and_the_environment():
    given = givens([felix(logPrefix="document", dnsExtraTTL="1m")], "n1", {})
    found = configure([*given, Given("a.yaml", {"logPrefix": "file"})])
    assert (found.settings.log_prefix, found.settings.dns_extra_ttl_seconds) == ("file", 60)
    assert found.origins["dns_extra_ttl_seconds"] == "FelixConfiguration default"


def test_every_setting_that_calico_writes_in_a_document_is_taken_over():
    given = givens(
        [
            felix(
                defaultEndpointToHostAction="accept",
                nftablesFilterDenyAction="Reject",
                nftablesMarkMask=0xFF,
                nftablesRefreshInterval="90s",
                interfacePrefix="cali,veth",
                failsafeInboundHostPorts=[{"protocol": "udp", "port": 53, "net": "10.0.0.0/8"}, {"port": 22}],
                failsafeOutboundHostPorts=[],
                logActionRateLimit="10/minute",
                logActionRateLimitBurst=7,
                workloadSourceSpoofing="Any",
                allowVXLANPacketsFromWorkloads=True,
                allowIPIPPacketsFromWorkloads=True,
                disableConntrackInvalidCheck=True,
                dnsTrustedServers=["10.96.0.10"],
                dnsPolicyNfqueueID=200,
                dnsPacketsNfqueueID=201,
                nftablesDNSPolicyMode="NoDelay",
                logSeverityScreen="Debug",
            )
        ],
        "n1",
        {},
    )
    settings = configure(given).settings
    assert (settings.default_endpoint_to_host_action, settings.nftables_filter_deny_action) == ("Accept", "Reject")
    assert (settings.nftables_mark_mask, settings.nftables_refresh_interval_seconds) == (0xFF, 90)
    assert settings.interface_prefix == ("cali", "veth")
    assert [(port.protocol, port.port) for port in settings.failsafe_inbound_host_ports] == [(17, 53), (6, 22)]
    assert settings.failsafe_outbound_host_ports == ()
    assert settings.log_action_rate_limit.unit == "minute"
    assert settings.allow_vxlan_from_workloads
    assert settings.dns_policy_mode == "NoDelay"


def test_what_is_no_setting_here_is_told_and_not_taken_over():
    configuration = felix(bpfEnabled=True, logPrefix="x", ipv6Support=False, resources="/etc", state="/tmp")
    assert without_effect(configuration) == ("bpfEnabled", "ipv6Support", "resources", "state")
    assert configure(givens([configuration], "n1", {})).settings.log_prefix == "x"


def test_what_is_stored_is_what_is_read():
    given = givens([felix(logPrefix="x", dnsTrustedServers=["a"], failsafeInboundHostPorts=[{"port": 22}])], "n1", {})
    assert restored(stored(given)) == given


@pytest.mark.parametrize("name", ["default", "node.n1"])
def test_a_selector_is_for_other_names(name):
    assert "cannot be given here" in faults(name, nodeSelector="all()")["spec.nodeSelector"]
    assert "cannot be left out" in faults("mine")["spec.nodeSelector"]
    assert faults("mine", nodeSelector="all()") == {}
