"""Every per-site and path metric against its textbook formula in float64, hard cases included."""

from functools import cache
from typing import Any

import comparison
import numpy as np
import pytest
import torch
import twins
from comparison import CASES, case, examples
from toolkit import QUICK, Trajectory, estimates, run, trajectory

from repflow.metrics.calibration import Calibration, calibration_from, moments
from repflow.metrics.path import CELLS
from repflow.metrics.registry import METRICS
from repflow.metrics.states import Means

VARIANTS = [(metric, variant) for metric, variants in twins.SITE_TWINS.items() for variant in variants]

RELATIVE = {"plain": 1e-5, "sink": 1e-4, "offset": 1e-4, "small_steps": 1e-4, "growing": 1e-4}

LOG_OF_ONE_DIRECTION = {("renyi2_entropy", "uncentred"), ("von_neumann_entropy", "uncentred")}
"""Near 0 where all tokens share a direction; held to 1e-6 absolute there."""


def test_every_site_metric_has_a_twin() -> None:
    per_site = {name for name, metric in METRICS.items() if metric.state is Means and name != "path"}
    assert per_site == {*twins.SITE_TWINS, "feature_share"}


@cache
def _states(name: str) -> dict[str, Any]:
    return run(case(name))


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("metric", "variant"), VARIANTS)
def test_a_site_metric_is_its_formula(name: str, metric: str, variant: str) -> None:
    column = METRICS[metric].variants.index(variant)
    measured = estimates(_states(name), metric)[:, column].numpy()
    absolute = 1e-6 if (metric, variant) in LOG_OF_ONE_DIRECTION else 1e-9
    expected = comparison.site_twin(name, metric, variant)
    np.testing.assert_allclose(measured, expected, rtol=RELATIVE[name], atol=absolute, equal_nan=True)
    assert np.isfinite(expected).any()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("metric", "scale"), CELLS)
def test_a_path_metric_is_its_formula(name: str, metric: str, scale: str) -> None:
    measured = estimates(_states(name), "path")[CELLS.index((metric, scale))].numpy()
    made = examples(case(name))
    expected = [
        twins.mean([twins.path_of_example(e, metric, scale, policy) for e in made]) for policy in QUICK.policies
    ]
    np.testing.assert_allclose(measured, expected, rtol=RELATIVE[name])


def test_offsets_that_no_example_is_long_enough_for_have_no_value() -> None:
    values = estimates(_states("plain"), "offset_cosine")
    assert METRICS["offset_cosine"].variants[:4] == ("k=1", "k=2", "k=4", "k=8")
    assert values[:, 4:].isnan().all()


def _calibration(made: Trajectory) -> Calibration:
    return calibration_from([moments(s, made.real) for s in made.states])


def _shifted(made: Trajectory, by: Trajectory, variant: str) -> list[twins.Example]:
    """The twins' examples with every feature centred, or z-scored, by the other examples' mean and spread."""
    rows = [np.concatenate([e.x[s] for e in examples(by)]) for s in range(len(by.sites))]
    spread = [r.std(0) if variant == "standardised" else 1.0 for r in rows]
    return [
        twins.Example(
            [(x - r.mean(0)) / s for x, r, s in zip(e.x, rows, spread, strict=True)], e.special, e.is_final_norm
        )
        for e in examples(made)
    ]


SHIFTED = [(m, v) for m in ("adjacent_cosine", "inter_token_cosine") for v in ("centred", "standardised")]


@pytest.mark.parametrize(("metric", "variant"), SHIFTED)
def test_shifted_variants_are_cosines_of_centred_rows_and_z_scores(metric: str, variant: str) -> None:
    made = case("plain")
    others = trajectory(n=8, t=16, d=64, blocks=4, lengths=(16, 3, 9, 16, 16, 7, 16, 2), size=20.0, seed=5)
    measured = estimates(run(made, [metric], calibration=_calibration(others)), metric)
    column = METRICS[metric].variants.index(variant)
    # Policies are judged on the model's own norms: only `all` and `no_special` are the same for shifted rows.
    expected = comparison.site_values(_shifted(made, others, variant), metric, "raw", len(made.sites))[:, :2]
    np.testing.assert_allclose(measured[:, column, :2].numpy(), expected, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize(("metric", "variant"), SHIFTED)
def test_without_a_calibration_set_shifted_variants_have_no_value(metric: str, variant: str) -> None:
    column = METRICS[metric].variants.index(variant)
    assert estimates(_states("plain"), metric)[:, column].isnan().all()


@pytest.mark.parametrize("name", CASES)
def test_feature_share_is_its_formula(name: str) -> None:
    """A ratio of sums over examples, each k over all features."""
    measured = estimates(_states(name), "feature_share")
    for column, k in enumerate((1, 3, 10, 6)):
        twin = twins.feature_share(k)
        for s in range(len(case(name).sites)):
            for p, policy in enumerate(QUICK.policies):
                parts = np.array([twin(e, s, policy) for e in examples(case(name))])
                part, whole = np.nansum(parts, axis=0)
                expected = part / whole if whole > 0 else np.nan
                np.testing.assert_allclose(float(measured[s, column, p]), expected, rtol=1e-3, atol=1e-4)


BFLOAT = [v for v in VARIANTS if v[0] != "dropped_share"]


@pytest.mark.parametrize(("metric", "variant"), BFLOAT)
def test_bfloat16_states_read_within_a_hundredth_of_float32(metric: str, variant: str) -> None:
    low = comparison.clean(case("plain")).mapped(lambda s: s.to(torch.bfloat16))
    measured = estimates(run(low, [metric]), metric)[:, METRICS[metric].variants.index(variant)].numpy()
    np.testing.assert_allclose(measured, comparison.site_twin("plain", metric, variant), rtol=1e-2, atol=2e-3)


def test_bfloat16_path_metrics_read_within_a_hundredth_of_float32() -> None:
    low = comparison.clean(case("plain")).mapped(lambda s: s.to(torch.bfloat16))
    torch.testing.assert_close(
        estimates(run(low, ["path"]), "path"), estimates(_states("plain"), "path"), rtol=1e-2, atol=0.0
    )


def test_a_block_that_does_nothing_leaves_the_other_turns_in_depth_curvature() -> None:
    made = case("plain")
    idle = (made.states[0], made.states[1], made.states[2], made.states[2], made.states[4], made.states[5])
    idle_pass = Trajectory(made.sites, idle, made.real, made.special, made.ids)
    measured = estimates(run(idle_pass, ["path"]), "path")[CELLS.index(("depth_curvature", "raw")), 0]
    expected = twins.mean([twins.path_of_example(e, "depth_curvature", "raw", "all") for e in examples(idle_pass)])
    assert float(measured) == pytest.approx(expected, rel=1e-4)
