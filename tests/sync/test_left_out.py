"""Bounds of names that are reached: a condition each, which says for whom and what moves it."""

from tidegate.sync.conditions import ConditionType
from tidegate.sync.left_out import left_out_conditions


def test_each_bound_has_a_reason_and_the_setting_that_moves_it():
    found = left_out_conditions({"cap-endpoint": ["node/ep2", "node/ep1"], "cap-set": ["node/ep3"], "cap-node": ["x"]})
    assert {item.type for item in found} == {ConditionType.NAMES_LEFT_OUT}
    assert {item.reason: item.subject for item in found} == {
        "EndpointFull": "dnsMaxElementsPerEndpoint",
        "SetFull": "dnsLearnedSetSize",
        "NodeFull": "dnsMaxElements",
    }
    assert all(item.subject in item.message and not item.is_normal for item in found)
    assert "node/ep1, node/ep2;" in found[0].message


def test_a_few_endpoints_are_named_and_the_rest_counted():
    (condition,) = left_out_conditions({"cap-endpoint": [f"node/ep{number}" for number in range(9)]})
    assert "node/ep4 and 4 more" in condition.message
    assert "ep5" not in condition.message


def test_without_a_bound_there_is_nothing_to_say():
    assert left_out_conditions({}) == []
    assert left_out_conditions({"cap-endpoint": []}) == []
