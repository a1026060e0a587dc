"""Places that a pack, a variable or a name tells: home folders are expanded; a stranger's pack looks nowhere else."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from bench.cache import cache_root
from bench.data.names import packs
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.utils.errors import BenchError
from tests.unit.data.test_pack_inputs import make, refused
from tests.unit.pictures import lay_out


def with_images(folder: Path, images: object) -> Path:
    pack = make(folder)
    manifest = yaml.safe_load((pack / MANIFEST).read_text())
    (pack / MANIFEST).write_text(yaml.safe_dump(manifest | {"classes": ["a", "b", "c"], "images": images}))
    return pack


@pytest.mark.parametrize("named", ["../photos", "photos", "..\\photos", "./photos"])
def test_images_in_the_folder_that_holds_the_pack_are_found(tmp_path: Path, named: str) -> None:
    pack = with_images(tmp_path / "packs" / "animals", named)
    place = pack / "photos" if named.strip("./\\") == named or named.startswith("./") else tmp_path / "packs" / "photos"
    lay_out(place, {"a/1.png": 1, "b/2.png": 2})
    pictures = resolve(pack).pictures
    assert pictures is not None
    assert set(pictures.read) == {"a/1.png", "b/2.png"}


@pytest.mark.parametrize("named", ["/etc", "../..", "..", "../../photos", "~", "/", "../animals/../../x", "."])
def test_a_pack_does_not_look_elsewhere(tmp_path: Path, named: str) -> None:
    lay_out(tmp_path / "photos", {"a/1.png": 1})
    refused(with_images(tmp_path / "packs" / "animals", named), "not in the folder that holds it")


def test_a_link_out_of_the_folder_is_followed_to_where_it_leads(tmp_path: Path) -> None:
    lay_out(tmp_path / "photos", {"a/1.png": 1})
    pack = with_images(tmp_path / "packs" / "animals", "../link")
    (tmp_path / "packs" / "link").symlink_to(tmp_path / "photos")
    refused(pack, "not in the folder that holds it")


@pytest.mark.parametrize("named", [5, ["a"], True, {"a": "b"}])
def test_images_are_named_by_text(tmp_path: Path, named: object) -> None:
    refused(with_images(tmp_path / "packs" / "animals", named), "images")


@pytest.mark.parametrize("named", ["a\0b", "a" * 300, "~nobody-of-this-name/x"])
def test_images_are_named_by_a_path(tmp_path: Path, named: str) -> None:
    with pytest.raises(BenchError) as caught:
        resolve(with_images(tmp_path / "packs" / "animals", named))
    assert "\n" not in str(caught.value)


def test_home_folders_are_expanded_wherever_a_place_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    pack = make(tmp_path / "mine" / "animals")
    assert resolve("~/mine/animals").name == "animals"
    monkeypatch.setenv("BENCH_PACKS", "~/mine")
    assert packs()["animals"].folder == pack
    monkeypatch.setenv("BENCH_CACHE", "~/cache")
    assert cache_root() == tmp_path / "cache"
    shutil.rmtree(pack)


@pytest.mark.parametrize("name", ["a\0b", "d" * 300, "~nobody-of-this-name/x"])
def test_names_that_no_path_can_have(name: str) -> None:
    with pytest.raises(BenchError) as caught:
        resolve(name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
