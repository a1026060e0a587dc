"""Secrets in addresses of services: refused, and not repeated in errors, records or on disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.main import main
from bench.data.web import WikiClient
from bench.search.approximate.milvus import TOKEN
from bench.utils.errors import BenchError
from bench.utils.names import require_no_secret

SECRET = "hunter2-secret"

ADDRESSES = [
    ("--search", f"milvus:http://root:{SECRET}@example.org:19530"),
    ("--search", f"milvus:https://example.org:443/?token={SECRET}"),
    ("--search", f"milvus:http://example.org:19530#{SECRET}"),
    ("--search", f"milvuss:http://root:{SECRET}@example.org:19530"),
    ("--search", f"hnsw:http://root:{SECRET}@example.org"),
    ("--ray", f"ray://user:{SECRET}@example.org:10001"),
    ("--ray", f"{SECRET}@example.org:10001"),
    ("--ray", f"example.org:10001?token={SECRET}"),
]


@pytest.mark.parametrize(("option", "address"), ADDRESSES)
def test_an_address_with_a_secret_is_refused_and_not_repeated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, address: str
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["run", "--methods", "protonet", "--data", "digits", "--seeds", "1", "--quiet", "--device", "cpu"]
    done = CliRunner().invoke(main, [*command, option, address])
    assert done.exit_code == 2, done.output
    assert len(done.output.strip().splitlines()) == 1
    assert SECRET not in done.output
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and SECRET in path.read_text()]


@pytest.mark.parametrize("endpoint", [f"https://a:{SECRET}@x/api.php", f"https://x/api.php?key={SECRET}"])
def test_the_wiki_has_no_secret_either(endpoint: str) -> None:
    with pytest.raises(BenchError) as refused:
        WikiClient("me@example.org", endpoint)
    assert SECRET not in str(refused.value)


def test_where_the_secret_belongs_is_said() -> None:
    with pytest.raises(BenchError, match=TOKEN):
        require_no_secret(f"http://{SECRET}@host", "--search milvus", instead=f"put it into {TOKEN}")
    require_no_secret("http://host:19530", "--search milvus", instead="")
