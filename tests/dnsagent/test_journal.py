"""The journal survives everything that happens to files, and never invents an answer."""

import os

import pytest

from dnsagent import journal as journal_module
from dnsagent.journal import Entry, Journal, former, read_journal
from tests.dnsagent.stage import CLIENT6, POINTER, SERVER, A, Stage, answer, packed, packet, record, rule

NOW = 1_700_000_000.0
PAYLOAD = answer("a.test", record(POINTER, A, 60, "198.51.100.10"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "names.journal"


def write(path, count=5, start=0):
    journal = Journal(path)
    for number in range(start, start + count):
        journal.append(packet(PAYLOAD, port=number + 1), NOW + number)
    journal.close()


def ports(path, now=NOW + 1000):
    return [entry.packet.client_port - 1 for entry in read_journal(path, now)]


def test_answers_come_back_as_they_were(path):
    journal = Journal(path)
    four, six = packet(PAYLOAD), packet(b"x" * 500, client=CLIENT6, server="2001:db8::53", port=65_535)
    journal.append(four, NOW)
    journal.append(six, NOW + 1)
    journal.close()
    first, second = read_journal(path, NOW + 10)
    assert (first.at, second.at) == (NOW, NOW + 1)
    for entry, wanted in ((first, four), (second, six)):
        assert entry.client == wanted.client
        for field in ("client", "client_port", "server", "server_port", "payload"):
            assert getattr(entry.packet, field) == getattr(wanted, field)


def test_nothing_is_written_before_the_flush_and_all_of_it_then(path):
    journal = Journal(path)
    journal.append(packet(PAYLOAD, port=1), NOW)
    assert ports(path) == []
    journal.flush()
    assert ports(path) == [0]
    journal.close()


def test_much_at_once_is_flushed_by_itself(path, monkeypatch):
    monkeypatch.setattr(journal_module, "MAX_BUFFERED_BYTES", 300)
    journal = Journal(path)
    for number in range(20):
        journal.append(packet(PAYLOAD, port=number + 1), NOW)
    assert len(ports(path)) >= 15
    journal.close()


def test_a_missing_journal_is_an_empty_one(path):
    assert ports(path) == []


def test_a_second_life_appends(path):
    write(path, 2)
    write(path, 2, start=2)
    assert ports(path) == [0, 1, 2, 3]


def test_cut_off_at_any_byte_it_loses_the_last_record_only(path):
    write(path, 3)
    whole = path.read_bytes()
    size = len(whole) // 3
    for end in range(len(whole)):
        path.write_bytes(whole[:end])
        assert ports(path) == list(range(end // size))


def test_the_next_life_cuts_half_a_record_off(path):
    write(path, 3)
    whole = path.read_bytes()
    size = len(whole) // 3
    for end in (1, size - 1, size + 5, 2 * size + 17, len(whole) - 1):
        path.write_bytes(whole[:end])
        write(path, 1, start=9)
        assert ports(path) == [*range(end // size), 9]
        assert len(path.read_bytes()) == (end // size + 1) * size


def test_any_byte_may_be_damaged(path):
    write(path, 3)
    whole = path.read_bytes()
    for at in range(len(whole)):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        path.write_bytes(damaged)
        assert ports(path) == [number for number in range(3) if number != at // (len(whole) // 3)]


@pytest.mark.parametrize("junk", [b"", b"\0" * 1000, b"tgj1" * 100, b"tgj1\xff\xff", os.urandom(5000)])
def test_what_is_no_journal_is_an_empty_one(path, junk):
    path.write_bytes(junk)
    assert ports(path) == []
    write(path, 1)
    assert ports(path) == [0]


def test_an_answer_cannot_pretend_to_be_a_record(path):
    # A journal inside an answer is read as one only where the record around it is damaged; a cut one is taken away.
    write(path, 1)
    inner = path.read_bytes()
    path.unlink()
    journal = Journal(path)
    journal.append(packet(PAYLOAD + inner + b"x" * 50, port=8), NOW)
    journal.close()
    assert ports(path) == [7]
    path.write_bytes(path.read_bytes()[:-10])
    Journal(path).close()
    write(path, 1, start=3)
    assert 3 in ports(path)


def test_answers_from_the_future_are_left_out(path):
    write(path, 5)
    assert ports(path, now=NOW + 2) == [0, 1, 2, 3]
    assert ports(path, now=NOW - 100) == []


def test_a_full_file_becomes_the_former_one(path, monkeypatch):
    monkeypatch.setattr(journal_module, "FILE_BYTES", 1000)
    journal = Journal(path)
    for number in range(100):
        journal.append(packet(PAYLOAD, port=number + 1), NOW + number)
        journal.flush()
    journal.close()
    assert path.stat().st_size <= 1000
    assert former(path).stat().st_size <= 1000
    kept = ports(path)
    assert kept == list(range(100 - len(kept), 100))
    assert len(kept) >= 1000 // (len(PAYLOAD) + 40)
    assert {each.name for each in path.parent.iterdir()} == {path.name, former(path).name}


def test_a_disk_that_fails_stops_nothing(path, monkeypatch):
    journal = Journal(path)

    class Full:
        def write(self, _data):
            raise OSError(28, "No space left on device")

        def close(self): ...

    sound, journal._file = journal._file, Full()
    journal.append(packet(PAYLOAD), NOW)
    journal.flush()
    assert journal.failures == 1
    journal._file = sound
    journal.append(packet(PAYLOAD, port=3), NOW)
    journal.close()
    assert ports(path) == [2]


def test_half_a_write_is_taken_back(path):
    journal = Journal(path)
    sound = journal._file

    class Small:
        def write(self, data):
            return sound.write(data[: len(data) // 2])

        def __getattr__(self, name):
            return getattr(sound, name)

    journal._file = Small()
    journal.append(packet(PAYLOAD, port=1), NOW)
    journal.flush()
    assert (journal.failures, path.stat().st_size) == (1, 0)
    journal._file = sound
    journal.append(packet(PAYLOAD, port=2), NOW)
    journal.close()
    assert ports(path) == [1]


def test_a_directory_that_went_away_stops_nothing(path, monkeypatch):
    monkeypatch.setattr(journal_module, "FILE_BYTES", 100)
    directory = path.parent / "state"
    directory.mkdir()
    journal = Journal(directory / "j")
    (directory / "j").unlink()
    directory.rmdir()
    for _ in range(3):
        journal.append(packet(PAYLOAD), NOW)
        journal.flush()
    assert journal.failures == 2  # the first went into the file that has no name any more
    journal.close()


def test_an_answer_of_64_kib_is_counted_not_written(path):
    journal = Journal(path)
    journal.append(packet(b"x" * 65_530), NOW)
    journal.append(packet(PAYLOAD, port=1), NOW)
    journal.close()
    assert (journal.too_long, ports(path)) == (1, [0])


def test_it_says_when_an_address_changes_hands(path):
    journal = Journal(path)
    journal.append(packet(PAYLOAD, port=1), NOW)
    journal.forget([packed("10.0.1.2"), packed(CLIENT6)], NOW + 1)
    journal.append(packet(PAYLOAD, port=2), NOW + 2)
    journal.close()
    entries = list(read_journal(path, NOW + 10))
    assert [entry.packet and entry.packet.client_port for entry in entries] == [1, None, None, 2]
    assert entries[1] == Entry(NOW + 1, packed("10.0.1.2"), None)


def test_a_restart_knows_the_names(path):
    journal = Journal(path)
    first = Stage(rule("r", "a.test"))
    first.ask("a.test")
    assert first.judge(PAYLOAD)
    journal.append(packet(PAYLOAD), NOW)
    journal.close()
    second = Stage(rule("r", "a.test"))
    for entry in read_journal(path, NOW + 20):
        second.learner.remember(entry.packet, second.now - (NOW + 20 - entry.at))
    ((_, name, address, known),) = second.learner.names.entries()
    assert (name, address, known.server) == (b"\1a\4test", packed("198.51.100.10"), packed(SERVER))
    assert [element.deadline for element in second.adopt(rule("r", "a.test"))] == [second.now + 40]
