"""What the documentation promises."""

from __future__ import annotations

import re
import warnings
from pathlib import Path

import pytest

from bench.core.registry import METHODS, SCENARIOS
from bench.core.task import Episode, Session
from bench.runner.evaluate import run_cell
from bench.runner.handover import Handover
from bench.utils.recipe_fields import hints
from tests import toy
from tests.docs.test_contributing import block
from tools.pages import PAGES, outdated

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("name", sorted(PAGES))
def test_generated_pages_are_true(name: str) -> None:
    stored, made = (ROOT / "docs" / f"{name}.md").read_text(), PAGES[name]()
    wrong = outdated(stored, made)
    assert not wrong, f"docs/{name}.md: run `make pages`; no longer true: {wrong[:3]}"
    if stored != made:
        warnings.warn(f"docs/{name}.md lacks something new: run `make pages`", stacklevel=1)


def test_a_page_may_lack_what_is_new_and_tell_nothing_false() -> None:
    page = "# Methods\n\n| `knn` |\n\n## knn\n\nVotes.\n"
    added = "# Methods\n\n| `knn` |\n| `median` |\n\n## knn\n\nVotes.\n\n## median\n\nMedians.\n"
    assert outdated(page, added) == []
    assert outdated(added, page) == ["| `median` |", "", "## median", "", "Medians."]
    assert outdated(page, page.replace("Votes", "Weighs votes")) == ["Votes."]


def test_every_parameter_of_every_scenario_is_explained() -> None:
    sections = re.split(r"^## ", PAGES["scenarios"](), flags=re.MULTILINE)[1:]
    for name, section in zip(SCENARIOS.names(), sections, strict=True):
        assert section.startswith(name)
        for parameter in hints(SCENARIOS.get(name).cls):
            assert re.search(rf"^\| `{parameter}` \|.*\| [^|]*\w[^|]* \|$", section, re.MULTILINE), (name, parameter)


def test_the_method_in_contributing_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "median_of_contributing.py").write_text(block("method"))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(METHODS, "_known", {name: e for name, e in METHODS._known.items() if name != "median"})
    module = __import__("median_of_contributing")
    task = toy.task((7, 3, 9))
    session = Session(task=task, queries=toy.dataset().splits["test"].of_classes((7, 3, 9)))
    (outcome,) = run_cell(module.Median(), Handover(Episode(sessions=(session,)), 0), label="median").outcomes
    assert (outcome.predictions == session.queries.labels).float().mean() > 0.9


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 110
