"""The commands that are killed in a process of their own, and what each of them makes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.classifier import Classifier
from bench.data.images import image_folder
from bench.data.images.to_pack import EncodeOptions, encode_pack
from bench.data.import_features import Options, import_pack
from bench.data.manifest import read_manifest
from bench.data.pack import open_pack
from bench.data.pack_files import MANIFEST
from bench.data.registry import resolve
from bench.reports.report import build
from bench.results.run_folder import read_predictions, read_records, runs_below
from bench.results.schema import UNSTABLE
from bench.runner.config import RunConfig
from bench.runner.loop import execute
from bench.runner.parallel.merge_shards import merge
from bench.runner.parallel.work_units import Shard
from bench.runner.plan import Run, plan
from bench.sharing.transfer import pull, push
from bench.utils.hashing import digest, file_digest
from tests import toy
from tests.statistics.runs import make_run
from tests.unit.classifier.clouds import clouds
from tests.unit.pictures import lay_out

Work = Callable[[Path], object]
"""A command, which writes below a folder."""


@dataclass(frozen=True)
class Kind:
    """A command that is killed.

    Attributes
    ----------
    prepare : callable
        Writes what the command reads.
    work : callable
        The command.
    made : callable
        What it has made, as values that are equal or not; it reads what is finished at any time.
    at_steps : bool
        Whether it is killed before steps of optimisers as well.
    share : int
        Its share of the kills, in percent of those of all kinds.
    """

    prepare: Work
    work: Work
    made: Callable[[Path], Mapping[str, object]]
    at_steps: bool = False
    share: int = 8


_SHORT = {
    "icarl": {"icarl.epochs": 3, "icarl.min_steps": 3},
    "mml": {"mml.epochs": 3, "mml.adapt_epochs": 2, "mml.k": 3},
}
_DATA = toy.dataset(8)


def planned(folder: Path, methods: str = "protonet,icarl,mml", seeds: int = 2, **more: Any) -> Run:
    settings = {key: value for name, part in _SHORT.items() if name in methods for key, value in part.items()}
    options = {"scenario": "incremental", "methods": methods, "seeds": seeds, "out": folder / "runs", "set": settings}
    return plan(RunConfig(data=_DATA, device="cpu", progress=False, **(options | more)))


def _trained(folder: Path) -> Run:
    return planned(folder, scenario="web-zero-shot", methods="mml", save_states=True)


def of_runs(folder: Path) -> dict[str, object]:
    made: dict[str, object] = {}
    for run in runs_below(folder / "runs"):
        for cell, part in read_records(run).groupby("cell"):
            # Whether a number is read as whole depends on the cells beside it: others may have none.
            rows = part.sort_values("session").drop(columns=list(UNSTABLE)).convert_dtypes()
            made[f"record {cell}"] = rows.astype("str").to_csv(index=False)
        for cell, part in read_predictions(run).groupby("cell"):
            made[f"predictions {cell}"] = part.sort_values(["session", "query"]).to_csv(index=False)
        for path in (run / "states").glob("*.safetensors"):
            made[f"state {path.name}"] = file_digest(path)
    return made


def _files(place: str) -> Callable[[Path], dict[str, object]]:
    def made(folder: Path) -> dict[str, object]:
        paths = (path for path in (folder / place).rglob("*") if path.is_file() and not path.name.endswith(".tmp"))
        return {str(path.relative_to(folder)): file_digest(path) for path in paths}

    return made


def _of_pack(folder: Path) -> dict[str, object]:
    """Return what a pack holds, which of its files its manifest does not name, and that what is there can be opened."""
    if not (folder / "out" / MANIFEST).exists():
        return {}
    pack = open_pack(folder / "out", resolve)
    manifest = read_manifest(folder / "out")
    parts = [*manifest["splits"].values(), *(manifest[name] for name in ("prompts", "texts") if manifest.get(name))]
    there = {path.name for path in (folder / "out").glob("*.safetensors")}
    return {"features": pack.fingerprint, "not named": there - {part["file"] for part in parts}}


def _arrays(folder: Path) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((40, 8)).astype(np.float32), np.repeat(np.arange(4), 10)
    np.savez(folder / "birds.npz", train_x=x, train_y=y, test_x=x[::2], test_y=y[::2])
    (folder / "classes.txt").write_text("heron\nstork\ncrane\nibis\n")
    # A pack that is there already, of other features: a kill leaves it whole, or the new one.
    np.savez(folder / "old.npz", train_x=-x, train_y=y, test_x=-x[::2], test_y=y[::2])
    import_pack([folder / "old.npz"], folder / "classes.txt", folder / "out", Options(name="birds"))
    (folder / "old").write_text(str(open_pack(folder / "out", resolve).fingerprint))


def _import(folder: Path) -> None:
    import_pack([folder / "birds.npz"], folder / "classes.txt", folder / "out", Options(name="birds"))


def _images(folder: Path) -> None:
    names = ("one", "two")
    lay_out(
        folder / "images",
        {f"{split}/{c}/{n}.png": 10 * n for split in ("train", "test") for c in names for n in (1, 2)},
    )


def _encode(folder: Path) -> None:
    options = EncodeOptions(encoder="glyphs", name="numbers", device="cpu", templates="name")
    encode_pack(image_folder(folder / "images"), folder / "out", options, cache=None)


def _shards(folder: Path) -> None:
    run = planned(folder, methods="knn,protonet", seeds=3)
    for number in (1, 2):
        execute(run.shard(Shard(number, 2)))
    (folder / "runs").rename(folder / "shards")


def _merge(folder: Path) -> None:
    merge([folder / "shards"], folder / "runs")


def _made_up(folder: Path) -> None:
    make_run(folder / "runs" / "one", {"good": 0.8, "bad": 0.6}, seeds=(0,), sessions=1)


def _report(folder: Path) -> None:
    build([folder / "runs"], folder / "out")


def _kept(folder: Path) -> None:
    Classifier("gda").fit(*clouds(6)).save(folder / "kept")


def _fit(folder: Path) -> None:
    Classifier("gda").fit(*clouds(6)).save(folder / "out")


def _edit(folder: Path) -> None:
    Classifier.load(folder / "kept").remove(classes="a").save(folder / "out")


def _of_classifier(folder: Path) -> dict[str, object]:
    """Return what a classifier answers, and what lies in its folder; its log says when it was edited."""
    made = Classifier.load(folder / "out")
    answers = digest(made.predict_proba(clouds(3)[0]), made.classes_.tolist())
    return {"answers": answers, "arrays": len(list((folder / "out").glob("*.safetensors")))}


def _push(folder: Path) -> None:
    push(folder / "runs" / "one", str(folder / "out"))


def _pushed(folder: Path) -> None:
    _made_up(folder)
    push(folder / "runs" / "one", str(folder / "store"))


def _pull(folder: Path) -> None:
    if not (folder / "out").exists():
        pull(str(folder / "store"), folder / "out")


def _nothing(folder: Path) -> None:
    return


KINDS: Mapping[str, Kind] = {
    "run": Kind(_nothing, lambda folder: execute(planned(folder, calibrate=False)), of_runs, at_steps=True, share=14),
    "training": Kind(_nothing, lambda folder: execute(_trained(folder)), of_runs, at_steps=True, share=14),
    "import": Kind(_arrays, _import, _of_pack, share=10),
    "encode": Kind(_images, _encode, _of_pack),
    "merge": Kind(_shards, _merge, of_runs, share=10),
    "report": Kind(_made_up, _report, _files("out")),
    "fit": Kind(_nothing, _fit, _of_classifier),
    "edit": Kind(_kept, _edit, _of_classifier),
    "push": Kind(_made_up, _push, _files("out"), share=6),
    "pull": Kind(_pushed, _pull, _files("out"), share=6),
}
"""Commands that are killed in a process of their own."""
