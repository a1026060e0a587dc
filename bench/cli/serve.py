"""``bench serve``: a kept classifier over HTTP."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from bench.cli.options import ENCODER_HELP, Number, Whole, notices_alone
from bench.utils.errors import BenchError

_MEBI = 2**20


@click.command()
@click.argument("classifier", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Other machines need BENCH_SERVE_TOKEN.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0 is any that is free.")
@click.option("--edits", is_flag=True, help="Let items be added and removed; each edit is written into the folder.")
@click.option("--max-mib", type=Number(0), default=20, show_default=True, help="Of a request.")
@click.option("--max-megapixels", type=Number(0), default=40, show_default=True, help="Of an image.")
@click.option("--rate", type=Number(0), default=100, show_default=True, help="Images a second, over time.")
@click.option("--burst", type=Whole(1), default=200, show_default=True, help="Images at once.")
@click.option("--encoder", help=f"Where the encoder is now, if it was moved: {ENCODER_HELP}")
@click.option("--device", metavar="auto|cpu|cuda|cuda:N", default="auto", show_default=True, help="Where to encode.")
def serve(
    classifier: Path,
    host: str,
    port: int,
    edits: bool,
    max_mib: float,
    max_megapixels: float,
    rate: float,
    burst: int,
    encoder: str | None,
    device: str,
) -> None:
    """Answer over HTTP which class an image shows: POST it to /v1/predict.

    Needs `pip install 'retrieval-bench[serve]'`.
    """
    if any(find_spec(needed) is None for needed in ("starlette", "uvicorn")):
        raise BenchError("bench serve needs starlette and uvicorn; pip install 'retrieval-bench[serve]'")
    from bench.serving.command import run

    with notices_alone():
        run(
            classifier,
            host=host,
            port=port,
            edits=edits,
            limits={
                "request_bytes": round(max_mib * _MEBI),
                "pixels": round(max_megapixels * 1e6),
                "per_second": rate,
                "burst": burst,
                "images": max(1, min(64, burst)),
            },
            encoder=encoder,
            device=device,
        )
