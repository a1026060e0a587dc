"""The command says how long threads wait for one another, unless the user does."""

import os

import pytest
from click.testing import CliRunner

from bench.cli.main import main


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    # To set them first makes monkeypatch put back what the command sets.
    for name in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_threads_wait_briefly():
    CliRunner().invoke(main, ["list", "scenarios"])
    assert int(os.environ["GOMP_SPINCOUNT"]) < 300_000


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY"])
def test_what_the_user_says_stays(monkeypatch, name):
    monkeypatch.setenv(name, "active" if name == "OMP_WAIT_POLICY" else "7")
    before = dict(os.environ)
    CliRunner().invoke(main, ["list", "scenarios"])
    assert dict(os.environ) == before
