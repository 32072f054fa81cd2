"""`tidegate import`: what it prints, where, and how it exits."""

import json
import subprocess
import sys

import yaml

POLICY = """apiVersion: v1
kind: List
items:
- apiVersion: cilium.io/v2
  kind: CiliumNetworkPolicy
  metadata: {name: a, namespace: ns}
  spec:
    endpointSelector: {}
    egress:
    - toEntities: [world]
"""


def run(*words):
    command = [sys.executable, "-m", "tidegate", "import", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def written(tmp_path, text=POLICY, name="a.yaml"):
    path = tmp_path / name
    path.write_text(text)
    return path


def test_policies_go_to_standard_output(tmp_path):
    done = run(written(tmp_path), "--cluster-network", "10.0.0.0/8")
    assert (done.returncode, done.stderr) == (0, "")
    assert [document["kind"] for document in yaml.safe_load_all(done.stdout)] == ["NetworkPolicy"]


def test_what_is_lost_is_told_with_its_line_and_is_a_failure(tmp_path):
    path = written(tmp_path)
    done = run(path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{path}:10: spec.egress[0].toEntities[0]: narrower: ")


def test_programs_get_one_document(tmp_path):
    path = written(tmp_path)
    document = json.loads(run(path, "-o", "json").stdout)
    assert [made["kind"] for made in document["documents"]] == ["NetworkPolicy"]
    (remark,) = document["remarks"]
    assert (remark["file"], remark["line"], remark["effect"]) == (str(path), 10, "narrower")


def test_other_documents_are_told_and_bad_files_end_it(tmp_path):
    done = run(written(tmp_path, "apiVersion: v1\nkind: Pod\n"))
    assert (done.returncode, done.stdout) == (0, "")
    assert "is no policy of Cilium's" in done.stderr
    assert run(written(tmp_path, "{", "bad.yaml")).returncode == 1
    assert run(written(tmp_path), "--cluster-network", "x").returncode == 2
