"""Public files are found in order, verified, and refused in one clear line."""

import hashlib

import pytest

from closura.data import fetch as module
from closura.data.fetch import PUBLIC_FILES, PublicFile, fetch


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A public file of eleven bytes, no checkout, no network, an empty cache."""
    checksum = hashlib.sha256(b"eleven byte").hexdigest()
    file = PublicFile(("lab/data", "c" * 40), "deep/small.nc", checksum, "CC0")
    monkeypatch.setitem(PUBLIC_FILES, "small.nc", file)
    monkeypatch.setenv("CLOSURA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CLOSURA_DATA", raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def offline(*_, **__):
        raise ConnectionError("no network")

    monkeypatch.setattr(module.pooch, "retrieve", offline)
    return tmp_path


def put(folder, content=b"eleven byte"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "small.nc").write_bytes(content)
    return folder / "small.nc"


def test_the_named_folder_comes_before_the_shared_one_and_the_cache(small, monkeypatch):
    cached = put(small / "cache" / "data")
    assert fetch("small.nc") == cached
    shared = put(small / "shared" / "data")
    assert fetch("small.nc") == shared
    named = put(small / "mine")
    monkeypatch.setenv("CLOSURA_DATA", str(small / "mine"))
    assert fetch("small.nc") == named


def test_an_absent_file_offline_says_where_to_put_it(small):
    with pytest.raises(FileNotFoundError) as error:
        fetch("small.nc")
    line = str(error.value)
    assert line.startswith("small.nc is not on this computer and could not be downloaded")
    assert "CLOSURA_DATA" in line
    assert str(small / "cache" / "data") in line
    assert f"https://raw.githubusercontent.com/lab/data/{'c' * 40}/deep/small.nc" in line
    assert "\n" not in line


def test_a_file_with_other_content_is_refused(small, monkeypatch):
    put(small / "mine", b"another one")
    monkeypatch.setenv("CLOSURA_DATA", str(small / "mine"))
    with pytest.raises(
        ValueError, match=r"small\.nc has SHA-256 .* the pinned version has .*; del"
    ):
        fetch("small.nc")


def test_a_download_asks_for_the_pinned_version(small, monkeypatch):
    asked = {}

    def retrieve(address, *, known_hash, fname, path):
        asked.update(address=address, known_hash=known_hash)
        return str(put(path))

    monkeypatch.setattr(module.pooch, "retrieve", retrieve)
    assert fetch("small.nc") == small / "cache" / "data" / "small.nc"
    assert asked["known_hash"] == "sha256:" + PUBLIC_FILES["small.nc"].checksum
    assert "c" * 40 in asked["address"]


def test_an_unknown_name_offers_the_nearest():
    with pytest.raises(ValueError, match=r"did you mean 'scam_gate3_h1\.nc'\?"):
        fetch("scam_gate_h1.nc")


@pytest.mark.parametrize("name", PUBLIC_FILES)
def test_every_public_file_is_pinned(name):
    file = PUBLIC_FILES[name]
    assert len(file.checksum) == 64
    assert len(file.origin[1]) == 40
    assert file.terms


@pytest.mark.parametrize("name", PUBLIC_FILES)
def test_a_file_that_is_here_is_the_pinned_version(name, data_file):
    assert data_file(name).name == name
