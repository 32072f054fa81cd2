"""What the settings say about tunnels, and which of them do not go together."""

import pytest

from tidegate.config.sources import ConfigError, Given, configure
from tidegate.config.wireguard import tunnels, wireguard_ports
from tidegate.render.settings import from_configuration


def settings(**values):
    return configure([Given("test", values)]).settings


def test_there_is_no_tunnel_by_default():
    assert list(tunnels(settings())) == []
    assert wireguard_ports(settings()) == ()


def test_each_version_of_ip_has_a_device_of_its_own():
    first, second = tunnels(settings(wireguardEnabled=True, wireguardEnabledV6=True, wireguardKeepAlive="500ms"))
    assert (first.version, first.interface, first.listen_port, first.table) == (4, "wireguard.cali", 51820, 51820)
    assert (second.version, second.interface, second.listen_port, second.table) == (6, "wg-v6.cali", 51821, 51821)
    assert {first.priority, second.priority} == {99}
    # Less than a second of keepalive would be none.
    assert first.keepalive_seconds == 1
    assert wireguard_ports(settings(wireguardEnabledV6=True)) == (51821,)


@pytest.mark.parametrize("mask", ["0xffff0000", "0xff", "0x00ff0f00"])
def test_the_tunnels_bit_is_one_of_the_mask_and_nobody_elses(mask):
    made = settings(wireguardEnabled=True, nftablesMarkMask=mask)
    (tunnel,) = tunnels(made)
    render = from_configuration(made, ())
    others = [
        value for name in dir(render) if name.endswith("_mark") and isinstance(value := getattr(render, name), int)
    ]
    assert len(others) >= 5
    assert tunnel.mark.bit_count() == 1
    assert tunnel.mark & made.nftables_mark_mask
    assert not any(tunnel.mark & other for other in others)


@pytest.mark.parametrize(
    ("values", "name"),
    [
        ({"wireguardInterfaceNameV6": "wireguard.cali"}, "wireguardInterfaceNameV6"),
        ({"wireguardListeningPortV6": 51820}, "wireguardListeningPortV6"),
        ({"dnsInterceptRoutingTable": 51821}, "wireguardRoutingTable"),
        ({"wireguardKeepAlive": "20h"}, "wireguardKeepAlive"),
        ({"wireguardKeyRotation": "720h"}, "wireguardKeyRotation"),
        ({"wireguardKeyRotation": "1s", "wireguardNodeFile": "/n.yaml"}, "wireguardKeyRotation"),
        ({"wireguardPublishKeys": True, "resources": "/r"}, "wireguardPublishKeys"),
        ({"nftablesMarkMask": "0x7f"}, "nftablesMarkMask"),
        ({"wireguardInterfaceName": "../x"}, "wireguardInterfaceName"),
    ],
)
def test_what_cannot_be_is_refused_by_name(values, name):
    with pytest.raises(ConfigError) as refused:
        settings(wireguardEnabled=True, **values)
    assert name in str(refused.value)


def test_without_encryption_its_settings_contradict_nothing():
    assert settings(dnsInterceptRoutingTable=51821, nftablesMarkMask="0x7f").dns_intercept_routing_table == 51821
