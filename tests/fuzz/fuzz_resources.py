"""Fuzz targets of the resource reader: any bytes as a file, any text as a domain pattern.

A first byte `j` means JSON. Run alone with `python -m tests.fuzz.fuzz_resources -max_total_time=600` (needs atheris); the
documents of the tests are the seeds.
"""

import sys

from policy.domains import DomainError, DomainPattern
from policy.resources.metadata import Resource
from policy.resources.policies import GlobalNetworkPolicy, NetworkPolicy
from tidegate.store.entries import read_entries
from tidegate.store.last_valid import LastValid

SEEDS = (
    (
        b"yapiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {name: a.b, labels: {x: 'y'}}\nspec:\n"
        b"  types: [Egress]\n  egress:\n  - &a {action: Allow, protocol: TCP, ipVersion: 4}\n  - <<: *a\n    destination:\n"
        b"      domains: ['*.a.test', b\\.c.test]\n      ports: [80, '80:90', http]\n      notNets: [10.0.0.0/8]\n"
    ),
    b'j{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}}]}',
    (
        b"yapiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: x}\nspec:\n  podSelector: {}\n  egress:\n"
        b"  - to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]\n    ports: [{port: 80, endPort: 90}]\n---\n%x\n"
    ),
)


def one_file(data: bytes) -> None:
    """Every document of a file is a resource or has faults with messages, and stands on a line."""
    name = "x.json" if data[:1] == b"j" else "x.yaml"
    entries = read_entries(name, data[1:])
    for entry in entries:
        assert (entry.resource is None) == bool(entry.faults)
        assert len(entry.faults) == len(entry.fault_lines)
        assert all(fault.message for fault in entry.faults)
        assert all(line >= 1 for line in (entry.line, *entry.fault_lines))
        if isinstance(entry.resource, Resource):
            assert entry.resource.key == entry.key
        if isinstance(entry.resource, NetworkPolicy | GlobalNetworkPolicy):
            assert entry.resource.spec.types
    LastValid().take({name: entries})


def one_pattern(data: bytes) -> None:
    """A pattern is read back from its canonical text."""
    try:
        pattern = DomainPattern.parse(data.decode("utf-8", "surrogateescape"))
    except DomainError:
        return
    assert DomainPattern.from_canonical(str(pattern)) == pattern


def one(data: bytes) -> None:
    """Both targets on the same bytes."""
    one_file(data)
    one_pattern(data[:300])


if __name__ == "__main__":
    import tempfile
    from pathlib import Path

    import atheris

    with tempfile.TemporaryDirectory() as corpus:
        for number, seed in enumerate(SEEDS):
            (Path(corpus) / str(number)).write_bytes(seed)
        atheris.instrument_all()
        atheris.Setup([*sys.argv, corpus], one)
        atheris.Fuzz()
