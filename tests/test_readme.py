"""What the README shows is valid, and what it tells to type works."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|yaml)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
DOCUMENTS = [text for language, text in BLOCKS if language == "yaml" and "apiVersion" in text]
SETTINGS = [text for language, text in BLOCKS if language == "yaml" and "apiVersion" not in text]
COMMANDS = "\n".join(text for language, text in BLOCKS if language == "sh")


def tidegate(*words, stdin=""):
    command = [sys.executable, "-m", "tidegate", *words]
    return subprocess.run(command, cwd=ROOT, input=stdin, capture_output=True, text=True, check=False, timeout=50)


@pytest.fixture
def resources(tmp_path):
    for number, text in enumerate(DOCUMENTS):
        (tmp_path / f"{number}.yaml").write_text(text)
    return tmp_path


def test_policy_and_workload_are_valid(resources):
    assert len(DOCUMENTS) >= 2
    done = tidegate("validate", str(resources))
    assert done.returncode == 0, done.stdout


def test_settings_are_accepted(tmp_path):
    assert SETTINGS
    for text in SETTINGS:
        (tmp_path / "config.yaml").write_text(text)
        done = tidegate("run", "--config", str(tmp_path / "config.yaml"), "--print-config")
        assert done.returncode == 0, done.stderr
        for name in yaml.safe_load(text):
            assert name in done.stdout


def test_the_question_is_answered_by_both_oracles(resources):
    [question] = re.findall(r"echo '(\{.*?\})'", COMMANDS)
    done = tidegate("eval", "--resources", str(resources), "--oracle", "both", stdin=question)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["verdict"] == "deny"  # nothing was resolved


def test_every_command_and_flag_exists():
    for line in re.findall(r"^\s*tidegate (.*)$", COMMANDS, re.MULTILINE):
        name, *words = line.split("#")[0].rstrip("\\ ").split()
        done = tidegate(name, "--help")
        assert done.returncode == 0, line
        for word in words:
            assert not word.startswith("--") or word in done.stdout, line


def test_every_recipe_exists():
    recipes = set(re.findall(r"^([a-z]+).*:", (ROOT / "Justfile").read_text(), re.MULTILINE))
    assert set(re.findall(r"\./justw ([a-z]+)", COMMANDS)) <= recipes


def test_every_link_leads_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
