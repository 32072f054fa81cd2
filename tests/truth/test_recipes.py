"""NetworkPolicy's recipes: the documentation, the reference and the packets say the same."""

import pytest

from tests.truth import recipes
from tidegate.store.files import FileSource
from tidegate.truth.cases import NAMES, Port, cases, cast, parse_port
from tidegate.truth.prediction import predict
from tidegate.truth.verification import find_truth

PORTS = tuple(parse_port(f"{number}/{protocol}") for number, protocol in recipes.PORTS)


@pytest.fixture
def told(tmp_path):
    directory = tmp_path / "told"
    directory.mkdir()
    (directory / "recipes.yaml").write_text(recipes.text())
    return directory


def read(directory):
    changes = FileSource(directory).load()
    assert not changes.problems
    return [update.resource for update in changes.updates]


def documented(asked):
    return [
        recipes.is_allowed(
            case.source.id, case.destination.id, case.port.number, NAMES[case.port.protocol], case.family
        )
        for case in asked
    ]


def test_the_reference_says_of_every_recipe_what_its_documentation_says(told):
    known = read(told)
    asked = cases(cast(known).members, PORTS, (4, 6))
    said = predict(known, asked)
    assert len(asked) == 20 * 19 * 4 * 2
    assert [case for case, one, two in zip(asked, said, documented(asked), strict=True) if one != two] == []
    assert 0 < sum(said) < len(said)


@pytest.mark.kernel
def test_packets_do_with_every_recipe_what_its_documentation_says(told):
    truth = find_truth(read(told), told, PORTS, (4, 6))
    assert [truth.asked[place] for place in truth.differences] == []
    assert list(truth.observed) == documented(truth.asked)


@pytest.mark.kernel
def test_a_policy_that_the_agent_is_not_told_is_found_and_nothing_else(told, tmp_path):
    lacking = tmp_path / "lacking"
    lacking.mkdir()
    (lacking / "recipes.yaml").write_text(recipes.text(without="deny-ingress"))
    truth = find_truth(read(told), lacking, (Port(80, 6),), (4,))
    found = [truth.asked[place] for place in truth.differences]
    assert {case.destination.id for case in found} == {"deny-ingress/a"}
    # part/left has no policy of its own: who reaches it is who may send at all.
    senders = {name for name in recipes.PODS if recipes.is_allowed(name, "part/left", 80, "TCP", 4)}
    assert {case.source.id for case in found} == senders - {"deny-ingress/a"}
    assert all(truth.observed[place] for place in truth.differences)
