"""The history of a pack: edits are logged, versions are by content, and every one can be had back."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.pack import write_manifest
from bench.data.registry import resolve
from bench.data.versions import edits
from bench.data.versions.facts import facts_of
from bench.data.versions.history import SHORT, History
from bench.data.versions.log import moment, read_log
from bench.utils.errors import BenchError
from tests.unit.data import packs_of_two


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    packs_of_two.write(tmp_path / "small")
    return tmp_path / "small"


def edited(pack: Path) -> list[str]:
    """Remove, relabel and add; return the versions, the first one included."""
    made = [resolve(pack).fingerprint[:SHORT]]
    made.append(edits.remove(History(pack), items=["photo 3", "texts:sentences/2"], reason="withdrawn").version)
    made.append(edits.relabel(History(pack), {"photo 7": "class 3"}).version)
    x = torch.nn.functional.normalize(torch.arange(32.0).reshape(2, 16) + 1, dim=1)
    new = edits.add(History(pack), x, ["class 0", "class 1"], ["new/1", "new/2"], source="flickr", licence="CC-BY")
    return [*made, new.version]


def test_a_version_is_the_content_of_the_pack(pack: Path) -> None:
    made = edited(pack)
    assert len(set(made)) == 4
    for name in made:
        History(pack).checkout(name)
        assert resolve(pack).fingerprint.startswith(name)
        resolve(pack).check()


def test_an_edit_changes_what_it_says_and_nothing_else(pack: Path) -> None:
    before = resolve(pack)
    edited(pack)
    after = resolve(pack)
    old, new = (
        dict(zip(d.splits["train"].ids.tolist(), d.splits["train"].labels.tolist(), strict=True))
        for d in (before, after)
    )
    expected = {item: label for item, label in old.items() if item != "photo 3"} | {
        "photo 7": 3,
        "new/1": 0,
        "new/2": 1,
    }
    assert new == expected
    assert set(before.memory.texts.ids) - set(after.memory.texts.ids) == {"sentences/2"}
    assert after.splits["test"].fingerprint == before.splits["test"].fingerprint
    kept = [item for item in old if item in new]
    row = {item: n for n, item in enumerate(after.splits["train"].ids.tolist())}
    at = {item: n for n, item in enumerate(before.splits["train"].ids.tolist())}
    assert torch.equal(after.splits["train"].x[[row[i] for i in kept]], before.splits["train"].x[[at[i] for i in kept]])


def test_undoing_all_edits_in_any_order_gives_the_first_version_back(pack: Path) -> None:
    made = edited(pack)
    for name in (made[1], made[3], made[2]):
        last = edits.revert(History(pack), name)
    assert last.version == made[0]
    assert [entry.action for entry in read_log(pack)] == ["begin", "remove", "relabel", "add", *["revert"] * 3]


def test_an_edit_that_was_edited_again_is_not_undone(pack: Path) -> None:
    made = edited(pack)
    edits.relabel(History(pack), {"photo 7": "class 2"})
    with pytest.raises(BenchError, match="'photo 7' was edited again"):
        edits.revert(History(pack), made[2])


def test_the_difference_of_two_versions_names_each_item(pack: Path) -> None:
    made = edited(pack)
    history = History(pack)
    found = history.diff(history.version(made[0]), history.version(made[3]))
    assert {(one.change, one.id, one.before, one.after) for one in found} == {
        ("removed", "photo 3", "class 0", None),
        ("removed", "sentences/2", "class 0", None),
        ("relabelled", "photo 7", "class 1", "class 3"),
        ("added", "new/1", None, "class 0"),
        ("added", "new/2", None, "class 1"),
    }


def test_what_was_added_keeps_its_source_and_licence(pack: Path) -> None:
    edited(pack)
    facts = facts_of(pack)
    assert (facts.of("new/1").source, facts.of("train:new/1").licence) == ("flickr", "CC-BY")
    assert facts.of("photo 1").licence == "CC0"
    assert edits.remove(History(pack), sources=["flickr"]).items == 2
    assert edits.remove(History(pack), sources=["train"], classes=["class 2"]).items == 19 + 3


def test_a_change_by_hand_is_an_entry_of_its_own(pack: Path) -> None:
    edited(pack)
    manifest = History(pack).manifest
    write_manifest(pack, {**manifest, "roles": {**manifest["roles"], "validation": ["train"]}})
    edits.remove(History(pack), items=["photo 4"])
    assert [entry.action for entry in read_log(pack)][-2:] == ["outside", "remove"]


def test_a_stop_between_log_and_pack_leaves_the_pack_and_one_entry(pack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resolve(pack).fingerprint
    monkeypatch.setattr(
        "bench.data.versions.history.write_manifest", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        edits.remove(History(pack), items=["photo 3"])
    monkeypatch.undo()
    assert resolve(pack).fingerprint == before
    edits.remove(History(pack), items=["photo 3"])
    assert [entry.action for entry in read_log(pack)] == ["begin", "remove"]


def test_a_file_of_another_pack_spoils_no_history(pack: Path) -> None:
    file = pack / "train.safetensors"
    kept = file.read_bytes()
    # As copying does: another file takes the place of the pack's.
    other = pack / "other"
    other.write_bytes(kept[:-4] + b"abcd")
    other.replace(file)
    done = CliRunner().invoke(main, ["memory", "remove", str(pack), "photo 3"])
    assert done.exit_code == 2
    assert done.output == (
        f"bench: {file} is not the file its manifest describes (sha256 differs); import the pack again\n"
    )
    assert not list(pack.rglob("history/chunks/*"))
    file.write_bytes(kept)
    assert edits.remove(History(pack), items=["photo 3"]).version
    assert "photo 3" not in resolve(pack).splits["train"].ids


def test_as_of_a_time_is_the_version_of_then(pack: Path) -> None:
    made = edited(pack)
    history = History(pack)
    assert history.as_of((datetime.now(UTC) + timedelta(days=1)).date().isoformat()) == made[-1]
    with pytest.raises(BenchError, match="what was before is not known"):
        history.as_of("2001-01-01")
    with pytest.raises(BenchError, match="is no time"):
        history.as_of("yesterday")
    assert moment("2026-01-31") > moment("2026-01-31T23:59:59")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda log: {**log, "entries": log["entries"][1:]}, "was cut: what came before its entry 1 is not there"),
        (lambda log: {**log, "entries": log["entries"][:1] + log["entries"][2:]}, "before its entry 2 is not there"),
        (lambda log: {**log, "entries": [log["entries"][0] | {"reason": "x"}]}, "entry 1 was changed"),
        (lambda log: {**log, "format": 9}, "newer than 1"),
        (lambda log: {"entries": 3}, "is damaged"),
    ],
)
def test_a_history_that_was_cut_or_changed_is_one_line(pack: Path, spoil: object, words: str) -> None:
    edited(pack)
    path = pack / "history" / "log.json"
    path.write_text(json.dumps(spoil(json.loads(path.read_text()))))  # type: ignore[operator]
    with pytest.raises(BenchError, match=words):
        History(pack)


def test_missing_and_changed_files_of_a_history_are_one_line(pack: Path) -> None:
    made = edited(pack)
    (pack / "history" / "versions" / f"{made[1]}.safetensors").unlink()
    with pytest.raises(BenchError, match=rf"was cut: version {made[1]} is in its log and not in its folder"):
        History(pack).checkout(made[1])
    for chunk in (pack / "history" / "chunks").iterdir():
        content = bytearray(chunk.read_bytes())
        content[-1] ^= 1
        chunk.unlink()
        chunk.write_bytes(content)
    with pytest.raises(BenchError, match=r"sha256 differs.*copy the whole history folder again"):
        History(pack).checkout(made[2])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["remove", "photo 99"], "has no item 'photo 99'"),
        (["remove", "test/1"], "is a query, and queries are not edited"),
        (["remove"], "nothing to remove"),
        (["remove", "--source", "bing"], "no items from source 'bing'"),
        (["relabel", "photo 1=class 9"], "has no class 'class 9'; did you mean"),
        (["relabel", "photo 1=class 0"], "nothing would change"),
        (["relabel", "photo 1"], "is not ITEM=CLASS"),
        (["revert", "ffff"], "has no version 'ffff'"),
        (["checkout", "ffff"], "has no version 'ffff'"),
        (["diff", ""], "has no version ''"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_changes_nothing(pack: Path, arguments: list[str], words: str) -> None:
    before = resolve(pack).fingerprint
    done = CliRunner().invoke(main, ["memory", arguments[0], str(pack), *arguments[1:]])
    assert (done.exit_code, done.output.count("\n")) == (2, 1)
    assert words in done.output
    assert resolve(pack).fingerprint == before


def test_the_commands_log_compare_and_write_a_version(pack: Path, tmp_path: Path) -> None:
    def ask(*arguments: str) -> str:
        done = CliRunner().invoke(main, ["memory", *arguments])
        assert done.exit_code == 0, done.output
        return done.output

    assert "nothing was changed" in ask("log", str(pack))
    first = resolve(pack).fingerprint[:SHORT]
    # Five photos and three texts of the class, and one more.
    assert "removed 9 items" in ask("remove", str(pack), "--class", "class 2", "photo 1", "--reason", "of bad licence")
    assert "of bad licence" in ask("log", str(pack))
    assert ask("diff", str(pack), first).startswith(f"{first} to ")
    ask("checkout", str(pack), first, "--out", str(tmp_path / "old"))
    assert resolve(tmp_path / "old").fingerprint.startswith(first)
    assert not (tmp_path / "old" / "history").exists()
