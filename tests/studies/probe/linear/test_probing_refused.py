"""What cannot be probed: one clear line each."""

import numpy as np
import pytest
from probing_planted import crossed

from repflow.core import BadSetting, CallerError, ModelProblem, NotEnoughData, UnknownName
from repflow.studies.probe.linear import fit_probes

DATA = crossed((1.0, 0.0), groups=20)
LABELS, GROUPS = DATA.labels, DATA.groups

REFUSED = {
    "fewer groups than classes": (
        {"classes": 30},
        NotEnoughData,
        "20 groups .* for 30 classes; probes need at least 30 groups: raise --examples",
    ),
    "fewer groups than folds": ({"groups": GROUPS % 4}, NotEnoughData, "4 groups .* at least 6"),
    "one class": ({"labels": LABELS * 0 + 2}, NotEnoughData, "every example has label 2; .* at least 2 classes"),
    "label too large": ({"classes": 3}, BadSetting, r"labels run from 0 to 3; .* 0\.\.2"),
    "label negative": ({"labels": LABELS - 1}, BadSetting, "labels run from -1 to 2"),
    "labels too few": ({"labels": LABELS[1:]}, BadSetting, r"labels are int64 of shape \(79,\); .* 80 examples"),
    "groups of another type": ({"groups": GROUPS * 0.5}, BadSetting, "groups are float64"),
    "features flat": (
        {"features": DATA.features[0]},
        BadSetting,
        r"shape \(80, 24\); give \[sites, examples, width\]",
    ),
    "no sites": ({"features": DATA.features[:0]}, BadSetting, "none of them 0"),
    "no seeds": ({"seeds": 0}, BadSetting, "seeds is 0; give at least 1"),
    "solver": ({"solver": "adma"}, UnknownName, "unknown solver 'adma'; did you mean adam"),
    "memory": ({"memory": 1000}, BadSetting, "one site need about .* MiB, 0.0 MiB are given; give more memory"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_in_one_line(case: str) -> None:
    given, error, message = REFUSED[case]
    arguments = {"features": DATA.features, "labels": LABELS, "groups": GROUPS, "classes": 4} | given
    with pytest.raises(error, match=message) as caught:
        fit_probes(**arguments)
    assert isinstance(caught.value, CallerError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_not_finite_are_named_by_site(value: float) -> None:
    features = DATA.features.copy()
    features[1, 7, 3] = value
    with pytest.raises(ModelProblem, match=r"site 1 \(from 0\) are not finite"):
        fit_probes(features, LABELS, GROUPS, classes=4, seeds=1)
