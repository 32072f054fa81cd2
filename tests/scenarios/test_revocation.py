"""Connections that are open when policy stops allowing them, with streams that talk all the while."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from ipaddress import ip_address
from typing import Any

import pytest

from nfq.connection import Connection
from nfq.conntrack import Conntrack
from tests.lab.streams import PORT, Datagrams, Stream, talking_server
from tests.scenarios.conftest import Stage, endpoint

pytestmark = pytest.mark.kernel

ANYTHING = {"action": "Allow"}
Open = Callable[..., Any]


def rules(pod: str, *egress: dict[str, Any], name: str, ingress: tuple[dict[str, Any], ...] = (ANYTHING,)) -> Any:
    """A policy of the pod, under which anybody may come in, unless it says otherwise."""
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": f"ep == '{pod}'",
            "types": ["Ingress", "Egress"],
            "egress": list(egress),
            "ingress": list(ingress),
        },
    }


def to(*addresses: str, protocol: str = "TCP", port: int = PORT) -> dict[str, Any]:
    nets = [f"{address}/{ip_address(address).max_prefixlen}" for address in addresses]
    return {"action": "Allow", "protocol": protocol, "destination": {"nets": nets, "ports": [port]}}


@pytest.fixture(scope="module")
def _talker(_stage: Stage) -> Iterator[None]:
    with talking_server(_stage.lab.world):
        yield


@pytest.fixture
def opened(_talker: None, stage: Stage) -> Iterator[Open]:
    """Opens streams, and closes them in the end."""
    with ExitStack() as stack:

        def open_one(pod: str, address: str, port: int = PORT, kind: type = Stream) -> Any:
            stream = kind(stage.lab.pod(pod).namespace, address, port)
            stack.callback(stream.close)
            return stream

        yield open_one


@pytest.fixture
def ending(stage: Stage) -> Stage:
    """The stage under `Terminate`."""
    stage.run_agent(connectionsOnPolicyChange="Terminate")
    return stage


def entries(stage: Stage, address: str) -> list[Connection]:
    """What conntrack knows that has to do with the address, whoever began it."""
    packed = ip_address(address).packed
    with stage.lab.node.entered(), Conntrack() as table:
        return [one.whole() for one in table.scan(lambda *known: packed in known)]


def fresh(stage: Stage, version: int) -> str:
    return stage.fresh4() if version == 4 else stage.fresh6()


@pytest.mark.parametrize("version", [4, 6])
def test_denied_streams_end_and_others_lose_not_one_packet(ending: Stage, opened: Open, version: int):
    stage, kept, lost = ending, fresh(ending, version), fresh(ending, version)
    stage.put("one", rules("ep1", to(kept, lost), name=f"one{version}"))
    stage.put("two", rules("ep2", to(kept, lost), name=f"two{version}"))
    good, bad, others = opened("ep1", kept), opened("ep1", lost), opened("ep2", lost)
    assert good.goes_on()
    assert bad.goes_on()
    assert others.goes_on()
    before = stage.agent.get("status")["connections"]["ended"]
    stage.put("one", rules("ep1", to(kept), name=f"one{version}b"))
    assert bad.falls_silent(), stage.agent.log.read_text()[-2000:]
    assert stage.agent.get("status")["connections"]["ended"] == before + 1
    assert good.goes_on()
    assert others.goes_on()
    assert (good.retransmits(), others.retransmits()) == (0, 0)
    assert bad.is_silent(50), "what the far end says must not open it again, although anybody may come in"
    left = [one for one in entries(stage, lost) if one.original.destination_port == PORT]
    assert [one.original.source_port for one in left] == [others.port]
