"""What cannot be probed, one clear line each."""

import numpy as np

from repflow.core import BadSetting, NotEnoughData
from repflow.studies.probe.linear.splits import FOLDS


def check_probeable(shape: tuple[int, ...], labels: np.ndarray, groups: np.ndarray, classes: int, seeds: int) -> None:
    """Whether `fit_probes` takes features of a shape [sites, examples, width] with these labels and groups.

    Needs no features yet, so that what cannot be probed is refused before a model reads it.
    Raises BadSetting for shapes, labels and counts that do not fit, NotEnoughData for too few groups or classes.
    """
    if len(shape) != 3 or 0 in shape:
        raise BadSetting(f"features have shape {shape}; give [sites, examples, width], none of them 0")
    for name, values in (("labels", labels), ("groups", groups)):
        if values.shape != shape[1:2] or values.dtype.kind not in "iu":
            raise BadSetting(
                f"{name} are {values.dtype} of shape {values.shape}; give one integer for each of {shape[1]} examples"
            )
    if seeds < 1:
        raise BadSetting(f"seeds is {seeds}; give at least 1")
    _check_classes(labels, classes)
    found, needed = len(np.unique(groups)), max(classes, FOLDS + 1)
    if found < needed:
        raise NotEnoughData(
            f"{found} groups (questions, or sets of pairs) for {classes} classes; "
            f"probes need at least {needed} groups: raise --examples"
        )


def _check_classes(labels: np.ndarray, classes: int) -> None:
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise BadSetting(f"labels run from {low} to {high}; with classes={classes} they must lie in 0..{classes - 1}")
    if low == high:
        raise NotEnoughData(f"every example has label {low}; a probe needs examples of at least 2 classes")
