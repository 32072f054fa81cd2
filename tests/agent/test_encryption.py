"""The task around the tunnels; what it does to a kernel is in tests/scenarios."""

import asyncio

import pytest

from reconcile.clock import SystemClock
from tidegate.agent.encryption import Encryption, World
from tidegate.sync.conditions import Conditions


class NothingWanted:
    """Documents that were read, and are none."""

    is_in_sync, resources, links = True, {}, None


@pytest.mark.parametrize("steps", range(6))
def test_a_change_at_the_moment_of_the_end_does_not_keep_the_task_from_ending(tmp_path, steps):
    async def main():
        world = World(node="a", state=tmp_path, desired=NothingWanted(), conditions=Conditions(), clock=SystemClock())
        encryption = Encryption(world, ())
        try:
            task = asyncio.create_task(encryption.run())
            async with asyncio.timeout(5):
                while not encryption.is_done:  # noqa: ASYNC110 - it is no event
                    await asyncio.sleep(0.001)
            await asyncio.sleep(0.01)
            encryption.note_change()
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            done, _ = await asyncio.wait({task}, timeout=5)
            # However many more it needs, so that the test ends.
            while not task.done():
                task.cancel()
                await asyncio.sleep(0.01)
            assert done == {task}
        finally:
            encryption.close()

    asyncio.run(main())
