"""Receipts of removals: another process verifies them, and nothing that was changed passes."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bench import Classifier
from bench.classifier.receipt import read_receipt, receipt_of, verify
from bench.cli.main import main
from bench.utils.errors import BenchError
from bench.utils.hashing import digest
from tests.unit.classifier.clouds import clouds


def bench(*words: object) -> Result:
    return CliRunner().invoke(main, [str(word) for word in words], prog_name="bench")


@pytest.fixture(params=["protonet", "knn:k=3", "slda"])
def made(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the folder of a classifier that forgot two items, with a copy from before and the receipt beside it."""
    monkeypatch.setenv("BENCH_CACHE", str(tmp_path / "cache"))
    x, y = clouds(6)
    Classifier(request.param).fit(x, y, ids=[f"i{n}" for n in range(len(y))]).save(tmp_path / "kept")
    shutil.copytree(tmp_path / "kept", tmp_path / "before")
    done = bench("edit", tmp_path / "kept", "forget", "i3", "i9", "--receipt", tmp_path / "receipt.json")
    assert done.exit_code == 0, done.output
    return tmp_path / "kept"


def test_another_process_verifies_it(made: Path) -> None:
    words = ["receipt", made.parent / "receipt.json", made, "--before", made.parent / "before"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 7
    assert done.stdout.splitlines()[-1] == "ok: from before to after, exactly the named items are gone"
    assert "i3" not in (made.parent / "receipt.json").read_text()


def test_one_byte_of_it_changed_is_noticed(made: Path) -> None:
    path = made.parent / "receipt.json"
    whole = path.read_bytes()
    model = Classifier.load(made).model_
    for place in range(0, len(whole), max(1, len(whole) // 60)):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(BenchError):
            verify(read_receipt(path), model)
    path.write_bytes(whole)
    verify(read_receipt(path), model)


def test_one_byte_of_the_classifier_changed_is_noticed(made: Path) -> None:
    for file in sorted(made.rglob("*.safetensors")):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
        done = bench("receipt", made.parent / "receipt.json", made)
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        content[-1] ^= 1
        file.write_bytes(content)
    assert bench("receipt", made.parent / "receipt.json", made).exit_code == 0


def test_a_state_that_was_not_cleaned_does_not_pass(made: Path) -> None:
    """Of the receipt of a cheat, who says that the old state is the cleaned one and whose hashes are all right."""
    after, before = Classifier.load(made).model_, Classifier.load(made.parent / "before").model_
    cheat = type(after)(**{**vars(after), "state": before.state})
    receipt = receipt_of(before, cheat)
    with pytest.raises(BenchError, match=r"never saw the items scores otherwise|is named in the state"):
        verify(receipt, cheat)


def test_an_item_that_is_still_named_does_not_pass(made: Path) -> None:
    after = Classifier.load(made).model_
    receipt = {k: v for k, v in read_receipt(made.parent / "receipt.json").items() if k != "receipt"}
    receipt["removed"] = [*receipt["removed"], digest("i4")]
    with pytest.raises(BenchError, match="a removed item is in the memory"):
        verify({**receipt, "receipt": digest(receipt)}, after)


@pytest.mark.parametrize(
    ("content", "words"), [("{}", "is no receipt"), ("no", "is no receipt"), (None, "cannot read")]
)
def test_what_is_no_receipt_is_one_line(tmp_path: Path, content: str | None, words: str) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BenchError, match=words):
        read_receipt(path)


def test_a_later_edit_and_a_newer_format_are_said(made: Path) -> None:
    receipt = made.parent / "receipt.json"
    assert bench("edit", made, "remove", "i5").exit_code == 0
    assert "the memory is not the one that it was given for" in bench("receipt", receipt, made).output
    receipt.write_text(json.dumps({**json.loads(receipt.read_text()), "format": 2}))
    assert "has format 2" in bench("receipt", receipt, made).output
    assert "--receipt is for remove and forget" in bench("edit", made, "log", "--receipt", receipt).output
