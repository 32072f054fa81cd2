"""`run` before it runs: what it says about its configuration, and how it refuses to start."""

import json

import pytest


def test_print_config_shows_each_value_with_its_source(tmp_path, call, monkeypatch):
    path = tmp_path / "config.yaml"
    path.write_text("dnsExtraTTL: 5s\nlogPrefix: file")
    monkeypatch.setenv("TIDEGATE_LOGPREFIX", "env")
    words = ("run", "--print-config", "--config", path, "--node", "n1", "--set", "dnsTTLFloor=3s", "-o", "json")
    shown = {item["name"]: item for item in json.loads(call(*words).stdout)}
    assert shown["dnsExtraTTL"] == {"name": "dnsExtraTTL", "value": "5s", "source": str(path)}
    assert shown["logPrefix"] == {"name": "logPrefix", "value": "env", "source": "environment"}
    assert shown["dnsTTLFloor"]["source"] == shown["node"]["source"] == "flag"
    assert shown["interfacePrefix"] == {"name": "interfacePrefix", "value": ["cali"], "source": "default"}
    assert "dnsExtraTTL" in call("run", "--print-config", "--config", path).stdout


def test_an_unreadable_configuration_is_one_line(tmp_path, call):
    done = call("run", "--config", tmp_path / "none")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("cannot read ")


@pytest.mark.kernel
def test_without_resources_there_is_nothing_to_run(call):
    done = call("run")
    assert done.exit_code == 2
    assert "cannot run without a directory of resources" in done.stderr


@pytest.mark.kernel
def test_the_packet_process_says_in_one_line_why_it_does_not_start(tmp_path, call):
    path = tmp_path / "file"
    path.write_text("")
    done = call("packets", "--state", path)
    assert done.exit_code == 1
    assert done.stderr.startswith("cannot run the packet process: ")
