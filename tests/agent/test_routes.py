"""Where the kernel would send."""

from ipaddress import ip_address

import pytest

from tidegate.agent import routes as module
from tidegate.agent.routes import KernelRoutes
from tidegate.demo.lab import Lab
from tidegate.revoke.way import ELSEWHERE

pytestmark = pytest.mark.kernel


def packed(text):
    return ip_address(text).packed


@pytest.fixture(scope="module")
def lab():
    made = Lab.create(("a",))
    yield made
    made.delete()


@pytest.mark.parametrize(
    ("address", "interface"),
    [
        ("198.51.100.7", "uplink"),
        ("2001:db8:1::7", "uplink"),
        ("10.0.1.2", "cali-a"),
        ("fd00:1::2", "cali-a"),
        ("10.0.53.1", "lo"),
        ("127.0.0.9", "lo"),
        ("::1", "lo"),
    ],
)
def test_the_kernel_tells_the_interface(lab, address, interface):
    with lab.node.entered(), KernelRoutes() as routes:
        assert routes(packed(address)) == interface


def test_where_no_route_leads_is_elsewhere(lab):
    with lab.pod("a").namespace.entered(), KernelRoutes() as routes:
        lab.pod("a").namespace.ip("route", "add", "unreachable", "203.0.113.0/24")
        assert routes(packed("203.0.113.1")) == ELSEWHERE


def test_answers_are_remembered_and_forgotten_at_the_bound(lab, monkeypatch):
    monkeypatch.setattr(module, "MAX_KNOWN", 2)
    with lab.node.entered(), KernelRoutes() as routes:
        assert [routes(packed(f"198.51.100.{number}")) for number in (1, 2, 3, 1)] == ["uplink"] * 4
        assert len(routes._known) <= 2
