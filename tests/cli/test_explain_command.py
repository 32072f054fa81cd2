"""`explain` for people, and its exit codes."""

import json

import pytest

from tests.cli.conftest import canned_agent

STEP = {"happened": "rule does not match", "tier": "default", "policy": "a/p", "kind": "NetworkPolicy", "rule": 0,
        "reason": "destination.ports"}  # fmt: skip
END = {"happened": "end of tier denies", "tier": "default", "policy": "a/p", "kind": "NetworkPolicy", "rule": -1}
FRAME = {"happened": "host needs these ICMPv6 types", "tier": None, "policy": None, "kind": None, "rule": -1}
DENIED = {
    "from": "a/x", "to": "198.51.100.7", "port": 443, "protocol": 6, "verdict": "deny", "reasons": [],
    "paths": [
        {"ip": "198.51.100.7", "verdict": "deny", "egress": {"verdict": "deny", "trace": [STEP, END]}, "ingress": None,
         "names": [], "reasons": [{"code": "expired", "message": "api.test [x] expired 3 s ago"}]},
    ],
}  # fmt: skip
NAMELESS = DENIED | {
    "to": "api.test",
    "paths": [],
    "reasons": [{"code": "never-resolved", "message": "a/x has never resolved api.test", "ip": "198.51.100.7"}],
}
ALLOWED = DENIED | {
    "verdict": "allow",
    "port": None,
    "paths": [
        {"ip": "fe80::1", "verdict": "allow", "egress": {"verdict": "allow", "trace": [FRAME]},
         "ingress": {"verdict": "allow", "trace": []}, "names": [], "reasons": []}
    ],
}  # fmt: skip
WORDS = ("explain", "--from", "a/x", "--to", "198.51.100.7:443")


@pytest.mark.parametrize(
    ("document", "code", "lines"),
    [
        (DENIED, 1, [
            "a/x to 198.51.100.7 port 443: deny", "    default / NetworkPolicy a/p rule 0: rule does not match (destination.ports)",
            "    default / NetworkPolicy a/p: end of tier denies", "  names: api.test [x] expired 3 s ago [expired]",
        ]),
        (NAMELESS, 1, ["a/x to api.test port 443: deny", "  names: 198.51.100.7: a/x has never resolved api.test [never-resolved]"]),
        (ALLOWED, 0, ["a/x to 198.51.100.7: allow", "    host needs these ICMPv6 types"]),
    ],
)  # fmt: skip
def test_the_way_is_told_step_by_step(tmp_path, call, document, code, lines):
    with canned_agent(tmp_path / "s", {"explain": document}):
        done = call(*WORDS, "--socket", tmp_path / "s")
        machine = call(*WORDS, "--socket", tmp_path / "s", "-o", "json")
    assert done.exit_code == machine.exit_code == code
    assert set(lines) <= set(done.stdout.splitlines())
    assert json.loads(machine.stdout) == document
