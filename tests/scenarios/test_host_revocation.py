"""Open connections of the host itself, and those that it forwards, when host endpoints' policy changes."""

from contextlib import ExitStack

import pytest

from tests.lab.streams import PORT, Stream, talking_server
from tests.scenarios.hosts import (
    EVERYTHING,
    HOST,
    OPEN_PODS,
    SERVICE,
    WORLD,
    host_endpoint,
    policy,
    staged,
    tcp,
)

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(120)]
BOTH = pytest.mark.parametrize("version", [4, 6])
FAILSAFE = 2379
DENY = {"action": "Deny"}


@pytest.fixture(scope="module")
def stage():
    with staged() as made, ExitStack() as stack:
        pods = [made.lab.pod(name).namespace for name in ("p1", "p2")]
        for namespace in (made.lab.node, made.lab.world, *pods):
            stack.enter_context(talking_server(namespace))
        stack.enter_context(talking_server(made.lab.node, FAILSAFE))
        made.configure(connectionsOnPolicyChange="Terminate")
        yield made


@pytest.fixture
def opened(stage):
    with ExitStack() as stack:

        def open_one(source, address, port=PORT):
            stream = Stream(source, str(address), port)
            stack.callback(stream.close)
            assert stream.goes_on()
            return stream

        yield open_one


def both(**rules):
    return policy(types=["Ingress", "Egress"], **rules)


@BOTH
def test_the_hosts_own_connections_end_and_failsafe_ports_stay(stage, opened, version):
    stage.enforce(OPEN_PODS, host_endpoint(), both(ingress=[tcp(PORT)], egress=[tcp(PORT)]))
    inward, outward = opened(stage.lab.world, HOST[version]), opened(stage.lab.node, WORLD[version])
    safe, forwarded = opened(stage.lab.world, HOST[version], FAILSAFE), opened(stage.pod("p1"), WORLD[version])
    stage.enforce(OPEN_PODS, host_endpoint(), both(ingress=[EVERYTHING], egress=[]))
    assert outward.falls_silent()
    assert outward.is_silent(50), "anybody may come in, but not on what was ended"
    assert inward.goes_on()
    stage.enforce(OPEN_PODS, host_endpoint(), both(ingress=[], egress=[EVERYTHING]))
    assert inward.falls_silent()
    assert inward.is_silent(50), "the host may say anything, but not on what was ended"
    assert safe.goes_on()
    assert forwarded.goes_on()
    assert (safe.retransmits(), forwarded.retransmits()) == (0, 0)


@BOTH
def test_policy_for_forwarded_traffic_ends_what_pods_have_opened(stage, opened, version):
    allow = policy(types=["Egress"], applyOnForward=True, egress=[EVERYTHING])
    stage.enforce(OPEN_PODS, host_endpoint(), allow)
    first, second = opened(stage.pod("p1"), WORLD[version]), opened(stage.pod("p2"), WORLD[version])
    address = stage.address_of("p1", version)
    rule = {**DENY, "source": {"nets": [f"{address}/{address.max_prefixlen}"]}}
    stage.enforce(OPEN_PODS, host_endpoint(), policy(types=["Egress"], applyOnForward=True, egress=[rule, EVERYTHING]))
    assert first.falls_silent()
    assert second.goes_on()
    assert second.retransmits() == 0


@BOTH
def test_policy_before_destination_nat_judges_the_address_before_it(stage, opened, version):
    pod = stage.address_of("p1", version)
    stage.lab.world.ip(
        *(("-6",) if version == 6 else ()), "route", "replace", str(SERVICE[version]), "via", str(HOST[version])
    )
    with stage.translating("prerouting", SERVICE[version], 80, pod, PORT):
        stage.enforce(OPEN_PODS, host_endpoint())
        through, direct = opened(stage.lab.world, SERVICE[version], 80), opened(stage.lab.world, pod)
        nets = {"destination": {"nets": [f"{SERVICE[version]}/{SERVICE[version].max_prefixlen}"]}}
        stage.enforce(
            OPEN_PODS,
            host_endpoint(),
            policy(types=["Ingress"], preDNAT=True, applyOnForward=True, ingress=[{**DENY, **nets}]),
        )
        assert through.falls_silent()
        assert direct.goes_on()
        assert direct.retransmits() == 0
