"""Connections that are open when policy stops allowing them: kept or ended, on real packets."""

import socket

import pytest

from tests.scenarios.conftest import Stage

pytestmark = pytest.mark.kernel

TERMINATE = {"connectionsOnPolicyChange": "Terminate"}


def rules(pod, *egress, name="conn", ingress=({"action": "Allow"},)):
    return {
        "apiVersion": "projectcalico.org/v3",
        "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "selector": f"ep == '{pod}'", "types": ["Ingress", "Egress"],
            "egress": list(egress), "ingress": list(ingress),
        },
    }  # fmt: skip


def to(*nets, protocol="TCP", port=443):
    return {"action": "Allow", "protocol": protocol, "destination": {"nets": list(nets), "ports": [port]}}


def test_cut(stage: Stage):
    stage.run_agent(**TERMINATE)
    a = stage.fresh4()
    stage.put("conn", rules("ep1", to(a + "/32", port=9000, protocol="UDP")))
    with stage.lab.pod("ep1").namespace.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(1)
    s.connect((a, 9000))
    s.send(b"x")
    assert s.recv(10) == b"x"
    stage.put("conn", rules("ep1", to("192.0.2.1/32"), name="other"))
    s.send(b"y")
    with pytest.raises(TimeoutError):
        s.recv(10)
    s.close()
    print(stage.agent.log.read_text()[-3000:])
