"""`logOverflow: pass` on the real kernel: while nobody records, all goes on, and what did is counted."""

import pytest

from tests.packetlog.site import flood, kill_reader, logging_site, of_port
from tests.packetlog.test_waiting import arrived, sink

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(240)]


def test_with_the_packet_process_killed_all_passes_and_what_is_not_recorded_is_counted(tmp_path):
    with logging_site(tmp_path, logTransport="nfqueue", logOverflow="pass") as site:
        site.until(lambda: site.status()["counters"].get("log_packets_unseen") == 0, 20)
        flood(site, range(20_000, 20_100))
        site.until(lambda: len(of_port(site, 9999)) == 300, 20)
        ports = range(30_000, 30_300)
        with sink(site) as receiver:
            pid = kill_reader(site)
            flood(site, ports)
            found: set[int] = set()
            site.until(lambda: found.update(arrived(receiver)) or found >= set(ports), 20)
            site.until(lambda: (site.status()["packets"]["pid"] or pid) != pid, 30)
            site.until(lambda: site.status()["ready"], 30)
            flood(site, range(40_000, 40_100))
            site.until(lambda: len([item for item in of_port(site, 9999) if item["source_port"] >= 40_000]) == 300, 20)
        recorded = {item["source_port"] for item in of_port(site, 9999)} & set(ports)
        unrecorded = len(ports) - len(recorded)
        site.until(lambda: site.status()["counters"]["log_packets_unseen"] >= unrecorded, 20)
        # Of the hundred before, those are among them of which the killed process had not told yet.
        assert site.status()["counters"]["log_packets_unseen"] <= len(ports) + 100
