"""Tasks with an owner and a name.

asyncio keeps only weak references to bare tasks and reports their failures when they are collected, if ever. Here every
task belongs to a supervisor: the first that fails ends them all, and its error is raised where somebody waits.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Supervisor:
    """Owns the tasks of a program. A task may return; one that raises is a bug, and stops the program."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_over = asyncio.Event()
        self._failure: BaseException | None = None

    def start(self, name: str, coroutine: Coroutine[Any, Any, object]) -> None:
        """Runs it beside the others, under this name."""
        task = asyncio.get_running_loop().create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)

    def stop(self) -> None:
        """Asks `wait` to return. Safe in a signal handler of the loop, and more than once."""
        self._is_over.set()

    async def wait(self) -> None:
        """Returns after `stop`, when every task was cancelled and has ended.

        Raises:
            BaseException: what the first failing task raised.
        """
        try:
            await self._is_over.wait()
        finally:
            await self._cancel_all()
        if self._failure is not None:
            raise self._failure

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled():
            return
        failure = task.exception()
        if failure is not None and self._failure is None:
            failure.add_note(f"in the task {task.get_name()!r}")
            self._failure = failure
            self._is_over.set()

    async def _cancel_all(self) -> None:
        while self._tasks:
            tasks = list(self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
