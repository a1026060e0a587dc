"""``bench.Classifier``: a method that is fitted, kept, asked and edited.

What fits, encodes images and writes cards is imported when it is first needed: to load a classifier and to ask it about
features takes a fraction of the time without it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from torch import Tensor

from bench.classifier.answering import answers, decided, explained
from bench.classifier.answers import SHOWN, Answer
from bench.classifier.edits import added, removed
from bench.classifier.folder import read_folder, require_free, write_folder
from bench.classifier.inputs import as_features, images, is_features
from bench.classifier.model import Model
from bench.classifier.settings import Settings, checked
from bench.core.dataset import Dataset
from bench.core.explanation import Explanation
from bench.device.choose import choose_device
from bench.encoders import class_texts, load_encoder
from bench.encoders.encoder import Encoder
from bench.encoders.prompts import of_strings
from bench.utils.errors import BenchError
from bench.utils.recipe_fields import defaults

if TYPE_CHECKING:
    from bench.data.images.items import SetAside

Names = Collection[str] | str
"""One name or several."""
Named = str | Path | Dataset
"""A data set: by name, by the folder of its pack or of its images, or itself."""


class Classifier(Settings):
    """A classifier over a frozen encoder: any method of the registry, fitted, kept on disk, asked and edited.

    It follows scikit-learn's conventions: the constructor only stores settings, ``fit`` returns the classifier, and
    what it learns ends with an underscore.

    Parameters
    ----------
    method : str, recipe or class
        A name of ``bench list methods``, with parameters as ``knn:k=16``.
    params : mapping, optional
        Further parameters of the method.
    encoder : str or Encoder, optional
        As :func:`bench.encoders.load_encoder` takes it; needed to fit on images.
    seed : int
        Of all draws.
    reject : float
        The confidence below which the answer is "none of these"; 0 always answers with a class.
    hold_out : float
        Share of the labelled images of each class that calibrates probabilities; 0 for none.
    keep_items : bool
        Keep the items, so that they can be edited. Without them the folder is smaller.
    device : str
        Where to fit and to encode.

    Attributes
    ----------
    classes_ : str array [c]
        Class names; column j of ``predict_proba`` is ``classes_[j]``.

    Examples
    --------
    >>> Classifier("gda", encoder="ViT-B-32:openai").fit("photos/").save("classifier/")  # doctest: +SKIP
    >>> Classifier.load("classifier/").predict(["new/1.jpg"])  # doctest: +SKIP
    """

    _model_: Model
    _opened: Encoder | None
    reject_: float
    set_aside_: tuple[SetAside, ...]

    # -- fitting ---------------------------------------------------------------------------------------------------

    def fit(
        self,
        X: str | Path | Dataset | Any,
        y: Sequence[Any] | None = None,
        *,
        ids: Sequence[str] | None = None,
        memory: Named | Sequence[Named] = (),
        texts: str | Path | None = None,
        train: Named | None = None,
        licence: str = "unknown",
        progress: bool = False,
    ) -> Self:
        """Fit to labelled images or features, and return the classifier.

        Parameters
        ----------
        X : path, name, Dataset, array or images
            A folder of class folders (or a table, or shards) with an encoder; a data set by name or pack; features
            [n, d] with ``y``; or a list of images with ``y`` and an encoder.
        y : sequence, optional
            The class of each row or image.
        ids : sequence of str, optional
            Names of the rows, by which they can be removed.
        memory : optional
            Data sets or folders whose items are a memory to retrieve from, under classes of the same names.
        texts : path, optional
            JSON of sentences by class, as text items; needs an encoder.
        train : optional
            A data set of other classes, for methods that train on seen classes.
        licence : str
            Of the images.

        Raises
        ------
        BenchError
            For data that do not fit together or lack what the method needs.
        """
        from bench.classifier.fit import FitSettings, Material, fit_model

        reject = checked(self.reject, self.hold_out)
        settings = FitSettings(
            method=self.method,
            params=self.params,
            seed=self.seed,
            hold_out=self.hold_out,
            keep_items=self.keep_items,
            device=choose_device(self.device),
        )
        material = Material(
            X=X,
            y=y,
            ids=ids,
            memory=(memory,) if isinstance(memory, (str, Path, Dataset)) else tuple(memory),
            texts=None if texts is None else Path(texts),
            train=train,
            licence=licence,
            progress=progress,
        )
        encoder = self.encoder
        if isinstance(encoder, str):
            encoder = load_encoder(encoder, device=settings.device)
        found = fit_model(material, encoder, settings)
        self._model_, self.set_aside_, self.reject_, self._opened = found.model, found.set_aside, reject, encoder
        return self

    # -- keeping ---------------------------------------------------------------------------------------------------

    def save(self, folder: str | Path, *, onnx: bool = False) -> Path:
        """Write the classifier into a folder, over one that is there, and return the folder.

        It holds ``classifier.yaml``, arrays as safetensors, and a card, ``README.md``. The encoder is kept by name and
        hash; its weights are not copied. With ``onnx`` it also holds ``model.onnx``; see :meth:`to_onnx`.
        """
        from bench.classifier.card import card

        model = self._fitted()
        exported = self.to_onnx() if onnx else None
        write_folder(model, Path(folder), reject=self.reject_, card=card(model, reject=self.reject_), onnx=exported)
        return Path(folder)

    def to_onnx(self) -> bytes:
        """Return the scoring as an ONNX model, from features [n, d] to labels and probabilities.

        Needs the extra ``onnx``. It is run by onnxruntime and compared with this classifier first.

        Raises
        ------
        BenchError
            If the scores of the method are no product of the normalised feature with a matrix, or the extra is missing.
        """
        from bench.classifier.onnx_export import onnx_bytes

        return onnx_bytes(self._fitted())

    def require_free(self, folder: str | Path) -> None:
        """Raise :class:`BenchError` if a folder holds something that :meth:`save` would refuse to write over."""
        require_free(Path(folder))

    @classmethod
    def load(cls, folder: str | Path, *, encoder: str | Encoder | None = None, device: str = "cpu") -> Self:
        """Return the classifier of a folder; its arrays are mapped, and checked by their tree of hashes.

        Parameters
        ----------
        encoder : str or Encoder, optional
            Where the encoder is now, for a checkpoint that was moved. It is checked when images are first encoded.

        Raises
        ------
        BenchError
            If there is none, it was changed, or a newer version made it.
        """
        model, reject = read_folder(Path(folder))
        made = cls(
            model.method.name,
            params=defaults(model.method),
            encoder=encoder if encoder is not None or not model.reference.known else model.reference.name,
            seed=model.seed,
            reject=reject,
            hold_out=model.share,
            keep_items=model.items_kept,
            device=device,
        )
        made._model_, made.set_aside_, made.reject_, made._opened = model, (), reject, None
        return made

    # -- answering -------------------------------------------------------------------------------------------------

    @property
    def classes_(self) -> np.ndarray:
        """Class names in column order, str [c]."""
        return self._fitted().answers[:-1].copy()

    @property
    def label_(self) -> str:
        """What the method is called with its parameters."""
        return self._fitted().label

    @property
    def n_features_in_(self) -> int:
        """The number of dimensions d of the features it takes."""
        return self._fitted().dimension

    @property
    def log_(self) -> tuple[Mapping[str, Any], ...]:
        """The edits since it was fitted, oldest first."""
        return self._fitted().log

    @property
    def measured_(self) -> dict[str, Any]:
        """What it was fitted to and how many images it was found to answer rightly, as plain values.

        ``queries`` and ``held-out images`` are pairs (right, all), where there were any; ``images`` says whether it can
        be asked about images, and ``fitted_to`` how many items it has seen.
        """
        model = self._fitted()
        queries, found = model.about.get("queries"), model.calibration
        return {
            "fitted_to": model.about["items"],
            "images": model.reference.known,
            **({"queries": (queries["correct"], queries["images"])} if queries else {}),
            **({"held-out images": (found.correct, found.images)} if found.images else {}),
        }

    def features(self, X: Any) -> Tensor:
        """Return the features [n, d] of images, or features as they are.

        Raises
        ------
        BenchError
            For features of another dimension, images that cannot be used, and an encoder that is not the one fitted on.
        """
        if is_features(X):
            return as_features(X, self.n_features_in_)
        from bench.classifier.pictures import encode_images

        return encode_images(self.open_encoder(), images(X))

    def open_encoder(self) -> Encoder:
        """Return the encoder, loaded and checked the first time."""
        reference = self._fitted().reference
        if self._opened is None:
            if isinstance(self.encoder, Encoder):
                reference.check(self.encoder)
                self._opened = self.encoder
            else:
                other = self.encoder if self.encoder != reference.name else None
                self._opened = reference.open(device=choose_device(self.device), instead=other)
        return self._opened

    def decision_function(self, X: Any) -> np.ndarray:
        """Return the method's own scores, [n, c]; larger is closer."""
        return self._fitted().scores(self.features(X)).numpy()

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return calibrated probabilities, float64 [n, c]."""
        model = self._fitted()
        return model.probabilities(model.scores(self.features(X))).numpy()

    def predict(self, X: Any) -> np.ndarray:
        """Return the name of the class of each image or row, or "none of these", str [n]."""
        model = self._fitted()
        best, probability, _ = decided(model, model.scores(self.features(X)))
        return model.answers[np.where(probability.numpy() < self.reject_, len(model.names), best.numpy())]

    def score(self, X: Any, y: Sequence[Any]) -> float:
        """Return the share of right answers."""
        return float(np.mean(self.predict(X) == np.array([str(label) for label in y])))

    def answer(self, X: Any, *, neighbours: int = SHOWN, reject: float | None = None) -> list[Answer]:
        """Return an answer for each image or row: classes with probabilities, and the neighbours that decided.

        Parameters
        ----------
        neighbours : int
            Of each answer, at most; 0 saves the time of looking.
        reject : float, optional
            Another confidence below which the answer is "none of these".
        """
        least = self.reject_ if reject is None else checked(reject, 0.0)
        return answers(self._fitted(), self.features(X), neighbours=neighbours, reject=least)

    def explain(self, X: Any) -> list[Explanation]:
        """Return what each answer rests on: neighbours with their weights, and similarities to prototypes.

        Raises
        ------
        BenchError
            If the method cannot say.
        """
        return explained(self._fitted(), self.features(X))

    @property
    def model_(self) -> Model:
        """The fitted method with what it was built on, for receipts."""
        return self._fitted()

    # -- editing ---------------------------------------------------------------------------------------------------

    def add(
        self,
        X: Any,
        y: Sequence[Any] | str,
        *,
        ids: Sequence[str] | None = None,
        source: str | None = None,
        texts: Mapping[str, Any] | None = None,
    ) -> Self:
        """Add items, and classes that are new, exactly: as if the classifier had been fitted with them.

        Parameters
        ----------
        X : array or images
        y : sequence, or one name
            The class of each.
        ids : sequence of str, optional
            Names of the items; without them, paths of images, or hashes of rows.
        source : str, optional
            Add them to the memory under this source, rather than to the labelled images.
        texts : mapping of str to array [d], optional
            Text vectors of new classes, where there is no encoder that could make them.
        """
        model = self._fitted()
        x = self.features(X)
        if ids is None and not is_features(X):
            several = images(X)
            ids = [str(one) for one in several] if all(isinstance(one, (str, Path)) for one in several) else None
        labels = [y] * len(x) if isinstance(y, str) else [str(label) for label in y]
        new = [name for name in dict.fromkeys(labels) if name not in model.names]
        given = {name: as_features(np.asarray(v)[None], model.dimension)[0] for name, v in (texts or {}).items()}
        if new and len(model.task.prompts) and model.reference.templates and not set(new) <= set(given):
            given = {**self._texts_of(new), **given}
        device = choose_device(self.device)
        self._model_ = added(model, x, labels, ids=ids, source=source, texts=given, device=device)
        return self

    def remove(self, ids: Names = (), *, classes: Names = (), sources: Names = ()) -> Self:
        """Remove items by id, whole classes, and sources, exactly: as if the classifier had never seen them."""
        return self._removed(ids, classes, sources, erase=False)

    def forget(self, ids: Names = (), *, classes: Names = (), sources: Names = ()) -> Self:
        """Remove as :meth:`remove` does, and leave no name of what was removed in the log, but a hash."""
        return self._removed(ids, classes, sources, erase=True)

    def _removed(self, ids: Any, classes: Any, sources: Any, *, erase: bool) -> Self:
        several = [[one] if isinstance(one, str) else list(one) for one in (ids, classes, sources)]
        self._model_ = removed(
            self._fitted(),
            ids=several[0],
            classes=several[1],
            sources=several[2],
            erase=erase,
            device=choose_device(self.device),
        )
        return self

    def _texts_of(self, names: Sequence[str]) -> dict[str, Tensor]:
        encoder = self.open_encoder()
        templates = of_strings(self._fitted().reference.templates, "the classifier's templates")
        made = class_texts(encoder, [name.replace("_", " ") for name in names], templates)
        return dict(zip(names, made.x, strict=True))

    def _fitted(self) -> Model:
        if not hasattr(self, "_model_"):
            raise BenchError("the classifier is not fitted; call fit, or Classifier.load")
        return self._model_
