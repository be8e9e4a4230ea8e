"""Calibration moments, standardising, and the profile's smoothness and stability."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repflow.metrics.calibration import calibration_from, merge_moments, moments
from repflow.metrics.profile import smoothness, stability

ROWS = torch.randn(6, 5, 4, generator=torch.Generator().manual_seed(0)) * 0.1 + 300.0
KEEP = torch.arange(5) < torch.tensor([5, 2, 0, 4, 1, 5])[:, None]


def test_moments_are_those_of_the_counted_rows_at_a_large_mean() -> None:
    found = moments(ROWS, KEEP)
    rows = ROWS[KEEP].double().numpy()
    assert found.n == 17
    np.testing.assert_allclose(found.mean.numpy(), rows.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.scatter.numpy(), rows.var(0) * 17, rtol=1e-9)


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(6)), cut=st.integers(0, 6))
def test_moments_merge_in_any_split(order: list[int], cut: int) -> None:
    parts = [moments(ROWS[part], KEEP[part]) for part in (order[:cut], order[cut:])]
    merged, whole = merge_moments(*parts), moments(ROWS, KEEP)
    assert merged.n == whole.n
    np.testing.assert_allclose(merged.mean.numpy(), whole.mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(merged.scatter.numpy(), whole.scatter.numpy(), rtol=1e-8)


def test_no_rows_are_the_identity_of_merging() -> None:
    nothing, whole = moments(ROWS, torch.zeros_like(KEEP)), moments(ROWS, KEEP)
    for merged in (merge_moments(nothing, whole), merge_moments(whole, nothing)):
        assert merged.n == whole.n
        assert torch.equal(merged.mean, whole.mean)
        assert torch.equal(merged.scatter, whole.scatter)
    assert merge_moments(nothing, nothing).n == 0


def test_standardised_features_have_mean_zero_and_spread_one() -> None:
    mean, inverse = calibration_from([moments(ROWS, KEEP)]).at(0)
    z = ((ROWS[KEEP] - mean) * inverse).double().numpy()
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), 1, rtol=1e-3)


@pytest.mark.parametrize("value", [0.1, 1e-8, 12345.678])
def test_a_feature_that_never_varies_becomes_zero_also_after_merging(value: float) -> None:
    rows = ROWS.clone()
    rows[..., 2] = value
    parts = [moments(rows[i : i + 2], KEEP[i : i + 2]) for i in (0, 2, 4)]
    mean, inverse = calibration_from([merge_moments(merge_moments(parts[0], parts[1]), parts[2])]).at(0)
    assert float(inverse[2]) == 0.0
    assert (((rows - mean) * inverse)[..., 2] == 0).all()


def test_half_precision_states_calibrate_as_their_float32() -> None:
    low = ROWS.to(torch.bfloat16)
    assert torch.equal(moments(low, KEEP).scatter, moments(low.float(), KEEP).scatter)


def test_an_example_that_is_not_finite_does_not_spoil_the_calibration() -> None:
    rows = ROWS.clone()
    rows[3, 0, 1] = torch.nan
    mean, inverse = calibration_from([moments(rows, KEEP)]).at(0)
    assert torch.isfinite(mean).all()
    assert (inverse > 0).all()


PROFILE = torch.tensor([[0.9, 0.7, 0.8, 0.2], [1.0, 1.0, 1.0, 1.0]], dtype=torch.float64)


def test_smoothness_is_the_mean_squared_change_and_stability_the_variance() -> None:
    expected = [((0.2**2) + (0.1**2) + (0.6**2)) / 3, 0.0]
    np.testing.assert_allclose(smoothness(PROFILE).numpy(), expected, atol=1e-12)
    np.testing.assert_allclose(stability(PROFILE).numpy(), PROFILE.numpy().var(1), atol=1e-12)


def test_a_profile_of_one_entry_is_stable_and_has_no_smoothness() -> None:
    assert smoothness(PROFILE[:, :1]).isnan().all()
    assert (stability(PROFILE[:, :1]) == 0).all()
