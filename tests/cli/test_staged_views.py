"""What people see of staged policies."""

from tests.cli.conftest import canned_agent

POLICIES = [
    {"kind": "StagedNetworkPolicy", "namespace": "a", "name": "try", "tier": "default", "endpoints": 1, "staged": True,
     "rules": [
         {"direction": "egress", "index": 0, "action": "Deny", "would": "deny", "packets": 7, "bytes": 420},
         {"direction": "egress", "index": -1, "action": "PendingEndOfTier", "packets": 2, "bytes": 120},
     ]},
]  # fmt: skip
STEP = {"happened": "rule allows", "tier": "default", "policy": "a/p", "kind": "NetworkPolicy", "rule": 0}
SIDE = {"verdict": "allow", "trace": [STEP], "policies": ["0|default|np:a/p|allow|0"]}
WOULD_BE = {"verdict": "deny", "trace": [], "policies": ["0|default|snp:a/try|deny|0"]}
EXPLANATION = {
    "from": "a/x", "to": "198.51.100.7", "port": 443, "protocol": 6, "verdict": "allow", "reasons": [],
    "paths": [
        {"ip": "198.51.100.7", "verdict": "allow", "egress": SIDE, "ingress": None, "names": [], "reasons": [],
         "pending": {"verdict": "deny", "egress": WOULD_BE, "ingress": None}},
    ],
}  # fmt: skip


def test_counters_of_staged_rules_say_what_they_would_do(tmp_path, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    with canned_agent(tmp_path / "s", {"policies": POLICIES}):
        done = call("policies", "--socket", tmp_path / "s")
    assert done.exit_code == 0, done.stderr
    for word in ("would deny", "420", "would end here"):
        assert word in done.stdout


def test_an_explanation_tells_both_walks_in_trace_strings(tmp_path, call):
    with canned_agent(tmp_path / "s", {"explain": EXPLANATION}):
        done = call("explain", "--from", "a/x", "--to", "198.51.100.7:443", "--socket", tmp_path / "s")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[-5:] == [
        "    default / NetworkPolicy a/p rule 0: rule allows",
        "    0|default|np:a/p|allow|0",
        "  if staged policies were enforced: deny",
        "    egress: deny",
        "      0|default|snp:a/try|deny|0",
    ]
