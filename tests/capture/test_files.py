"""Capture files: what another tool reads is what was written, and they never take more room than they may."""

import io
import stat

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Dot1Q, Ether
from scapy.utils import PcapReader, RawPcapReader

from reconcile.instant import Instant
from tidegate.capture import pcap
from tidegate.capture.pcap import CapturedPacket
from tidegate.capture.rolling import Limits, RollingFiles

FRAME = bytes(Ether(src="02:00:00:00:00:01", dst="02:00:00:00:00:02") / IP(dst="192.0.2.1") / UDP(dport=9) / b"payload")


def packet(data=FRAME, seconds=1_700_000_000, nanoseconds=123_456_789):
    return CapturedPacket(seconds, nanoseconds, len(data), data)


def limits(max_bytes=1000, max_seconds=0.0, max_files=3):
    return Limits(max_bytes=max_bytes, max_seconds=max_seconds, max_files=max_files)


def payloads(path):
    with RawPcapReader(str(path)) as reader:
        return [data for data, _ in reader]


def test_another_tool_reads_the_packet_its_time_and_its_length():
    cut = CapturedPacket(5, 7, 9000, FRAME[:20])
    file = io.BytesIO(pcap.file_header(pcap.ETHERNET, 262144) + pcap.record(packet()) + pcap.record(cut))
    reader = PcapReader(file)
    first = reader.read_packet()
    assert bytes(first) == FRAME
    assert first[UDP].dport == 9
    assert str(first.time) == "1700000000.123456789"
    second = reader.read_packet()
    assert (bytes(second), second.wirelen, str(second.time)) == (FRAME[:20], 9000, "5.000000007")


def test_a_tag_that_the_kernel_took_out_is_put_back():
    tagged = pcap.with_vlan_tag(packet(), 0x8100, 42)
    read = Ether(tagged.data)
    assert (read[Dot1Q].vlan, read[UDP].dport, tagged.length_bytes) == (42, 9, len(FRAME) + 4)


@given(
    sizes=st.lists(st.integers(1, 700), max_size=60),
    max_bytes=st.integers(60, 900),
    max_files=st.integers(1, 4),
    restarts=st.sets(st.integers(0, 60)),
)
@settings(max_examples=60, deadline=None)
def test_the_latest_packets_are_there_within_the_bounds(tmp_path_factory, sizes, max_bytes, max_files, restarts):
    directory = tmp_path_factory.mktemp("rolling")
    bounds = limits(max_bytes, 0.0, max_files)
    files = RollingFiles(directory, "pod_cali1", bounds, pcap.ETHERNET)
    written = []
    for number, size in enumerate(sizes):
        if number in restarts:
            files.close()
            files = RollingFiles(directory, "pod_cali1", bounds, pcap.ETHERNET)
        data = number.to_bytes(2, "big") + bytes(size)
        files.write(packet(data), Instant(0))
        written.append(data)
        paths = files.paths()
        assert len(paths) <= max_files
    files.close()
    found = [data for path in files.paths() for data in payloads(path)]
    assert found == written[len(written) - len(found) :]
    assert not written or found
    for path in files.paths():
        assert path.stat().st_size <= max_bytes or len(payloads(path)) == 1


def test_a_file_ends_when_its_time_is_over(tmp_path):
    files = RollingFiles(tmp_path, "pod_cali1", limits(10_000, 60.0), pcap.ETHERNET)
    for at in (0, 59, 60, 61):
        files.write(packet(), Instant(at))
    files.close()
    assert [len(payloads(path)) for path in files.paths()] == [2, 2]


def test_what_was_flushed_can_be_read_while_more_is_written(tmp_path):
    with RollingFiles(tmp_path, "pod_cali1", limits(), pcap.ETHERNET) as files:
        files.write(packet(), Instant(0))
        files.flush()
        assert [payloads(path) for path in files.paths()] == [[FRAME]]


def test_files_are_nobody_elses_business(tmp_path):
    with RollingFiles(tmp_path / "ns" / "c", "pod_cali1", limits(), pcap.ETHERNET) as files:
        files.write(packet(), Instant(0))
    assert stat.S_IMODE((tmp_path / "ns" / "c").stat().st_mode) == 0o700
    assert [stat.S_IMODE(path.stat().st_mode) for path in files.paths()] == [0o600]


@pytest.mark.parametrize("stem", ["pod_cali1", "pod-1_cali1", "pod.000001_cali1", "p[x]_c*"])
def test_files_of_other_interfaces_are_left_alone(tmp_path, stem):
    others = [tmp_path / name for name in ("pod_cali10.000001.pcap", "xpod_cali1.000001.pcap", "pod_cali1.pcap")]
    for path in others:
        path.touch()
    with RollingFiles(tmp_path, stem, limits(100, max_files=1), pcap.ETHERNET) as files:
        for _ in range(5):
            files.write(packet(), Instant(0))
    assert all(path.exists() for path in others)
    assert len(files.paths()) == 1
