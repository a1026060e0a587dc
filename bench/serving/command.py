"""From a classifier's folder to a server that answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from bench.classifier import Classifier
from bench.serving.app import App
from bench.serving.gate import address_of, names_of
from bench.serving.limits import Limits
from bench.serving.server import listen, serve, token_for
from bench.serving.service import Service


def run(
    folder: Path,
    *,
    host: str,
    port: int,
    edits: bool,
    limits: Mapping[str, Any],
    encoder: str | None = None,
    device: str = "auto",
) -> None:
    """Serve a classifier until the process is asked to end.

    Raises
    ------
    BenchError
        For a folder that is no classifier, a port in use, and an address beyond this machine without a token.
    """
    token = token_for(host)
    allowed = Limits(**limits)
    with listen(host, port) as listening:
        made = Classifier.load(folder, encoder=encoder, device=device)
        service = Service(made, folder=folder if edits else None, pixels=allowed.pixels)
        app = App(service, limits=allowed, token=token, edits=edits, hosts=names_of(host, token)).asgi()
        address = address_of(host, listening.getsockname()[1])
        guarded = ", with the token" if token is not None else ""
        click.echo(f"{made.label_} over {len(made.classes_)} classes answers at {address}/v1/predict{guarded}")
        serve(app, listening)
