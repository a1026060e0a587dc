"""Runs made up for tests: real files in the real schema, with answers drawn at a given rate."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np

from bench.results.run_folder import Store, encode
from bench.utils.version import SCHEMA


def make_run(
    folder: Path,
    accuracies: dict[str, float],
    *,
    datasets: tuple[str, ...] = ("made",),
    seeds: tuple[int, ...] = (0, 1, 2),
    sessions: int = 3,
    per: int = 2,
    queries: int = 20,
    cells: int | None = None,
    run: str = "abc123",
    created: str = "2026-01-01T00:00:00+00:00",
    conditions: tuple[dict[str, object], ...] = ({"base": 0, "increment": 2},),
    episodes: bool = False,
    near: int = 0,
    manifest: dict[str, object] | None = None,
    **overrides: object,
) -> Path:
    """Write a run: each method answers a query rightly at its rate.

    A session brings `per` new classes; with `episodes`, it poses a problem of its own, of `per` of all classes. The
    first `near` queries of each class have a near-duplicate, and are answered rightly by all methods.
    """
    store = Store(folder)
    planned = len(accuracies) * len(datasets) * len(seeds) * len(conditions)
    store.open(
        {"run": run, "cells": planned if cells is None else cells, "created": created, "device": "cpu"}
        | (manifest or {})
    )
    for dataset in datasets:
        for condition in conditions:
            for seed in seeds:
                for method, rate in accuracies.items():
                    text = json.dumps(condition, sort_keys=True)
                    key = [ord(c) for c in f"{dataset}{text}{method}"]
                    rng = np.random.default_rng([seed, *key])
                    order = np.random.default_rng([seed, *map(ord, dataset)]).permutation(sessions * per)
                    name = f"{dataset}-{method}-{seed}-{len(text)}-{sum(key)}-{run}".replace(":", "_")
                    if not re.fullmatch(r"[\w.<>& -]{1,180}", name):
                        name = hashlib.sha256(name.encode()).hexdigest()[:20]
                    dealt = [order[: (session + 1) * per] for session in range(sessions)]
                    if episodes:
                        deal = np.random.default_rng([seed, 7, *map(ord, dataset)])
                        dealt = [deal.permutation(sessions * per)[:per] for _ in range(sessions)]
                    rows, predictions = _cell(name, rng, dealt, rate, queries, near, episodes)
                    common = {
                        "schema": SCHEMA,
                        "run": run,
                        "cell": name,
                        "status": "ok",
                        "method": method,
                        "method_name": method,
                        "method_params": "{}",
                        "fidelity": "faithful",
                        "selection": "none",
                        "scenario": "incremental",
                        "scenario_params": "{}",
                        "dataset": dataset,
                        "encoder": "made-up",
                        "condition": text,
                        "seed": seed,
                        "features_fingerprint": f"f-{dataset}",
                        "provenance": json.dumps({"git_commit": "c0ffee", "versions": {"numpy": np.__version__}}),
                        **overrides,
                    }
                    store.put(name, encode([common | row for row in rows], predictions))
    return folder


def _cell(name, rng, dealt, rate, queries, near, episodes):
    rows, parts = [], []
    for session, order in enumerate(dealt):
        classes = [int(c) for c in order]
        labels = np.repeat(sorted(classes), queries)
        wrong = rng.choice(classes, len(labels))
        flagged = np.arange(len(labels)) % queries < near
        predictions = np.where((rng.random(len(labels)) < rate) | flagged, labels, wrong)
        right = predictions == labels
        ids = [f"q{label}-{i % queries}" for i, label in enumerate(labels)]
        rows.append(
            {
                "session": session,
                "classes": classes,
                "class_total": [queries] * len(classes),
                "class_correct": [int(right[labels == c].sum()) for c in classes],
                "n_queries": len(labels),
                "n_correct": int(right.sum()),
                "n_near_duplicates": int(flagged.sum()),
                "n_near_duplicates_correct": int((flagged & right).sum()),
                "session_kind": "extended" if session and not episodes else "built",
                "branches": "image",
                "state_bytes": 1000 * len(classes),
                "exemplars": None,
                "train_seconds": 0.0,
                "build_seconds": 0.01,
                "retrieve_seconds": 0.02,
                "score_seconds": 0.03,
                "queries_fingerprint": "-".join(map(str, sorted(classes))),
            }
        )
        rank = np.where(right, 0, rng.integers(1, 9, len(labels)))
        confidence = rng.uniform(0.5, 1, len(labels))
        parts.append(([session] * len(labels), ids, labels, predictions, rank, confidence, flagged))
    columns = ["session", "query", "label", "prediction", "rank", "confidence", "near_duplicate"]
    table = {c: np.concatenate([np.asarray(p[i]) for p in parts]) for i, c in enumerate(columns)}
    return rows, {"cell": [name] * len(table["session"]), **table}
