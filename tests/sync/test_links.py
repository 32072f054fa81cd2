"""Interfaces by the routes of the kernel."""

import asyncio
from ipaddress import ip_address

import pytest

from tidegate.demo.lab import Lab
from tidegate.sync.links import Links, link_changes, read_links

A, B = ip_address("10.0.1.2"), ip_address("fd00:1::2")


def test_the_interface_is_where_the_routes_agree():
    links = Links({A: "cali-a", B: "cali-a", ip_address("10.0.1.3"): "cali-b"}, frozenset())
    assert links.interface_of([A, B]) == "cali-a"
    assert links.interface_of([A, ip_address("10.9.9.9")]) == "cali-a"
    assert links.interface_of([A, ip_address("10.0.1.3")]) == ""
    assert links.interface_of([ip_address("10.9.9.9")]) == ""
    assert links.interface_of([]) == ""


@pytest.mark.kernel
def test_host_routes_name_interfaces_and_changes_are_told():
    lab = Lab.create(("a",))

    async def look():
        async with link_changes() as changed:
            before = await read_links()
            lab.node.ip("route", "add", "10.0.9.9/32", "dev", "cali-a")
            await asyncio.wait_for(changed.wait(), 2)
            return before, await read_links()

    try:
        with lab.node.entered():
            before, after = asyncio.run(look())
    finally:
        lab.delete()
    pod = lab.pod("a")
    assert before.interface_of([pod.address4, pod.address6]) == "cali-a"
    assert before.interfaces == {"lo", "uplink", "cali-a"}
    assert before.interface_of([ip_address("10.0.9.9")]) == ""
    assert after.interface_of([ip_address("10.0.9.9")]) == "cali-a"
