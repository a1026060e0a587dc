"""Readers of configurations, runs, states and classifiers: a good input of each, and what reading it gives."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch

from bench.classifier import Classifier
from bench.classifier.checksums import tree_digest
from bench.classifier.data import text_items
from bench.classifier.folder import MANIFEST as CLASSIFIER
from bench.classifier.inputs import read_features
from bench.data.registry import resolve
from bench.functional.attention import Block
from bench.learning.state_io import load, save
from bench.methods.mml import Weights
from bench.reports.records.paired_predictions import groups
from bench.reports.records.run_table import read_runs
from bench.results import consolidated
from bench.results.consolidated import NAME, write_joined
from bench.runner.config import RunConfig
from bench.runner.saved_weights import SavedWeights
from bench.utils.hashing import digest
from bench.utils.random import Stream
from bench.utils.yaml12 import YamlError, dump_yaml, parse_yaml
from tests.faults.reader import Reader
from tests.statistics.runs import make_run
from tests.unit.classifier.clouds import clouds


def _config(folder: Path) -> None:
    (folder / "run.yaml").write_text(
        "scenario: [incremental, supervised]\nmethods: [knn, protonet]\ndata: digits\nseeds: [0, 3, 7]\n"
        "set: {knn: {k: 5}, protonet.temperature: 1e-2}\nout: here\nsave_states: true\noracle: ['knn.k=1,4']\n"
    )


def _configured(folder: Path) -> str:
    return RunConfig.merged(folder / "run.yaml", {}).model_dump_json()


def _run(folder: Path) -> None:
    names = {"class_names": {"made": ["a", "b", "c", "d"]}, "seeds": [0]}
    make_run(folder / "run", {"good": 0.8, "bad": 0.6}, seeds=(0,), sessions=2, queries=5, manifest=names)


def _joined(folder: Path) -> None:
    _run(folder)
    consolidated._FROM = 1
    write_joined(folder / "run")


def _reported(folder: Path) -> str:
    table = read_runs([folder / "run"])
    answers = [
        (method, seed, *(digest(part) for part in (p.queries, p.labels, p.predictions, p.confidences, p.top5)))
        for group in groups(table)
        for method, by_seed in sorted(group.predictions.items())
        for seed, p in sorted(by_seed.items())
    ]
    columns = [str(name) for name in table.records if name not in ("created", "home")]
    return digest(table.records[columns].astype("str").to_csv(), answers)


def _rejoined(folder: Path) -> str:
    """Read joined records that end in the hash that they have."""
    path = folder / "run" / NAME
    if path.is_file():
        content = path.read_bytes()[:-32]
        path.write_bytes(content + hashlib.sha256(content).digest())
    return _reported(folder)


def _state(folder: Path) -> None:
    blocks = [Block.initial(4, Stream(n)) for n in (0, 1)]
    weights = SavedWeights(
        method="mml",
        params="{}",
        dimension=4,
        space="",
        seed=3,
        shown=np.array(["a", "b"]),
        origin="here",
        weights=Weights(*blocks),
    )
    save(weights, folder / "state.safetensors")


def _loaded(folder: Path) -> str:
    found = load(folder / "state.safetensors")
    return digest(found.fingerprint, found.method, found.params, found.seed, found.origin, found.shown)


def _classifier(folder: Path) -> None:
    Classifier("gda").fit(*clouds(6)).save(folder / "c")


def _answered(folder: Path) -> str:
    made = Classifier.load(folder / "c")
    x, _ = clouds(3)
    return digest(made.predict(x).astype("U").tolist(), made.predict_proba(x))


def _resealed(folder: Path) -> str:
    """Ask a classifier whose manifest and arrays carry the hashes that they have."""
    path = folder / "c" / CLASSIFIER
    try:
        content = parse_yaml(path.read_text())
        arrays = folder / "c" / str(content["arrays"]["file"])
        if arrays.is_file():
            content["arrays"]["tree"] = tree_digest(arrays)
        content["checksum"] = digest({key: value for key, value in content.items() if key != "checksum"})
        path.write_text(dump_yaml(content))
    except (OSError, YamlError, KeyError, TypeError, ValueError, AttributeError):
        pass  # nothing that could be sealed
    return _answered(folder)


def _sentences(folder: Path) -> None:
    (folder / "texts.json").write_text('{"zero": ["a ring", "a hole"], "one": ["a stroke"], "seven": ["a hook"]}')


def _read_sentences(folder: Path) -> str:
    found = text_items(folder / "texts.json", lambda texts: torch.ones(len(texts), 64), resolve("digits"))
    return digest(found.labels, found.ids.tolist())


def _asked(folder: Path) -> None:
    np.save(folder / "asked.npy", clouds(3)[0])


def _read_asked(folder: Path) -> str:
    names, x = read_features(folder / "asked.npy", 12)
    return digest(len(names), x)


RESULTS: Mapping[str, Reader] = {
    "configuration": Reader(_config, _configured, ("run.yaml",)),
    "run.json": Reader(_run, _reported, ("run/run.json",)),
    "records": Reader(_run, _reported, ("run/records/*.parquet",), sealed=True),
    "predictions": Reader(_run, _reported, ("run/predictions/*.parquet",), sealed=True),
    "joined records": Reader(_joined, _reported, (f"run/{NAME}",), sealed=True),
    "joined records with their hash": Reader(_joined, _rejoined, (f"run/{NAME}",)),
    "state": Reader(_state, _loaded, ("state.safetensors",), sealed=True),
    "classifier": Reader(_classifier, _answered, (f"c/{CLASSIFIER}", "c/*.safetensors"), sealed=True),
    "classifier with their hashes": Reader(_classifier, _resealed, (f"c/{CLASSIFIER}", "c/*.safetensors")),
    "sentences": Reader(_sentences, _read_sentences, ("texts.json",)),
    "features to answer": Reader(_asked, _read_asked, ("asked.npy",)),
}
"""By name."""
