"""A pack that was moved: what lies in it, what it says, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from bench.cli import migrate as command
from bench.cli.main import main
from bench.core.dataset import Dataset
from bench.core.features import Features
from bench.core.memory import Memory
from bench.data.glyphs.dataset import Size, load
from bench.data.pack import write_manifest, write_split
from bench.data.registry import resolve
from bench.functional.linear_map import fit_map
from bench.migration.moved_pack import move_pack
from bench.runner.api import run
from bench.utils.errors import BenchError
from tests import toy
from tests.unit.migration.twice import new, old

SMALL = Size(seen=2, validation=1, unseen=1, support=2, query=1, held_out=1, images=1, sentences=1)


def with_support(dataset: Dataset, rows: list[int]) -> Dataset:
    return replace(dataset, splits={**dataset.splits, "train": dataset.splits["train"].take(rows)})


def test_pairs_lie_as_encoded_and_the_rest_as_the_map_has_it(tmp_path: Path) -> None:
    first = old()
    second = new(first)
    made = move_pack(first, second, tmp_path / "moved", pairs=30)
    assert (made.encoded, made.mapped) == (30, 10)
    moved = resolve(tmp_path / "moved")
    assert moved.card.space == "second@1"
    assert "moved from first: 30 of 40 items encoded again" in moved.card.description
    items = moved.role("support")
    assert sorted(items.ids) == sorted(first.role("support").ids)
    before, there = (
        {i: f.x[n] for n, i in enumerate(f.ids.tolist())} for f in (first.role("support"), second.role("support"))
    )
    label_of = dict(zip(first.role("support").ids.tolist(), first.role("support").labels.tolist(), strict=True))
    assert [label_of[name] for name in items.ids.tolist()] == items.labels.tolist()
    pairs = moved.splits["encoded"].ids.tolist()
    found = fit_map(torch.stack([before[name] for name in pairs]), torch.stack([there[name] for name in pairs]))
    torch.testing.assert_close(moved.splits["encoded"].x, torch.stack([there[name] for name in pairs]))
    rest = moved.splits["mapped"]
    torch.testing.assert_close(rest.x, found(torch.stack([before[name] for name in rest.ids.tolist()])))
    # The second space is the first, turned: the map finds where the others lie.
    torch.testing.assert_close(rest.x, torch.stack([there[name] for name in rest.ids.tolist()]), atol=1e-2, rtol=0)


def _written(folder: Path, dataset: Dataset) -> Path:
    """Write the labelled images and queries of a data set as a pack."""
    splits = {
        name: write_split(folder, name, part.x, part.labels, part.ids.tolist())
        for name, part in (("train", dataset.role("support")), ("test", dataset.role("query")))
    }
    told = {"name": folder.name, "revision": "1", "licence": "CC0-1.0", "classes": list(dataset.class_names)}
    told |= {"citation": "", "description": "", "encoder": {"name": dataset.card.encoder, "space": dataset.card.space}}
    told |= {"dimension": dataset.role("query").dimension, "splits": splits, "near": 0.99}
    write_manifest(folder, {"format": 1, "roles": {"support": ["train"], "query": ["test"]}, "class_split": {}, **told})
    return folder


def test_no_pack_is_written_over_but_one_that_was_moved(tmp_path: Path) -> None:
    first = _written(tmp_path / "first", old())
    second = _written(tmp_path / "second", new(old()))
    other = _written(tmp_path / "other", old())
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    (tmp_path / "link").symlink_to(first)
    for folder in (first, second, tmp_path / "link"):
        done = CliRunner().invoke(main, ["migrate", str(first), "--to", str(second), "--into", str(folder)])
        assert done.exit_code == 2
        assert (
            done.output
            == f"bench: {folder} is a pack that is read, and nothing is written into it; choose another --into\n"
        )
    with pytest.raises(BenchError, match="holds a pack that was not moved; choose another --into, or remove it"):
        move_pack(first, second, other)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*")} == before
    for pairs in (20, 30):
        assert move_pack(first, second, tmp_path / "moved", pairs=pairs).encoded == pairs
    assert len(resolve(tmp_path / "moved").splits["encoded"]) == 30


def test_a_moved_pack_answers_new_queries(tmp_path: Path) -> None:
    first = old()
    move_pack(first, new(first), tmp_path / "moved", pairs=30)
    there = run("supervised", methods=["protonet"], data=tmp_path / "moved", seeds=1, out=tmp_path / "there")
    here = run("supervised", methods=["protonet"], data=first, seeds=1, out=tmp_path / "here")
    accuracies = [
        frame["class_correct"].map(sum).sum() / frame["class_total"].map(sum).sum() for frame in (there, here)
    ]
    assert accuracies[0] == pytest.approx(accuracies[1], abs=0.02)
    assert accuracies[1] > 0.5


def test_a_pack_of_some_items_gives_all_the_pairs_it_has(tmp_path: Path) -> None:
    first = old()
    some = with_support(new(first), list(range(12)))
    made = move_pack(first, some, tmp_path / "moved")
    assert (made.encoded, made.mapped) == (12, 28)
    assert sorted(resolve(tmp_path / "moved").splits["encoded"].ids) == sorted(some.role("support").ids)
    with pytest.raises(BenchError, match=r"--pairs 13: a map is learnt on 2 items or more, and there are 12"):
        move_pack(first, some, tmp_path / "other", pairs=13)
    assert not (tmp_path / "other").exists()


def test_a_memory_of_images_stays_one(tmp_path: Path) -> None:
    web = toy.dataset(5, texts=True)
    first = replace(old(), memory=web.memory)
    made = move_pack(first, new(first), tmp_path / "both", pairs=20)
    assert len(made.warnings) == 1
    assert f"{len(web.memory.texts)} texts of the memory stay behind" in made.warnings[0]
    moved = resolve(tmp_path / "both")
    assert moved.memory.images.ids.tolist() == [f"web:{name}" for name in web.memory.images.ids.tolist()]
    assert set(moved.memory.images.sources.tolist()) == {"web"}
    alone = replace(first, roles={"query": ("test",)}, memory=Memory(web.memory.images, web.memory.texts.take([])))
    pictures = replace(new(first), roles={"query": ("test",), "support": ("web",)})
    images = Features(web.memory.images.x, web.memory.images.labels, web.memory.images.ids, first.class_names)
    turned = new(replace(first, splits={**first.splits, "web": images}))
    pictures = replace(pictures, splits=turned.splits)
    move_pack(alone, pictures, tmp_path / "web", pairs=10)
    moved = resolve(tmp_path / "web")
    assert not len(moved.role("support"))
    assert sorted(name.partition(":")[2] for name in moved.memory.images.ids) == sorted(web.memory.images.ids)


def test_an_encoder_encodes_pairs_queries_and_class_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = load(SMALL)
    other = replace(drawn, card=replace(drawn.card, encoder="another", space="another@1"))
    monkeypatch.setattr(command, "move_pack", lambda data, to, out, **rest: move_pack(other, to, out, **rest))
    asked = ["migrate", "any", "--to", "glyphs", "--into", str(tmp_path / "moved")]
    told = CliRunner().invoke(main, [*asked, "--pairs", "3"])
    assert told.exit_code == 0, told.output
    assert "3 items encoded again, 5 mapped" in told.output
    moved = resolve(tmp_path / "moved")
    place = {name: row for row, name in enumerate(drawn.role("support").ids.tolist())}
    encoded = moved.splits["encoded"]
    expected = drawn.role("support").x[[place[name] for name in encoded.ids.tolist()]]
    torch.testing.assert_close(encoded.x, expected.float(), atol=1e-5, rtol=0)
    torch.testing.assert_close(moved.role("query").x, drawn.role("query").x.float(), atol=1e-5, rtol=0)
    assert moved.prompts.labels.tolist() == list(range(len(drawn.class_names)))
    for odd in ([], ["--pairs", "3", "--pairs", "4"]):
        refused = CliRunner().invoke(main, [*asked, *odd])
        assert refused.exit_code == 2
        assert "give --pairs once" in refused.output


def test_the_same_draw_gives_the_same_pack(tmp_path: Path) -> None:
    first = old()
    for name in ("one", "two"):
        move_pack(first, new(first), tmp_path / name / "moved", pairs=9)
    assert resolve(tmp_path / "one" / "moved").fingerprint == resolve(tmp_path / "two" / "moved").fingerprint
    move_pack(first, new(first), tmp_path / "moved", pairs=9, seed=1)
    assert resolve(tmp_path / "moved").fingerprint != resolve(tmp_path / "one" / "moved").fingerprint


def test_what_cannot_be_moved_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    first = old()
    second = new(first)
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="is a file and no folder"):
        move_pack(first, second, tmp_path / "file", pairs=3)
    with pytest.raises(BenchError, match="in the space of that encoder already"):
        move_pack(first, replace(second, card=first.card), tmp_path / "moved", pairs=3)
    with pytest.raises(BenchError, match="no labelled images to move"):
        move_pack(replace(first, roles={"query": ("test",)}), second, tmp_path / "moved", pairs=3)
    fewer = replace(second, splits={**second.splits, "test": second.splits["test"].take(np.arange(49))})
    with pytest.raises(BenchError, match="not of the same images"):
        move_pack(first, fewer, tmp_path / "moved", pairs=3)
    assert not (tmp_path / "moved").exists()


@pytest.mark.parametrize("extra", [["--seeds", "2"], ["--methods", "knn"], ["--out", "a.csv"]])
def test_options_of_the_study_are_not_taken_for_a_move(extra: list[str], tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["migrate", "toy", "--to", "glyphs", "--into", str(tmp_path / "moved"), *extra])
    assert told.exit_code == 2
    assert f"{extra[0]} is for the study" in told.output
