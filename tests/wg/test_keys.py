"""Keys: they are Curve25519's, they do not show themselves, and the file that holds them is whole and private."""

import copy
import os
import pickle
import stat
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wg.errors import KeyDecodeError
from wg.key_file import KeyFile
from wg.keys import PrivateKey, PublicKey

BOB = bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
BOB_PUBLIC = bytes.fromhex("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f")


def test_the_public_key_is_that_of_rfc_7748():
    assert PrivateKey(BOB).public == PublicKey(BOB_PUBLIC)


def test_new_keys_differ_and_are_clamped():
    keys = [PrivateKey.generate() for _ in range(20)]
    assert len({key.public for key in keys}) == 20
    for key in keys:
        raw = key.reveal()
        assert raw[0] & 7 == 0
        assert raw[31] & 0xC0 == 0x40


@given(st.binary(min_size=32, max_size=32).filter(any))
def test_a_key_survives_its_text(raw):
    key = PrivateKey(raw)
    assert PrivateKey.from_text(key.reveal_text()) == key
    assert PublicKey.from_text(str(key.public)) == key.public


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: raw.decode("latin-1")))
def test_what_is_no_key_is_refused_without_quoting_it(text):
    for read in (PrivateKey.from_text, PublicKey.from_text):
        with pytest.raises(KeyDecodeError) as refused:
            read(text)
        if len(text) > 12:
            assert text not in str(refused.value)


@pytest.mark.parametrize("kind", [PrivateKey, PublicKey])
@pytest.mark.parametrize("raw", [b"", bytes(31), bytes(32), bytes(33), b"\1" * 33])
def test_a_key_has_32_bytes_and_is_not_zero(kind, raw):
    with pytest.raises(KeyDecodeError):
        kind(raw)


def test_a_private_key_does_not_show_itself():
    key = PrivateKey(BOB)
    shown = (repr(key), str(key), f"{key}", repr([key]), repr({"key": key}))
    for secret in (key.reveal_text(), BOB.hex(), repr(BOB)):
        assert not any(secret in text for text in shown)
    with pytest.raises(TypeError, match="cannot pickle"):
        pickle.dumps(key)
    with pytest.raises(TypeError, match="cannot pickle"):
        copy.deepcopy(key)
    with pytest.raises(TypeError):
        hash(key)


def test_a_wiped_key_gives_nothing_away():
    key = PrivateKey(BOB)
    key.wipe()
    key.wipe()
    with pytest.raises(ValueError, match="wiped"):
        key.reveal()
    assert key.public == PublicKey(BOB_PUBLIC)
    assert key != PrivateKey(BOB)


def test_the_file_is_made_once_and_private(tmp_path):
    file = KeyFile(tmp_path / "wireguard.key")
    assert file.load() is None
    mask = os.umask(0)
    try:
        made = file.load_or_make()
    finally:
        os.umask(mask)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert file.load_or_make() == made
    assert [path.name for path in tmp_path.iterdir()] == ["wireguard.key"]


def test_another_key_takes_the_place_of_the_first(tmp_path):
    file = KeyFile(tmp_path / "wireguard.key")
    file.load_or_make()
    file.store(PrivateKey(BOB))
    assert file.load() == PrivateKey(BOB)
    file.remove()
    file.remove()
    assert file.load() is None


def test_a_key_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    file = KeyFile(tmp_path / "wireguard.key")
    file.store(PrivateKey(BOB))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        file.store(PrivateKey.generate())
    assert file.load() == PrivateKey(BOB)
    assert [path.name for path in tmp_path.iterdir()] == ["wireguard.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused_and_stays(tmp_path, mode):
    file = KeyFile(tmp_path / "wireguard.key")
    file.store(PrivateKey(BOB))
    file.path.chmod(mode)
    with pytest.raises(KeyDecodeError, match="others may read it"):
        file.load_or_make()
    file.path.chmod(0o600)
    assert file.load() == PrivateKey(BOB)


@pytest.mark.parametrize("content", [b"", b"secret-but-no-key", b"\xff\xfe", b"QUJD\n"])
def test_a_file_that_is_no_key_is_refused_without_quoting_it(tmp_path, content):
    file = KeyFile(tmp_path / "wireguard.key")
    file.path.write_bytes(content)
    file.path.chmod(0o600)
    with pytest.raises(KeyDecodeError, match="it is no private key") as refused:
        file.load_or_make()
    shown = "".join(traceback.format_exception(refused.value))
    assert not content or content.decode("latin-1").strip() not in shown
    assert file.path.read_bytes() == content


def test_a_link_is_not_followed(tmp_path):
    KeyFile(tmp_path / "other").store(PrivateKey(BOB))
    (tmp_path / "wireguard.key").symlink_to(tmp_path / "other")
    with pytest.raises(OSError, match="symbolic links"):
        KeyFile(tmp_path / "wireguard.key").load_or_make()
