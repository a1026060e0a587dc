"""The wheel, installed beside folders that have the names of the project's own, in every way it is started."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests.architecture.imports import ROOT, modules

MINE = "raise SystemExit('the folder of the user was imported in the place of the package')\n"

SCRIPT = """
import sys
import bench
frame = bench.run("supervised", ["protonet", "knn"], "digits", seeds=1).frame
print(bench.__file__, sorted(frame["method"].unique()), sorted(frame["status"].unique()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the wheel, built from a copy of the sources so that no build folder is left beside them."""
    source = tmp_path_factory.mktemp("source") / "project"
    kept = ("bench", "methods", "scenarios", "reports", "pyproject.toml", "README.md", "LICENSE")
    for name in kept:
        place = ROOT / name
        if place.is_dir():
            shutil.copytree(place, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(place, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(out),
        ".",
    ]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = out.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that the wheel was unpacked into, as an installer does."""
    site = tmp_path_factory.mktemp("site")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Return a working folder with modules and settings of the user's own under the project's names."""
    for name in ("methods", "scenarios"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(MINE)
        (tmp_path / name / "knn.py").write_text(MINE)
    (tmp_path / "reports.py").write_text(MINE)
    (tmp_path / "bench.yaml").write_text("methods: [no-such-method]\n")
    return tmp_path


def run(installed: Path, folder: Path, *command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_puts_one_package_into_site_packages_and_holds_every_module(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"bench"}
    held = {
        name.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for name in names if name.endswith(".py")
    }
    assert held == set(modules())
    beside = {f"bench/{path.relative_to(ROOT)}" for path in (ROOT / "reports").rglob("*.css")}
    assert beside <= set(names)


@pytest.mark.parametrize(
    "start",
    [["-c", "import sys; from bench.cli.main import main; sys.argv[0] = 'bench'; main()"], ["-m", "bench"]],
    ids=["command", "python -m bench"],
)
def test_the_command_lists_its_methods_beside_folders_of_the_same_names(
    installed: Path, hostile: Path, start: list[str]
) -> None:
    listed = run(installed, hostile, sys.executable, *start, "list", "methods")
    assert [line.split()[0] for line in listed.splitlines()].count("knn") == 1


@pytest.mark.parametrize("as_file", [True, False], ids=["script", "notebook"])
def test_a_comparison_runs_beside_folders_of_the_same_names(installed: Path, hostile: Path, as_file: bool) -> None:
    # A notebook has the working folder first on its path, as `python -c` has.
    (hostile / "mine.py").write_text(SCRIPT)
    started = ["mine.py"] if as_file else ["-c", SCRIPT]
    printed = run(installed, hostile, sys.executable, *started)
    assert printed.split()[0] == str(installed / "bench" / "__init__.py")
    assert "['knn', 'protonet'] ['ok']" in printed


def test_workers_run_beside_folders_of_the_same_names(installed: Path, hostile: Path) -> None:
    arguments = ["run", "--scenario", "supervised", "--methods", "protonet", "--data", "digits", "--seeds", "2"]
    run(installed, hostile, sys.executable, "-m", "bench", *arguments, "--jobs", "2", "--quiet")
    assert len(list((hostile / "runs").glob("*/run.json"))) == 1


FINGERPRINTS = """
from bench.core.registry import METHODS, SCENARIOS
from bench.runner.identity import evaluation_fingerprint, recipe_fingerprint
print(evaluation_fingerprint())
for registry in (METHODS, SCENARIOS):
    for name in registry.names():
        print(name, recipe_fingerprint(registry.get(name).cls()))
"""


def test_cells_have_the_same_identity_as_in_a_checkout(installed: Path, hostile: Path) -> None:
    there = run(installed, hostile, sys.executable, "-c", FINGERPRINTS)
    assert there == run(ROOT, ROOT, sys.executable, "-c", FINGERPRINTS)
    assert len(there.splitlines()) > 20
