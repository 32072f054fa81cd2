"""A few hundred mutations of each target's seeds, the same in every run; `just fuzz` goes on from there."""

import random

import pytest

from tests.fuzz.targets import TARGETS

MUTATIONS = 400


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_are_no_findings(name):
    for seed in TARGETS[name].seeds:
        TARGETS[name].run(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_mutations_are_no_findings(name):
    target, dice = TARGETS[name], random.Random(20)
    for _ in range(MUTATIONS):
        data = mutated(target, dice)
        try:
            target.run(data)
        except Exception as error:
            error.add_note(f"{name}: {data!r}")
            raise


def mutated(target, dice) -> bytes:
    data = bytearray(dice.choice(target.seeds))
    for _ in range(dice.randint(1, 6)):
        at = dice.randint(0, len(data))
        way = dice.randrange(6)
        if way == 0:
            data[at:at] = dice.choice(target.words or (b"\0",))
        elif way == 1:
            del data[at : at + dice.randint(1, 8)]
        elif way == 2:
            data[at:at] = dice.randbytes(dice.randint(1, 4))
        elif way == 3 and len(target.seeds) > 1:
            other = dice.choice(target.seeds)
            data[at:] = other[dice.randint(0, len(other)) :]
        elif at < len(data):
            data[at] = dice.choice([0, 1, 0xC0, 0xFF, dice.randrange(256), data[at] ^ 1 << dice.randrange(8)])
    return bytes(data[: target.max_bytes])
