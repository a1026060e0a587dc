"""The encoder of a classifier: kept by its name, its hash and all that shapes a feature, and checked when used."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.core.dataset import Card
from bench.device.precision import Precision
from bench.encoders import load_encoder
from bench.encoders.encoder import Encoder
from bench.encoders.glyphs.load import NAME as BUNDLED
from bench.utils.errors import BenchError, Notice
from bench.utils.hashing import digest


@dataclass(frozen=True, kw_only=True)
class EncoderReference:
    """Which encoder made the features, as plain values.

    Attributes
    ----------
    name : str
        As :func:`bench.encoders.load_encoder` takes it; ``unknown`` for features of unknown origin.
    space : str
        The name and a hash of all that shapes a feature, as packs write it; empty if unknown.
    weights : str
        Content hash of the weights; empty if unknown.
    described : mapping
        What :attr:`bench.encoders.encoder.Encoder.space` says: preprocessing, tokenizer, precision, software.
    templates : tuple of str
        What class names are put into to make texts, with ``{}`` for the name; empty where there are no class texts.
    """

    name: str = "unknown"
    space: str = ""
    weights: str = ""
    precision: Precision = "fp32"
    projected: bool = True
    described: Mapping[str, Any] = field(default_factory=dict)
    templates: tuple[str, ...] = ()

    @staticmethod
    def of(encoder: Encoder, templates: tuple[str, ...] = ()) -> EncoderReference:
        """Return the reference of an encoder."""
        return EncoderReference(
            name=encoder.name,
            space=space_of(encoder),
            weights=encoder.weights_digest,
            precision=encoder.precision,
            projected=encoder.projected,
            described=encoder.space,
            templates=templates,
        )

    @staticmethod
    def of_card(card: Card) -> EncoderReference:
        """Return the reference that a data set's card gives."""
        return EncoderReference(name=card.encoder, space=card.space)

    @property
    def known(self) -> bool:
        """Whether it was told which encoder made the features, so that images can be asked about."""
        return bool(self.described) or "@" in self.space or self.name == BUNDLED

    def open(self, *, device: str = "cpu", instead: str | None = None) -> Encoder:
        """Return the encoder.

        Parameters
        ----------
        instead : str, optional
            Where it is now, for a checkpoint that was moved.

        Raises
        ------
        BenchError
            If there is none by that name, or its weights or preprocessing are not those the features were made with.
        """
        if not self.known:
            raise BenchError(
                f"the encoder is not known of the features that it was fitted on ({self.name}); give feature arrays"
            )
        name = instead or self.name
        try:
            encoder = load_encoder(name, precision=self.precision, device=device, projected=self.projected)
        except BenchError as error:
            other = "" if instead else "; or say where the encoder is now with --encoder"
            raise BenchError(f"the classifier's encoder cannot be loaded: {error}{other}") from None
        self.check(encoder)
        return encoder

    def check(self, encoder: Encoder) -> None:
        """Raise :class:`BenchError` if an encoder is not this one; warn if only the software under it is another."""
        if self.weights and encoder.weights_digest != self.weights:
            raise BenchError(
                f"encoder {encoder.name} has other weights ({encoder.weights_digest[:12]}) than the classifier's "
                f"({self.name}, {self.weights[:12]}); name the same encoder, or fit the classifier again"
            )
        if not self.described:
            # Packs hash all that shapes a feature; a data set in code may hash the weights alone.
            told = ("", digest(encoder.space)[:12], encoder.weights_digest[:12])
            if self.space.rpartition("@")[2] not in told:
                raise BenchError(
                    f"encoder {encoder.name} is not the one that made the classifier's features ({self.space}): its "
                    "weights, preprocessing or software differ; encode the data again and fit again"
                )
            return
        now = encoder.space
        for part, was in self.described.items():
            if digest(now.get(part)) != digest(was) and part != "software":
                raise BenchError(
                    f"encoder {encoder.name} has another {part} than the classifier's; fit the classifier again"
                )
        before = self.described.get("software", {})
        moved = [f"{k} {v} (was {before.get(k)})" for k, v in now["software"].items() if v != before.get(k)]
        if moved:
            warnings.warn(
                Notice(f"the encoder runs on other software than when the classifier was fitted: {', '.join(moved)}"),
                stacklevel=2,
            )


def space_of(encoder: Encoder) -> str:
    """Return the name of an encoder with the hash of all that shapes its features, as packs write it."""
    return f"{encoder.name}@{digest(encoder.space)[:12]}"
