"""Every example has a README, valid policy, and something that runs and prints what it says."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from policy.resources.registry import CALICO, CALICO_STORED, KINDS
from tidegate.demo.play import example_directory

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").iterdir() if path.is_dir())
PLAYED_BY_THE_DEMO = example_directory()


def run(*words, **options):
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False, timeout=50, **options)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_explained_and_its_policy_is_valid(example):
    assert (example / "README.md").read_text().startswith("# ")
    done = run(sys.executable, "-m", "tidegate", "validate", str(example / "resources"), "-o", "json")
    assert done.returncode == 0, done.stdout + done.stderr
    documents = [json.loads(line) for line in done.stdout.splitlines()]
    assert any(document["kind"].endswith("NetworkPolicy") for document in documents)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_small_and_its_readme_says_how_it_is_run(example):
    readme = (example / "README.md").read_text()
    if example == PLAYED_BY_THE_DEMO:
        assert "./justw demo" in readme
        return
    [script] = example.glob("run.*")
    assert f"examples/{example.name}/{script.name}" in readme
    assert len(script.read_text().splitlines()) < 60


def prints(example, *words):
    done = run(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == (example / "expected.txt").read_text()


@pytest.mark.parametrize(
    "example", [path for path in EXAMPLES if (path / "run.sh").exists()], ids=lambda path: path.name
)
def test_an_example_that_needs_no_kernel_gives_the_verdicts_it_tells_of(example):
    prints(example, str(example / "run.sh"))


@pytest.mark.kernel
def test_a_ci_job_reaches_its_index_and_nothing_else():
    example = ROOT / "examples" / "03-ci-job"
    prints(example, sys.executable, str(example / "run.py"))


@pytest.mark.kernel
@pytest.mark.parametrize("name", ["20-host-failsafe", "21-host-forward", "22-host-prednat", "23-host-untracked"])
def test_a_host_is_protected_as_its_example_tells(name):
    example = ROOT / "examples" / name
    prints(example, sys.executable, str(example / "run.py"))


@pytest.mark.kernel
def test_a_workload_is_limited_as_its_example_tells():
    example = ROOT / "examples" / "25-limits"
    prints(example, sys.executable, str(example / "run.py"))


def kinds_shown():
    """Kinds in the examples, each under the version that it is read as."""
    files = (path for example in EXAMPLES for path in (example / "resources").rglob("*.yaml"))
    for file in files:
        for document in yaml.safe_load_all(file.read_text()):
            for item in document["items"] if document["kind"] == "List" else [document]:
                version = item["apiVersion"]
                yield CALICO if version == CALICO_STORED else version, item["kind"]


def test_every_kind_has_an_example():
    wanted = {(version, kind) for version, kind in KINDS if version != CALICO_STORED}
    assert wanted <= set(kinds_shown())


@pytest.mark.kernel
def test_the_demo_ends_well():
    done = run(sys.executable, "-m", "tidegate", "demo")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.kernel
def test_log_rules_record_what_their_example_tells():
    example = ROOT / "examples" / "41-log-rules"
    prints(example, sys.executable, str(example / "run.py"))


@pytest.mark.kernel
def test_open_connections_are_kept_or_ended_as_their_example_tells():
    example = ROOT / "examples" / "40-open-connections"
    prints(example, sys.executable, str(example / "run.py"))


@pytest.mark.kernel
def test_a_capture_holds_the_packets_its_example_tells_of():
    example = ROOT / "examples" / "42-capture"
    prints(example, sys.executable, str(example / "run.py"))
