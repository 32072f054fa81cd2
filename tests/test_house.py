"""The house itself: the list of rooms is the same wherever it is written."""

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ["tidegate", "dnsagent", "l7", "nft", "nfq", "wg", "policy", "reconcile", "netlink"]


@pytest.fixture(scope="module")
def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def test_every_tool_knows_the_same_rooms(project):
    tool = project["tool"]
    assert tool["hatch"]["build"]["targets"]["wheel"]["packages"] == ROOMS
    assert tool["check-wheel-contents"]["toplevel"] == ROOMS
    assert tool["mypy"]["packages"] == ROOMS
    assert tool["coverage"]["run"]["source_pkgs"] == ROOMS
    assert tool["importlinter"]["root_packages"] == ROOMS


def test_no_package_stands_outside_the_list():
    found = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert found - {"tests", "bench"} == set(ROOMS)


def test_every_door_contract_watches_every_room(project):
    doors = [c for c in project["tool"]["importlinter"]["contracts"] if c["name"].startswith("One door")]
    assert doors
    for contract in doors:
        assert contract["source_modules"] == ROOMS, contract["name"]


def test_every_room_is_typed():
    for room in ROOMS:
        assert (ROOT / room / "py.typed").exists(), room
