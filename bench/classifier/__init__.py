"""Classifiers that are kept: a method with its state, encoder by reference, calibration and log, in one folder."""

from bench.classifier.estimator import Classifier

__all__ = ["Classifier"]
