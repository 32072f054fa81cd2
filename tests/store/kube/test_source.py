"""Documents from an API server: everything that is in force, every change, whatever happens on the way."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from policy.resources.registry import KINDS
from reconcile.clock import SystemClock
from tests.store.kube.fake_server import FakeServer, Fault
from tidegate.store.kube import informer as informers
from tidegate.store.kube import source as sources
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.kinds import Collection, collections
from tidegate.store.kube.source import KubeSource
from tidegate.store.last_valid import ProblemKind
from tidegate.store.tree import StoreError

PODS = Collection("v1", "Pod", "pods")
TIERS = Collection("projectcalico.org/v3", "Tier", "tiers", is_custom=True)
PATIENCE = 20.0


def pod(name, ip="10.0.0.1", labels=None):
    return {
        "metadata": {"name": name, "namespace": "prod", "labels": labels or {}},
        "spec": {"nodeName": "n1", "containers": []},
        "status": {"phase": "Running", "podIP": ip},
    }


def tier(name, order=1.0):
    return {"metadata": {"name": name}, "spec": {"order": order}}


def kubeconfig(directory, url, **user):
    path = directory / "kubeconfig"
    path.write_text(
        json.dumps(
            {
                "current-context": "c",
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "clusters": [{"name": "c", "cluster": {"server": url}}],
                "users": [{"name": "u", "user": user}],
            }
        )
    )
    return path


class Follower:
    """What somebody knows who is told only of changes."""

    def __init__(self, source):
        self.source, self.known, self.problems, self.told = source, {}, (), 0

    def take(self, changes):
        self.told += 1
        self.problems = changes.problems
        for update in changes.updates:
            if update.resource is None:
                del self.known[update.key.name]
            else:
                self.known[update.key.name] = update.resource

    async def follow(self):
        async for changes in self.source.changes():
            self.take(changes)

    async def until(self, holds):
        async with asyncio.timeout(PATIENCE):
            while not holds():  # noqa: ASYNC110 - conditions of all kinds
                await asyncio.sleep(0.01)


@asynccontextmanager
async def following(tmp_path, server, *followed, begin=True, resync=600.0, connection=None):
    path = kubeconfig(tmp_path, server.url, token="good")
    connection = connection or Connection(path, SystemClock(), "test")
    source = KubeSource(connection, followed or (PODS, TIERS), SystemClock(), random.random, resync)
    follower = Follower(source)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(source.run())]
        if begin:
            follower.take(await source.begin())
            tasks.append(group.create_task(follower.follow()))
        try:
            yield follower
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture(autouse=True)
def _fast(monkeypatch):
    monkeypatch.setattr(informers, "FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr(informers, "MOST_DELAY_SECONDS", 0.1)
    monkeypatch.setattr(informers, "ABSENT_POLL_SECONDS", 0.05)


def play(scenario, **options):
    async def run():
        async with FakeServer({PODS.path, TIERS.path}, **options).running() as server:
            await scenario(server)

    asyncio.run(run())


def tally(follower, collection=PODS):
    return next(each.tally for each in follower.source.informers if each.collection == collection)


def test_what_is_there_and_every_change_is_told(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("a"))
        await server.put(TIERS.path, tier("web", 5))
        async with following(tmp_path, server) as follower:
            assert follower.known.keys() == {"a", "web"}
            assert follower.known["web"].spec.order == 5
            await server.put(PODS.path, pod("b", "10.0.0.2"))
            await server.put(TIERS.path, tier("web", 6))
            await follower.until(lambda: "b" in follower.known and follower.known["web"].spec.order == 6)
            await server.delete(PODS.path, "prod", "a")
            await follower.until(lambda: "a" not in follower.known)
            assert tally(follower).lists == 1
            counted = follower.source.counters
            assert (counted["kubernetes_lists"], counted["kubernetes_events"]) == (2, 3)

    play(scenario)


def test_a_long_list_is_read_in_pages(tmp_path, monkeypatch):
    monkeypatch.setattr(informers, "PAGE_OBJECTS", 10)

    async def scenario(server):
        for number in range(35):
            await server.put(PODS.path, pod(f"p{number}"))
        async with following(tmp_path, server, PODS) as follower:
            assert len(follower.known) == 35
            assert server.asked["list"] == 4

    play(scenario)


def test_pages_that_expire_are_asked_for_in_one_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(informers, "PAGE_OBJECTS", 10)

    async def scenario(server):
        for number in range(25):
            await server.put(PODS.path, pod(f"p{number}"))
        real, pages = server._list, []

        async def listing(writer, path, query):
            pages.append(query)
            done = await real(writer, path, query)
            if len(pages) == 1:
                await server.delete(PODS.path, "prod", "p0")
                await server.put(PODS.path, pod("late"))
                server.compact()
            return done

        server._list = listing
        async with following(tmp_path, server, PODS) as follower:
            assert follower.known.keys() == {f"p{number}" for number in range(1, 25)} | {"late"}
            assert tally(follower).expired == 1

    play(scenario)


def test_a_watch_that_ends_every_moment_is_gone_on_with_and_loses_nothing(tmp_path):
    async def scenario(server):
        async with following(tmp_path, server, PODS) as follower:
            for number in range(40):
                await server.put(PODS.path, pod(f"p{number}"))
                await asyncio.sleep(0.01)
            await follower.until(lambda: len(follower.known) == 40)
            assert tally(follower).watches > 3
            assert tally(follower).lists == 1

    play(scenario, watch_seconds=0.05)


def test_connections_that_break_are_gone_on_with_and_lose_nothing(tmp_path):
    async def scenario(server):
        async with following(tmp_path, server, PODS) as follower:
            for number in range(20):
                await server.put(PODS.path, pod(f"p{number}"))
                await asyncio.sleep(0.02)
                server.drop_all()
            await follower.until(lambda: len(follower.known) == 20)
            await follower.until(lambda: not follower.problems)

    play(scenario)


@pytest.mark.parametrize("status", [410, 500, 429, 503])
def test_a_watch_that_is_refused_ends_in_another_list(tmp_path, status):
    async def scenario(server):
        server.faults.append(Fault(status, watch=True, times=3))
        async with following(tmp_path, server, PODS) as follower:
            await server.put(PODS.path, pod("a"))
            await follower.until(lambda: "a" in follower.known)
            await follower.until(lambda: tally(follower).lists >= 4)
            await follower.until(lambda: not follower.problems)

    play(scenario)


@pytest.mark.parametrize("code", [410, 500])
def test_an_error_event_ends_in_another_list(tmp_path, code):
    async def scenario(server):
        async with following(tmp_path, server, PODS) as follower:
            await follower.until(lambda: tally(follower).watches == 1)
            await server.put(PODS.path, pod("missed"), silent=True)
            await server.tell("ERROR", PODS.path, {"kind": "Status", "code": code, "message": "too old"})
            await follower.until(lambda: "missed" in follower.known)

    play(scenario)


def test_compacted_history_ends_in_another_list_that_says_what_is_gone(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("a"))
        await server.put(PODS.path, pod("b"))
        async with following(tmp_path, server, PODS) as follower:
            server.faults.append(Fault(0, times=2))
            server.drop_all()
            await server.delete(PODS.path, "prod", "a")
            await server.put(PODS.path, pod("c"))
            server.compact()
            await follower.until(lambda: follower.known.keys() == {"b", "c"})
            assert tally(follower).expired == 1

    play(scenario)


def test_duplicate_and_late_events_change_nothing(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("a", labels={"v": "0"}))
        async with following(tmp_path, server, PODS) as follower:
            await server.put(PODS.path, pod("a", labels={"v": "1"}))
            first = server.history[-1][2]["object"]
            await server.put(PODS.path, pod("a", labels={"v": "2"}))
            await follower.until(lambda: follower.known["a"].metadata.labels == {"v": "2"})
            await server.tell("MODIFIED", PODS.path, first)
            await server.delete(PODS.path, "prod", "a")
            await server.tell("MODIFIED", PODS.path, first)
            await server.tell("DELETED", PODS.path, first)
            await server.put(PODS.path, pod("end"))
            await follower.until(lambda: "end" in follower.known)
            assert "a" not in follower.known
            assert tally(follower).old_events == 3

    play(scenario)


def test_reordered_events_of_two_objects_both_count(tmp_path):
    async def scenario(server):
        async with following(tmp_path, server, PODS) as follower:
            await follower.until(lambda: tally(follower).watches == 1)
            await server.put(PODS.path, pod("a"), silent=True)
            await server.put(PODS.path, pod("b"), silent=True)
            for name in ("b", "a"):
                await server.tell("ADDED", PODS.path, server.objects[PODS.path, "prod", name])
            await follower.until(lambda: follower.known.keys() == {"a", "b"})
            assert tally(follower).lists == 1

    play(scenario)


def test_what_a_watch_missed_is_found_by_the_next_list(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("gone"))
        async with following(tmp_path, server, PODS, resync=0.5) as follower:
            await follower.until(lambda: tally(follower).watches == 1)
            await server.put(PODS.path, pod("missed"), silent=True)
            await server.delete(PODS.path, "prod", "gone", silent=True)
            await follower.until(lambda: follower.known.keys() == {"missed"})
            assert tally(follower).missed == 2

    play(scenario, watch_seconds=0.3)


def test_while_the_server_is_away_everything_stays_in_force_and_that_is_told(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("a"))
        port = int(server.url.rpartition(":")[2])
        async with following(tmp_path, server, PODS) as follower:
            away = Fault(0, times=10**6)
            server.faults.append(away)
            server.drop_all()
            await follower.until(lambda: follower.problems)
            (problem,) = follower.problems
            assert problem.kind is ProblemKind.STALE
            assert problem.file == "pods"
            assert "cannot follow pods: cannot ask the API server" in problem.message
            assert follower.known.keys() == {"a"}
            away.times = 0
            await server.put(PODS.path, pod("b"))
            await follower.until(lambda: follower.known.keys() == {"a", "b"} and not follower.problems)
        assert port

    play(scenario)


def test_without_a_permission_nothing_begins_and_the_permission_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BEGIN_SECONDS", 0.3)

    async def scenario(server):
        refusal = Fault(403, 'pods is forbidden: User "u" cannot list resource "pods"', path="pods", times=10**6)
        server.faults.append(refusal)
        async with following(tmp_path, server, begin=False) as follower:
            with pytest.raises(StoreError, match=r"403 pods is forbidden.*needs the verbs list and watch on pods"):
                await follower.source.begin()
            refusal.times = 0
            async with asyncio.timeout(PATIENCE):
                while True:
                    try:
                        follower.take(await follower.source.begin())
                        break
                    except StoreError:
                        continue
            assert not follower.problems

    play(scenario)


def test_a_permission_taken_away_leaves_everything_in_force(tmp_path):
    async def scenario(server):
        await server.put(PODS.path, pod("a"))
        async with following(tmp_path, server, PODS) as follower:
            server.faults.append(Fault(403, "pods is forbidden", times=10**6))
            server.drop_all()
            await follower.until(lambda: any("forbidden" in problem.message for problem in follower.problems))
            assert follower.known.keys() == {"a"}

    play(scenario)


def test_definitions_may_be_installed_later_and_taken_away(tmp_path):
    async def scenario(server):
        server.paths.discard(TIERS.path)
        async with following(tmp_path, server) as follower:
            assert follower.source.informers[1].is_absent
            assert not follower.problems
            server.paths.add(TIERS.path)
            await server.put(TIERS.path, tier("web"))
            await follower.until(lambda: "web" in follower.known)
            server.paths.discard(TIERS.path)
            server.drop_all()
            await follower.until(lambda: "web" not in follower.known)
            assert server.asked["list"] >= 2 + informers.MAX_ABSENT

    play(scenario)


def test_a_kind_that_is_unknown_for_a_moment_keeps_its_objects(tmp_path):
    async def scenario(server):
        await server.put(TIERS.path, tier("web"))
        async with following(tmp_path, server, TIERS) as follower:
            server.faults.append(Fault(404, times=informers.MAX_ABSENT - 1))
            server.drop_all()
            await server.put(TIERS.path, tier("db"))
            await follower.until(lambda: "db" in follower.known)
            assert "web" in follower.known
            assert server.faults[0].times == 0

    play(scenario)


def test_kinds_of_kubernetes_itself_are_never_absent(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BEGIN_SECONDS", 0.2)

    async def scenario(server):
        server.paths.discard(PODS.path)
        async with following(tmp_path, server, begin=False) as follower:
            with pytest.raises(StoreError, match="cannot follow pods: 404"):
                await follower.source.begin()

    play(scenario)


def test_a_token_that_was_rotated_is_used_at_once_when_the_old_one_ends(tmp_path):
    async def scenario(server):
        token = tmp_path / "token"
        token.write_text("old")
        path = kubeconfig(tmp_path, server.url, tokenFile=str(token))
        await server.put(PODS.path, pod("a"))
        connection = Connection(path, SystemClock(), "test")
        source = KubeSource(connection, (PODS,), SystemClock(), random.random, 600)
        follower = Follower(source)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(source.run())]
            follower.take(await source.begin())
            tasks.append(group.create_task(follower.follow()))
            server.tokens = {"new"}
            server.drop_all()
            await follower.until(lambda: any("401" in problem.message for problem in follower.problems))
            assert follower.known.keys() == {"a"}
            token.write_text("new")
            await server.put(PODS.path, pod("b"))
            await follower.until(lambda: "b" in follower.known and not follower.problems)
            for task in tasks:
                task.cancel()

    play(scenario, tokens={"old"})


def test_an_object_that_becomes_invalid_stays_in_force_as_it_was(tmp_path):
    async def scenario(server):
        await server.put(TIERS.path, tier("web", 5))
        async with following(tmp_path, server, TIERS) as follower:
            await server.put(TIERS.path, tier("web", "high"))
            await follower.until(lambda: follower.problems)
            (problem,) = follower.problems
            assert (problem.kind, problem.path, problem.line) == (ProblemKind.STALE, "spec.order", 0)
            assert problem.file == "tiers.projectcalico.org//web"
            assert follower.known["web"].spec.order == 5
            await server.put(TIERS.path, tier("web", 7))
            await follower.until(lambda: follower.known["web"].spec.order == 7 and not follower.problems)

    play(scenario)


def test_five_thousand_pods_in_a_burst_arrive_in_few_steps(tmp_path):
    async def scenario(server):
        async with following(tmp_path, server, PODS) as follower:
            for number in range(5000):
                await server.put(PODS.path, pod(f"p{number}", f"10.{number >> 8}.{number & 255}.1"))
            await follower.until(lambda: len(follower.known) == 5000)
            assert follower.told < 500

    play(scenario)


def test_no_server_at_all_is_said_and_not_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BEGIN_SECONDS", 0.2)

    async def scenario(server):
        server.url = "http://127.0.0.1:1"
        async with following(tmp_path, server, begin=False) as follower:
            with pytest.raises(StoreError, match="cannot ask the API server"):
                await follower.source.begin()

    play(scenario)


def test_a_kubeconfig_that_is_missing_is_said_and_not_raised(tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "BEGIN_SECONDS", 0.2)

    async def scenario(server):
        nowhere = Connection(tmp_path / "nowhere", SystemClock(), "test")
        async with following(tmp_path, server, begin=False, connection=nowhere) as follower:
            with pytest.raises(StoreError, match="cannot tell who we are to the API server"):
                await follower.source.begin()

    play(scenario)


def test_every_followed_kind_has_a_model_and_a_path_of_its_own():
    found = collections("projectcalico.org/v3")
    assert all((each.api_version, each.kind) in KINDS for each in found)
    assert len({each.path for each in found}) == len(found)
    assert {each.path for each in found} >= {
        "/api/v1/pods",
        "/apis/networking.k8s.io/v1/networkpolicies",
        "/apis/projectcalico.org/v3/stagedkubernetesnetworkpolicies",
        "/apis/policy.networking.k8s.io/v1alpha2/clusternetworkpolicies",
    }
