"""The pages of the site that are made from the code and from the files at the top of the repository.

mkdocs loads this file (``hooks`` in ``mkdocs.yml``). Nothing here names a module of the project, so modules can move.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from tools.notebook_page import notebook_page
from tools.pages import PAGES

ROOT = Path(__file__).resolve().parent.parent

_PROJECT = {"index.md": "README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages that are files at the top of the repository."""

_LINKED = ("CITATION.cff", "LICENSE")
"""Files at the top that pages link to as they are."""


def packages(root: Path) -> dict[str, Path]:
    """Return the folders of the import packages by name: ``bench``, and the others that are not linked into it."""
    inside = {folder.resolve() for folder in (root / "bench").iterdir()}
    others = {name: root / name for name in ("methods", "scenarios", "reports")}
    others = {name: folder for name, folder in others.items() if folder.resolve() not in inside}
    return {"bench": root / "bench", **others}


def modules(root: Path) -> Iterator[str]:
    """Yield the dotted name of each public module and package, sorted."""
    for package, top in packages(root).items():
        for folder, below, files in os.walk(top, followlinks=True):
            below[:] = sorted(name for name in below if Path(folder, name, "__init__.py").is_file())
            dotted = ".".join((package, *Path(folder).relative_to(top).parts))
            yield dotted
            yield from (f"{dotted}.{file[:-3]}" for file in sorted(files) if re.fullmatch(r"[a-z]\w*\.py", file))


def _address(module: str) -> str:
    """Return where a module's page lies."""
    return f"reference/{module}.md"


def _reference(root: Path) -> list[Any]:
    """Return the navigation of the modules: a package is a section of its own page, its modules and packages."""
    sections: dict[str, list[Any]] = {}
    top: list[Any] = []
    known = list(modules(root))
    folders = {name.rpartition(".")[0] for name in known}
    for name in known:
        parent = sections.get(name.rpartition(".")[0], top)
        if name in folders:
            sections[name] = [{name: _address(name)}]
            parent.append({name: sections[name]})
        else:
            parent.append({name.rpartition(".")[2]: _address(name)})
    return top


def _as_page(text: str) -> str:
    """Return a file of the repository's top with its links as the site has them."""
    for page, source in _PROJECT.items():
        text = text.replace(f"]({source}", f"]({page}")
    return re.sub(r"\]\(docs/", "](", text)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the modules into the navigation, below ``Reference``."""
    for section in config.nav or []:
        if "Reference" in section:
            section["Reference"].append({"Python": _reference(ROOT)})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made; a catalogue is made anew, whatever the stored page says."""
    made = {page: _as_page((ROOT / source).read_text()) for page, source in _PROJECT.items()}
    made |= {name: (ROOT / name).read_text() for name in _LINKED}
    made |= {f"{name}.md": page() for name, page in PAGES.items()}
    made |= {f"tutorials/{path.stem}.md": notebook_page(path) for path in (ROOT / "docs/tutorials").glob("*.ipynb")}
    made |= {_address(module): f"# `{module}`\n\n::: {module}\n" for module in modules(ROOT)}
    for address, content in made.items():
        stored = files.get_file_from_path(address)
        if stored is not None:
            files.remove(stored)
        files.append(File.generated(config, address, content=content))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Lead links to a notebook to its page, but for the one by which the page hands out its notebook."""
    return re.sub(r"(\]\((?:[^()\s]*/)?tutorials/\w+)\.ipynb\)", r"\1.md)", markdown)
