"""An agent that answers from a table, in a thread, for the commands to talk to."""

import asyncio
import threading
from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from tidegate.api import server
from tidegate.cli.main import app


@contextmanager
def canned_agent(path, answers):
    async def metrics():
        return ""

    def query(answer):
        async def ask(_):
            return answer() if callable(answer) else answer

        return ask

    queries = {name: query(answer) for name, answer in answers.items()}
    listener = server.listen(path)
    loop = asyncio.new_event_loop()
    task = loop.create_task(server.serve(server.build_app(queries, {}, metrics), listener))

    def work():
        with pytest.raises(asyncio.CancelledError):
            loop.run_until_complete(task)
        loop.close()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join()


@pytest.fixture
def call():
    """Runs a command in process; the result has `exit_code`, `stdout`, `stderr`."""

    def run(*words):
        return CliRunner().invoke(app, [str(word) for word in words])

    return run
