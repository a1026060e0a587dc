"""The Python that the pages show for bundled data runs as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

SHOWN = [
    (page.relative_to(ROOT).as_posix(), number, code)
    for page in sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
    for number, code in enumerate(re.findall(r"^```python\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE))
    if 'data="digits"' in code or "Stream(" in code
]


@pytest.mark.parametrize(("page", "number", "code"), SHOWN, ids=[f"{page}-{number}" for page, number, _ in SHOWN])
def test_an_example_runs(page: str, number: int, code: str, capsys: pytest.CaptureFixture[str]) -> None:
    exec(compile(code, f"{page}, example {number}", "exec"), {})
    assert ("print(" in code) == bool(capsys.readouterr().out)


def test_the_front_page_shows_one() -> None:
    assert "README.md" in {page for page, _, _ in SHOWN}
