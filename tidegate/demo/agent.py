"""The agent as demo and tests run it: the real program in the node's namespace, told what to do by its commands."""

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tidegate.api.client import ApiClient
from tidegate.demo.namespace import LabError, Namespace

_STOP_SECONDS = 15


@dataclass(slots=True)
class RunningAgent:
    """`tidegate run` in a namespace, with its own state directory and socket; `stop` takes everything out."""

    node: Namespace
    resources: Path | None
    """None where another source is given by a flag."""
    scratch: Path
    """Holds the state directory, the socket and the log."""
    node_name: str = "demo"
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """The API socket."""
        return self.scratch / "tidegate.sock"

    @property
    def log(self) -> Path:
        """Standard error of all runs so far."""
        return self.scratch / "agent.log"

    def start(self, *flags: str, environment: dict[str, str] | None = None) -> None:
        """Starts `tidegate run` with its usual flags and these."""
        words = [
            *("run", "--node", self.node_name),
            *(() if self.resources is None else ("--resources", str(self.resources))),
            *("--state", str(self.scratch / "state"), "--socket", str(self.socket), *flags),
        ]
        with self.log.open("ab") as log:
            self.process = self.node.start(
                [sys.executable, "-m", "tidegate", *words], stdout=log, stderr=log, env=environment
            )

    def wait_until_ready(self, seconds: int = 20) -> None:
        """Returns once policy is in force.

        Raises:
            LabError: it is not within that time; the message ends with the log.
        """
        done = self.call("status", "--wait", str(seconds), check=False)
        if done.returncode != 0:
            raise LabError(f"cannot get the agent ready: {done.stdout}{done.stderr}\n{self.log.read_text()[-3000:]}")

    def call(self, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a command of the program against this agent.

        Raises:
            LabError: `check` is set and it ended with another status than 0.
        """
        return program(*words, "--socket", str(self.socket), check=check)

    def ask(self, *words: str) -> Any:  # noqa: ANN401 - any JSON
        """The JSON document that a command prints.

        Raises:
            LabError: the command failed.
        """
        return json.loads(self.call(*words, "-o", "json").stdout)

    def get(self, what: str) -> Any:  # noqa: ANN401 - any JSON
        """What the agent's API says, without the start of a program: for those who ask often.

        Raises:
            AgentUnreachableError: nobody answers.
        """
        return ApiClient(self.socket).get(what)

    def stop(self, with_signal: signal.Signals = signal.SIGTERM) -> int:
        """Ends the control process and returns its exit status (policy stays, unless it runs with --remove-on-exit).

        Raises:
            LabError: it does not end.
        """
        if self.process is None:
            return 0
        self.process.send_signal(with_signal)
        try:
            return self.process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired as error:
            self.process.kill()
            raise LabError(f"cannot stop the agent: {self.log.read_text()[-3000:]}") from error
        finally:
            self.process = None


def program(*words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Runs a command of the program that needs no agent.

    Raises:
        LabError: `check` is set and it ended with another status than 0.
    """
    command = [sys.executable, "-m", "tidegate", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)  # noqa: S603
    if check and done.returncode != 0:
        raise LabError(f"cannot run tidegate {' '.join(words)}: {done.stderr.strip()}")
    return done
