"""Fuzzes all targets for so many seconds together: `python -m tests.fuzz SECONDS`.

Targets run beside each other, one a processor, and share the time. A finding is printed with the command that repeats
it, and the status is 1. `python -m tests.fuzz --repeat NAME BASE64` runs one input.
"""

import base64
import os
import subprocess
import sys
import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.fuzz.targets import TARGETS, Target

INPUT_SECONDS = 10
"""No input may take longer; the largest take milliseconds, instrumented ten times that."""
GRACE_SECONDS = 60
_printing = threading.Lock()


def main(arguments: list[str]) -> int:
    if arguments[:1] == ["--repeat"]:
        TARGETS[arguments[1]].run(base64.b64decode(arguments[2]))
        return 0
    processors = min(os.cpu_count() or 1, len(TARGETS))
    seconds = max(1, int(arguments[0]) * processors // len(TARGETS))
    with ThreadPoolExecutor(processors) as pool:
        findings = sum(pool.map(lambda name: fuzz(name, TARGETS[name], seconds), TARGETS))
    print(f"{findings} findings" if findings else "nothing found")
    return 1 if findings else 0


def fuzz(name: str, target: Target, seconds: int) -> int:
    """The number of findings."""
    with tempfile.TemporaryDirectory(prefix=f"tidegate-fuzz-{name}-") as scratch:
        corpus, crashes = Path(scratch, "corpus"), Path(scratch, "crashes")
        corpus.mkdir()
        crashes.mkdir()
        for number, seed in enumerate(target.seeds):
            (corpus / f"seed-{number}").write_bytes(seed)
        words = Path(scratch, "words")
        words.write_text("".join(f'"{escaped(word)}"\n' for word in target.words))
        command = [
            sys.executable, "-m", "tests.fuzz.one", name, str(corpus), f"-artifact_prefix={crashes}/", f"-dict={words}",
            f"-max_total_time={seconds}", f"-max_len={target.max_bytes}", f"-timeout={INPUT_SECONDS}",
            "-rss_limit_mb=2048", "-print_final_stats=1",
        ]  # fmt: skip
        done = run(command, seconds)
        inputs = [each.read_bytes() for each in crashes.iterdir()]
        report(name, done, inputs)
        return max(len(inputs), int(done.returncode != 0))


def run(command: list[str], seconds: int) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command, capture_output=True, text=True, errors="replace", check=False, timeout=seconds + GRACE_SECONDS
        )
    except subprocess.TimeoutExpired as expired:
        return subprocess.CompletedProcess(command, 124, "", f"did not end\n{expired.stderr or ''}")


def report(name: str, done: subprocess.CompletedProcess[str], inputs: list[bytes]) -> None:
    lines = [line for line in (done.stdout + done.stderr).splitlines() if line]
    stats = {key: value for key, _, value in (line.removeprefix("stat::").partition(":") for line in lines)}
    covered = next((line.split("cov: ")[1].split()[0] for line in reversed(lines) if "cov: " in line), "?")
    with _printing:
        runs = stats.get("number_of_executed_units", "?").strip()
        print(f"{name}: {runs} inputs, {covered} edges, {len(inputs)} findings", flush=True)
        if done.returncode:
            print("\n".join([line for line in lines if not line.startswith("#")][-60:]), flush=True)
        for data in inputs:
            print(f"  {data!r}\n  python -m tests.fuzz --repeat {name} {base64.b64encode(data).decode()}", flush=True)


def escaped(word: bytes) -> str:
    """A word as libFuzzer's dictionaries have it."""
    return "".join(f"\\x{byte:02x}" for byte in word)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
