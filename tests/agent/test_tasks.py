"""No task is lost, and none fails in silence."""

import asyncio

import pytest

from tidegate.agent.tasks import Supervisor


def test_stop_cancels_and_awaits_every_task():
    ended = []

    async def work():
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    async def main():
        supervisor = Supervisor()
        supervisor.start("work", work())
        asyncio.get_running_loop().call_later(0.01, supervisor.stop)
        await supervisor.wait()

    asyncio.run(main())
    assert ended == ["work"]


def test_the_first_failure_ends_all_and_is_raised_with_the_tasks_name():
    async def fails():
        raise LookupError("broken")

    async def main():
        supervisor = Supervisor()
        supervisor.start("idle", asyncio.sleep(60))
        supervisor.start("fails", fails())
        await supervisor.wait()

    with pytest.raises(LookupError, match="broken") as caught:
        asyncio.run(main())
    assert caught.value.__notes__ == ["in the task 'fails'"]


def test_a_task_that_returns_ends_nobody():
    async def main():
        supervisor = Supervisor()
        supervisor.start("short", asyncio.sleep(0))
        waiter = asyncio.get_running_loop().create_task(supervisor.wait())
        await asyncio.sleep(0.02)
        assert not waiter.done()
        supervisor.stop()
        await waiter

    asyncio.run(main())
