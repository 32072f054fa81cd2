"""What every source of documents promises, asked of files and of an API server alike."""

import asyncio
import json
import random
from contextlib import asynccontextmanager

import pytest

from reconcile.clock import SystemClock
from tests.store.kube.fake_server import FakeServer
from tests.store.kube.test_source import kubeconfig
from tidegate.store.files import FileSource
from tidegate.store.kube.connection import Connection
from tidegate.store.kube.kinds import Collection
from tidegate.store.kube.source import KubeSource
from tidegate.store.last_valid import ProblemKind

TIERS = Collection("projectcalico.org/v3", "Tier", "tiers", is_custom=True)
PATIENCE = 20.0


def tier(name, order):
    return {"apiVersion": "projectcalico.org/v3", "kind": "Tier", "metadata": {"name": name}, "spec": {"order": order}}


class Files:
    def __init__(self, directory):
        self.directory = directory
        self.source = FileSource(directory)

    async def put(self, document):
        path = self.directory / f"{document['metadata']['name']}.json"
        scratch = path.with_suffix(".new")
        scratch.write_text(json.dumps(document))
        scratch.rename(path)

    async def remove(self, name):
        (self.directory / f"{name}.json").unlink()


class Cluster:
    def __init__(self, directory, server):
        self.server = server
        connection = Connection(kubeconfig(directory, server.url), SystemClock(), "test")
        self.source = KubeSource(connection, (TIERS,), SystemClock(), random.random, 600.0)

    async def put(self, document):
        await self.server.put(TIERS.path, document)

    async def remove(self, name):
        await self.server.delete(TIERS.path, "", name)


@asynccontextmanager
async def files(directory):
    yield Files(directory)


@asynccontextmanager
async def cluster(directory):
    async with FakeServer({TIERS.path}).running() as server, asyncio.TaskGroup() as group:
        found = Cluster(directory, server)
        running = group.create_task(found.source.run())
        try:
            yield found
        finally:
            running.cancel()


def play(opened, directory, scenario):
    async def run():
        async with opened(directory) as place:
            told = {"orders": {}, "problems": ()}

            def take(changes):
                told["problems"] = changes.problems
                for update in changes.updates:
                    told["orders"].pop(update.key.name, None)
                    if update.resource is not None:
                        told["orders"][update.key.name] = update.resource.spec.order

            async def until(holds):
                async with asyncio.timeout(PATIENCE):
                    while not holds():
                        take(await anext(following))

            await place.put(tier("first", 1))
            take(await place.source.begin())
            assert told["orders"] == {"first": 1}
            following = place.source.changes()
            try:
                await scenario(place, told, until)
            finally:
                await following.aclose()

    asyncio.run(run())


both = pytest.mark.parametrize("opened", [files, cluster])


@both
def test_what_comes_changes_and_goes_is_told(opened, tmp_path):
    async def scenario(place, told, until):
        await place.put(tier("second", 2))
        await until(lambda: told["orders"] == {"first": 1, "second": 2})
        await place.put(tier("second", 3))
        await until(lambda: told["orders"]["second"] == 3)
        await place.remove("first")
        await until(lambda: told["orders"] == {"second": 3})

    play(opened, tmp_path, scenario)


@both
def test_what_becomes_invalid_stays_in_force_until_it_is_mended_or_goes(opened, tmp_path):
    async def scenario(place, told, until):
        await place.put(tier("first", "high"))
        await until(lambda: told["problems"])
        (problem,) = told["problems"]
        assert (problem.kind, problem.path) == (ProblemKind.STALE, "spec.order")
        assert "Tier first" in problem.message
        assert told["orders"] == {"first": 1}
        await place.put(tier("first", 4))
        await until(lambda: told["orders"] == {"first": 4} and not told["problems"])
        await place.put(tier("first", "low"))
        await until(lambda: told["problems"])
        await place.remove("first")
        await until(lambda: not told["orders"] and not told["problems"])

    play(opened, tmp_path, scenario)


@both
def test_what_never_was_valid_is_told_and_not_in_force(opened, tmp_path):
    async def scenario(place, told, until):
        await place.put(tier("bad", "high"))
        await until(lambda: told["problems"])
        assert told["problems"][0].kind is ProblemKind.INVALID
        assert told["orders"] == {"first": 1}

    play(opened, tmp_path, scenario)


@both
def test_what_says_the_same_again_is_no_change(opened, tmp_path):
    async def scenario(place, told, until):
        await place.put(tier("first", 1))
        await place.put(tier("second", 2))
        before = dict(told["orders"])
        await until(lambda: "second" in told["orders"])
        assert told["orders"] == {**before, "second": 2}

    play(opened, tmp_path, scenario)
