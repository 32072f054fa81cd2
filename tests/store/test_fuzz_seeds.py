"""The seeds of the fuzz target are good files, so that what is bred from them reaches deep."""

import pytest

from tests.fuzz import fuzz_resources
from tidegate.store.entries import read_entries


@pytest.mark.parametrize("seed", fuzz_resources.SEEDS)
def test_seeds(seed):
    fuzz_resources.one(seed)
    entries = read_entries("x.json" if seed.startswith(b"j") else "x.yaml", seed[1:])
    assert entries[0].resource is not None, entries[0].faults
