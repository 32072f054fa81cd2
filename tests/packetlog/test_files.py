"""The file of records: rotated by size, bounded in number, nobody else's."""

from contextlib import closing

import pytest

from tidegate.packetlog.files import RotatedFile


def content(path):
    return {item.name: item.read_bytes() for item in path.iterdir()}


def test_a_full_file_makes_room_and_the_oldest_goes(tmp_path):
    file = RotatedFile(tmp_path / "log", 10, 3)
    file.write(f"line {number}\n".encode() for number in range(5))
    file.close()
    assert content(tmp_path) == {"log": b"line 4\n", "log.1": b"line 3\n", "log.2": b"line 2\n"}


def test_what_stands_there_is_gone_on_with(tmp_path):
    for number in range(2):
        file = RotatedFile(tmp_path / "log", 100, 3)
        file.write([b"%d\n" % number])
        file.close()
    assert content(tmp_path) == {"log": b"0\n1\n"}


def test_a_full_file_that_stands_there_is_rotated_first(tmp_path):
    (tmp_path / "log").write_bytes(b"x" * 10)
    with closing(RotatedFile(tmp_path / "log", 10, 2)) as file:
        file.write([b"new\n"])
    assert content(tmp_path) == {"log": b"new\n", "log.1": b"x" * 10}


def test_a_single_file_begins_anew(tmp_path):
    with closing(RotatedFile(tmp_path / "log", 6, 1)) as file:
        file.write([b"first\n", b"next\n"])
    assert content(tmp_path) == {"log": b"next\n"}


def test_nobody_else_reads_it(tmp_path):
    with closing(RotatedFile(tmp_path / "new" / "log", 100, 2)) as file:
        file.write([b"x\n"])
    assert (tmp_path / "new" / "log").stat().st_mode & 0o777 == 0o600


def test_a_place_that_cannot_be_written_is_an_error_and_later_lines_are_tried_again(tmp_path):
    (tmp_path / "dir").write_text("in the way")
    file = RotatedFile(tmp_path / "dir" / "log", 100, 2)
    with pytest.raises(OSError, match="dir"):
        file.write([b"lost\n"])
    (tmp_path / "dir").unlink()
    with closing(file):
        file.write([b"x\n"])
    assert content(tmp_path / "dir") == {"log": b"x\n"}
