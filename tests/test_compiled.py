"""No test runs on compiled modules that are older than their sources."""

import os

from tests.lab.compiled import stale


def touch(path, at: float) -> None:
    path.parent.mkdir(exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


def test_a_module_compiled_after_its_source_is_not_stale(tmp_path):
    touch(tmp_path / "nfq" / "raw.py", 100)
    touch(tmp_path / "nfq" / "raw.cpython-311-x86_64-linux-gnu.so", 101)
    assert stale(tmp_path) == []


def test_a_source_written_later_or_gone_is_stale(tmp_path):
    touch(tmp_path / "nfq" / "raw.py", 102)
    touch(tmp_path / "nfq" / "raw.cpython-311-x86_64-linux-gnu.so", 101)
    touch(tmp_path / "dnsagent" / "gone.cpython-311-x86_64-linux-gnu.so", 101)
    assert stale(tmp_path) == ["dnsagent/gone.py", "nfq/raw.py"]


def test_what_was_never_compiled_is_not_stale(tmp_path):
    touch(tmp_path / "nft" / "sync.py", 102)
    assert stale(tmp_path) == []
