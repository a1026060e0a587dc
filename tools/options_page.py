"""Writes the page of a run's options from their declaration: ``python -m tools.options_page``."""

from __future__ import annotations

from pathlib import Path

from bench.runner.config import RunConfig

_HEAD = """# Options of a run

This page is written by `make pages` from `bench/runner/options.py`, the only place where an option is
declared. Each is an option of `bench run`, a key of a YAML file and an argument of `bench.run`:

```
bench run --scenario supervised --methods knn,protonet --data digits --set knn.k=16
bench run --config run.yaml
```

```yaml
scenario: supervised
methods: [knn, protonet]
data: digits
set: {knn.k: 16}
```

```python
import bench

result = bench.run("supervised", ["knn", "protonet"], "digits", set={"knn.k": 16})
```

- **Which wins.** Options win over the experiment that `--experiment` names, and that over the file. An experiment that
  the file names is its starting point: what else the file says wins over it. Parameters under `set` are merged one by
  one.
- **Lists** are separated by commas, or are YAML or Python lists; `--data`, `--set` and `--oracle` are repeated.
- **Python** takes objects as well: a method or scenario (instance or class), a data set. A method's class may be a
  dataclass or a plain class that keeps each argument of its constructor under its name; all it needs is `build` and
  `score`. Several instances of one class
  run side by side; their labels name the parameters in which each was made to differ from the class's defaults:
  `bench.run(methods=[KNN(k=1), KNN(k=8)])` has `knn(k=1)` and `knn(k=8)`. Without `out` nothing is kept on disk
  once the result is gone.
- **Errors** are one line, exit status 2 in a shell and `bench.BenchError` in Python, and nothing is left behind. A
  registered method or scenario checks its parameters when it is made: `KNN(vote="foo")` is refused as
  `--set knn.vote=foo` is.

| option | YAML and Python | default | meaning |
| --- | --- | --- | --- |
"""

_TAIL = """
## Cells that fail

A cell whose method raises, or whose scores are not numbers or have the wrong shape, is recorded with the status
`failed`: its method, data set, seed, one line of `reason`, `error_type` and `traceback`
([results.md](results.md)). The other cells are computed, with `--jobs` and `--ray` too. Then `bench run` says which
cells failed and leaves with status 1, as `bench report` does on such a run. `bench.run` warns, and shows them.

The same command tries failed cells again and computes nothing else. `--fail-fast` stops at the first;
`bench.run(..., fail_fast=True)` raises it as a `BenchError` with the method's traceback in its notes. What cannot be
planned or dealt, such as more shots than a class has images, is an error of its own with status 2.
"""


def page() -> str:
    """Return the page as Markdown."""
    rows = []
    for name, option in RunConfig.options().items():
        default = RunConfig.model_fields[name].default if option.default is None else option.default
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
        written = f"`--{name.replace('_', '-')}`" + (f", `--{option.off}`" if option.off else "")
        cell = "" if default in (None, "", False, ()) else shown
        rows.append(f"| {written} | `{name}` | {cell} | {option.help} |")
    return _HEAD + "\n".join(rows) + "\n" + _TAIL


if __name__ == "__main__":
    (Path(__file__).resolve().parent.parent / "docs" / "options.md").write_text(page())
