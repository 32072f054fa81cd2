"""What the configuration says to the packet process arrives there."""

from policy.rules import NodeState
from tidegate.config.settings import Settings
from tidegate.render.settings import from_configuration
from tidegate.sync.snapshots import SnapshotBuilder, SnapshotSettings


def test_bounds_and_times_of_the_configuration_are_in_the_snapshot():
    settings = Settings(
        dns_max_elements_per_endpoint=7,
        dns_max_elements=11,
        dns_pending_strict=True,
        debug_dns_response_delay_seconds=0.25,
        dns_packets_nfqueue_max_hold_seconds=2.5,
        dns_policy_nfqueue_max_hold_seconds=0.75,
    )
    given = SnapshotSettings(settings=settings, render=from_configuration(settings, (), table_name="t"))
    snapshot = SnapshotBuilder(given).build(NodeState(), 3)
    assert (snapshot.max_elements_per_endpoint, snapshot.max_elements) == (7, 11)
    assert (snapshot.is_strict, snapshot.learn_delay_seconds) == (True, 0.25)
    assert (snapshot.max_hold_seconds, snapshot.max_denied_hold_seconds) == (2.5, 0.75)
    assert (snapshot.generation, snapshot.table) == (3, "t")
