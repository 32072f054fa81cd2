"""Which interfaces are captured when, and what is said of each capture."""

from policy.resources.decode import decode
from policy.rules import EndpointID, PortRange
from reconcile.instant import WallInstant
from tests.policy import documents
from tidegate.capture.plan import MAX_JOBS, CaptureState, Job, plan
from tidegate.capture.program import Wanted
from tidegate.capture.targets import Target, select, targets
from tidegate.judge.nodes import node_state


def capture(name="c", namespace="shop", **spec):
    metadata = {"name": name, "namespace": namespace}
    return decode({"apiVersion": "projectcalico.org/v3", "kind": "PacketCapture", "metadata": metadata, "spec": spec})


def target(name, namespace="shop", interface=None, **labels):
    shown = f"cali-{name}" if interface is None else interface
    return Target(EndpointID(f"{namespace}/{name}"), namespace, shown, labels)


NOW = WallInstant(1_800_000_000.0)  # 2027-01-15T08:00:00Z
TARGETS = [target("web", app="web"), target("db", app="db"), target("web", "other", app="web")]


def test_a_capture_is_of_the_selected_workloads_of_its_namespace():
    found = plan([capture(selector="app == 'web'")], TARGETS, NOW)
    assert {(job.endpoint, job.interface, job.wanted) for job in found.jobs} == {("shop/web", "cali-web", ())}
    assert found.states == ()
    assert {job.endpoint for job in plan([capture()], TARGETS, NOW).jobs} == {"shop/web", "shop/db"}
    assert plan([capture(selector="app == 'none'")], TARGETS, NOW).jobs == frozenset()


def test_filters_become_what_the_kernel_is_asked_for():
    asked = capture(filters=[{"protocol": "TCP", "ports": [80, "8000:8999"]}, {"protocol": 47}, {}])
    [job] = plan([asked], TARGETS[:1], NOW).jobs
    assert job.wanted == (Wanted(6, (PortRange(80, 80), PortRange(8000, 8999))), Wanted(47), Wanted())


def test_a_capture_waits_for_its_start_and_ends_at_its_end():
    timed = capture(startTime="2027-01-15T08:00:00Z", endTime="2027-01-15T09:00:00+00:00")
    before, during, after = (plan([timed], TARGETS, WallInstant(NOW + at)) for at in (-0.5, 0, 3600))
    assert (len(before.jobs), before.states) == (0, ((timed.key, CaptureState.SCHEDULED, ""),))
    assert before.next_change_at == NOW
    assert (len(during.jobs), during.states, during.next_change_at) == (2, (), NOW + 3600)
    assert (len(after.jobs), after.states) == (0, ((timed.key, CaptureState.FINISHED, ""),))
    assert after.next_change_at is None


def test_a_workload_without_an_interface_is_told_and_the_others_are_captured():
    found = plan([capture()], [target("web"), target("lost", interface="")], NOW)
    assert [job.endpoint for job in found.jobs] == ["shop/web"]
    [(_, state, message)] = found.states
    assert (state, message) == (CaptureState.ERROR, "cannot capture shop/lost: no route leads to it")


def test_interfaces_are_bounded_and_who_finds_no_room_is_told():
    many = [target(f"w{number:03}") for number in range(MAX_JOBS)]
    captures = [capture("first"), capture("second", selector="all()")]
    found = plan(captures, many, NOW)
    assert {job.capture.name for job in found.jobs} == {"first"}
    [(key, state, message)] = found.states
    assert (key.name, state) == ("second", CaptureState.ERROR)
    assert f"{MAX_JOBS} at a time" in message


def test_selectors_see_the_labels_of_namespace_and_account():
    resources = [
        documents.namespace("shop", team="a"),
        documents.endpoint("web", namespace="shop", labels={"app": "web"}, node="n1", profiles=["kns.shop"]),
        documents.endpoint("away", namespace="shop", node="n2"),
        documents.endpoint("web", namespace="other", node="n1"),
    ]
    found = targets(resources, node_state(resources, "n1"), "shop")
    assert [item.endpoint for item in found] == ["shop/web"]
    assert [item.endpoint for item in select(found, "shop", "pcns.team == 'a' && app == 'web'")] == ["shop/web"]
    assert select(found, "shop", "pcns.team == 'b'") == []


def test_files_are_called_by_workload_and_interface():
    [job] = plan([capture()], TARGETS[:1], NOW).jobs
    assert isinstance(job, Job)
    assert job.stem == "web_cali-web"
