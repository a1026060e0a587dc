"""The settings of a classifier, as scikit-learn's estimators hold theirs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from bench.classifier.calibration import SHARE
from bench.encoders.encoder import Encoder
from bench.utils.errors import BenchError

_SETTINGS = ("method", "params", "encoder", "seed", "reject", "hold_out", "keep_items", "device")


class Settings:
    """What a classifier is told before it is fitted; see :class:`bench.classifier.estimator.Classifier`."""

    def __init__(
        self,
        method: Any = "protonet",
        *,
        params: Mapping[str, Any] | None = None,
        encoder: str | Encoder | None = None,
        seed: int = 0,
        reject: float = 0.0,
        hold_out: float = SHARE,
        keep_items: bool = True,
        device: str = "cpu",
    ) -> None:
        self.method = method
        self.params = params
        self.encoder = encoder
        self.seed = seed
        self.reject = reject
        self.hold_out = hold_out
        self.keep_items = keep_items
        self.device = device

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the settings, as scikit-learn's estimators do."""
        return {name: getattr(self, name) for name in _SETTINGS}

    def set_params(self, **settings: Any) -> Self:
        """Change settings, as scikit-learn's estimators do; they count from the next fit."""
        for name, value in settings.items():
            if name not in _SETTINGS:
                raise BenchError(f"a classifier has no setting {name!r}; it has {', '.join(_SETTINGS)}")
            setattr(self, name, value)
        return self

    def __sklearn_tags__(self) -> Any:
        from sklearn.utils import ClassifierTags, Tags, TargetTags

        return Tags(
            estimator_type="classifier", target_tags=TargetTags(required=True), classifier_tags=ClassifierTags()
        )

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "_model_")

    def __repr__(self) -> str:
        others = [f"{n}={getattr(self, n)!r}" for n in _SETTINGS[1:] if getattr(self, n) is not None]
        fitted = ", fitted" if self.__sklearn_is_fitted__() else ""
        return f"<Classifier {', '.join([repr(self.method), *others])}{fitted}>"


def checked(reject: float, share: float) -> float:
    """Return the confidence below which the answer is "none of these"; what is no confidence or share is refused."""
    if not 0 <= reject < 1:
        raise BenchError(f"reject={reject!r} is no confidence; give a number from 0 up to, but not, 1")
    if not 0 <= share <= 0.5:
        raise BenchError(f"hold_out={share!r} is no share of the images; give a number from 0 to 0.5")
    return float(reject)
