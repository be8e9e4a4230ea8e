"""Confounds known in the field, planted: what must move does, what must not does not."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toolkit import Trajectory, add_sink, estimates, fill_padding, plant_offset, run, trajectory

from repflow.metrics.batch import Options
from repflow.metrics.calibration import calibration_from, moments
from repflow.metrics.path import CELLS
from repflow.metrics.registry import DEFAULT, METRICS, named
from repflow.metrics.session import Session

POLICIES = Options(policies=("all", "no_sink"), replicates=8)


def test_a_planted_sink_moves_cosines_and_norms_of_all_tokens_but_not_of_no_sink() -> None:
    made = trajectory(t=24, d=96, shared=0.0)
    planted = add_sink(made, 500.0, token=3, sites=[1, 2, 3])
    names = ["inter_token_cosine", "norm", "participation_ratio", "update_ratio", "adjacent_cosine"]
    before, after = (run(m, names, POLICIES) for m in (made, planted))
    for name in names:
        change = (estimates(after, name) - estimates(before, name)).abs().nan_to_num() / estimates(before, name).abs()
        assert float(change[:, 0, 0].nan_to_num().max()) > 0.02, name
        if name != "inter_token_cosine":
            assert float(change[:, 0, 1].nan_to_num().max()) < 0.05, name
    cosines = estimates(after, "inter_token_cosine")[:, 0, 1] - estimates(before, "inter_token_cosine")[:, 0, 1]
    assert float(cosines.abs().max()) < 0.01


def test_what_a_policy_drops_is_stored() -> None:
    made = trajectory(n=4, t=20, d=64, specials=2, lengths=(20, 20, 10, 10))
    planted = add_sink(made, 500.0, token=3, sites=[2])
    options = Options(policies=("all", "no_special", "no_sink"), replicates=2)
    states = run(planted, ["dropped_share"], options)
    share = estimates(states, "dropped_share")[:, 0]
    expected = torch.tensor([[torch.nan, 0.15, 0.15]]).expand(len(made.sites), -1).clone()
    expected[2, 2] += 0.075
    torch.testing.assert_close(share, expected.double(), rtol=0, atol=1e-7, equal_nan=True)
    assert states["counts"].tokens[2].tolist() == [60, 52, 48]
    assert states["counts"].tokens[0].tolist() == [60, 52, 52]


def test_a_sink_at_one_site_is_dropped_from_metrics_over_several_sites() -> None:
    made = trajectory(t=24, d=96)
    planted = add_sink(made, 500.0, token=3, sites=[2])
    without = Trajectory(
        made.sites,
        tuple(torch.cat([s[:, :3], s[:, 4:]], 1) for s in made.states),
        torch.cat([made.real[:, :3], made.real[:, 4:]], 1),
        torch.cat([made.special[:, :3], made.special[:, 4:]], 1),
        made.ids,
    )
    names = ["path", "token_cka"]
    measured, expected = (run(m, names, POLICIES) for m in (planted, without))
    for name in names:
        at = -1 if name == "path" else 0
        picked = (estimates(s, name).select(at, 1) for s in (measured, expected))
        torch.testing.assert_close(*picked, rtol=1e-4, atol=1e-4)


def test_a_rogue_feature_moves_the_raw_cosine_but_not_the_standardised_one() -> None:
    """Independent features, one of them shifted by 60 spreads: 0 becomes 0.82 at d = 768."""
    made = trajectory(n=4, t=24, d=768, blocks=1, shared=0.0, seed=1)
    others = trajectory(n=8, t=24, d=768, blocks=1, shared=0.0, seed=2)
    columns = [METRICS["inter_token_cosine"].variants.index(v) for v in ("raw", "standardised")]
    read = []
    for shift in (0.0, 60.0):
        planted, calibrating = (plant_offset(m, shift, feature=5) for m in (made, others))
        calibration = calibration_from([moments(s, calibrating.real) for s in calibrating.states])
        states = run(planted, ["inter_token_cosine"], POLICIES, calibration=calibration)
        read.append(estimates(states, "inter_token_cosine")[0, columns, 0])
    (raw_before, standardised_before), (raw_after, standardised_after) = (r.tolist() for r in read)
    assert abs(raw_before) < 0.01
    assert raw_after == pytest.approx(0.82, abs=0.02)
    assert standardised_after == pytest.approx(standardised_before, abs=1e-4)


def _offset_by(direction: torch.Tensor) -> tuple[dict[str, float], dict[str, float]]:
    """inter_token_cosine and feature_share by variant of independent tokens with an offset that all sequences share."""
    d = len(direction)
    made, others = (
        trajectory(n=4, t=24, d=d, blocks=1, shared=0.0, seed=s).mapped(lambda x: x + direction) for s in (1, 2)
    )
    calibration = calibration_from([moments(s, others.real) for s in others.states])
    names = ["inter_token_cosine", "feature_share"]
    states = run(made, names, POLICIES, calibration=calibration)
    return tuple(dict(zip(METRICS[n].variants, estimates(states, n)[0, :, 0].tolist(), strict=True)) for n in names)


def test_an_offset_of_all_features_is_not_called_a_few_features() -> None:
    """Centring takes it away as it would a rogue feature; only the shares tell the two apart."""
    draw = torch.Generator().manual_seed(3)
    cosine, share = _offset_by(2.0 * torch.randn(768, generator=draw).sign())
    assert cosine["raw"] > 0.75
    assert abs(cosine["centred"]) < 0.02
    assert share["k=3"] < 0.02
    assert share["k=10%"] < 0.2


@pytest.mark.parametrize("features", [1, 3])
def test_a_few_features_that_carry_the_likeness_are_told(features: int) -> None:
    cosine, share = _offset_by(torch.where(torch.arange(768) < features, 60.0 / features**0.5, 0.0))
    assert cosine["raw"] > 0.75
    assert abs(cosine["centred"]) < 0.02
    assert share[f"k={features}"] > 0.97


def test_without_likeness_there_is_no_share_to_tell() -> None:
    made = trajectory(n=2, t=6, d=8, blocks=1, shared=0.0)
    opposed = made.mapped(lambda s: torch.cat([s[:, :3], -s[:, :3]], 1))
    states = run(opposed, ["feature_share", "inter_token_cosine"], POLICIES)
    assert float(estimates(states, "inter_token_cosine")[:, 0].max()) < 0
    assert estimates(states, "feature_share").isnan().all()


def test_the_sequences_own_mean_is_not_used_to_standardise() -> None:
    """It would force -1/(n-1) whatever the data."""
    made, others = trajectory(n=4, t=10, d=64, seed=1), trajectory(n=8, t=10, d=64, seed=2)
    calibration = calibration_from([moments(s, others.real) for s in others.states])
    value = estimates(run(made, ["inter_token_cosine"], calibration=calibration), "inter_token_cosine")[:, 1, 0]
    assert float(value.min()) > 0.05


def test_the_update_stands_beside_the_adjacent_cosine_by_default() -> None:
    assert {"adjacent_cosine", "update_ratio", "update_cosine"} <= set(DEFAULT)
    quiet = trajectory(d=256, step=0.05, shared=0.0)
    states = run(quiet, ["adjacent_cosine", "update_ratio", "update_cosine"])
    blocks = slice(1, len(quiet.sites) - 1)
    assert float(estimates(states, "adjacent_cosine")[blocks, 0, 0].min()) > 0.99
    assert float(estimates(states, "update_ratio")[blocks, 0, 0].max()) < 0.06
    assert float(estimates(states, "update_cosine")[blocks, 0, 0].abs().max()) < 0.05


def test_entropy_is_that_of_the_eigenvalues_and_no_entry_is_clamped() -> None:
    """Rows that point apart have negative Gram entries; clamping those would read log 2 here."""
    made = trajectory(n=4, t=6, d=8)
    line = made.states[0][:, :1] * torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0, -1.0])[:, None]
    opposed = Trajectory(made.sites, tuple(line for _ in made.sites), made.real, made.special, made.ids)
    value = estimates(run(opposed, ["von_neumann_entropy"]), "von_neumann_entropy")
    torch.testing.assert_close(value, torch.zeros_like(value), rtol=0, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_writes_its_residual_stream_in_place_is_measured_all_the_same(dtype: torch.dtype) -> None:
    made = fill_padding(trajectory(), 0.0).mapped(lambda s: s.to(dtype))
    names = ["update_ratio", "adjacent_cosine", "path", "token_cka", "example_cka"]
    session = Session(named(names), made.batch(POLICIES))
    stream = made.states[0].clone()
    for site, state in zip(made.sites, made.states, strict=True):
        session.see(site, stream.copy_(state))
    stream.zero_()
    measured, expected = session.finish(), run(made, names, POLICIES)
    for name in names:
        torch.testing.assert_close(estimates(measured, name), estimates(expected, name), equal_nan=True)


def _walk(seed: int, blocks: int, d: int, spread: float) -> Trajectory:
    """One token's path with steps of very different size."""
    draw = torch.Generator().manual_seed(seed)
    steps = torch.randn(blocks + 1, 1, 1, d, generator=draw)
    sizes = torch.exp(spread * torch.randn(blocks + 1, 1, 1, 1, generator=draw))
    points = (steps * sizes).cumsum(0)
    made = trajectory(n=1, t=1, d=d, blocks=blocks)
    return Trajectory(made.sites, (*points, points[-1]), made.real, made.special, made.ids)


def _path(made: Trajectory) -> dict[tuple[str, str], float]:
    values = estimates(run(made, ["path"], POLICIES), "path")[:, 0].tolist()
    return dict(zip(CELLS, values, strict=True))


walks = st.builds(_walk, st.integers(0, 10**6), st.integers(1, 9), st.integers(1, 6), st.floats(0, 2))


@settings(max_examples=40, deadline=None)
@given(made=walks)
def test_the_discrete_poincare_inequality_holds_on_every_path(made: Trajectory) -> None:
    read, steps = _path(made), len(made.sites) - 2
    for scale in ("raw", "rms", "unit"):
        bound = steps * read["v_loc", scale] / (4 * (steps + 1) * math.sin(math.pi / (2 * (steps + 1))) ** 2)
        rounding = 1e-5 if scale == "unit" else 1e-6  # directions of norms that differ a hundredfold
        assert read["v_glob", scale] <= bound * (1 + 1e-4) + rounding


@settings(max_examples=40, deadline=None)
@given(made=walks)
def test_no_path_of_bounded_steps_spreads_past_the_cubic_envelope(made: Trajectory) -> None:
    n = len(made.sites) - 1
    longest = max(float((b - a).norm()) for a, b in zip(made.states, made.states[1:], strict=False))
    assert n * _path(made)["v_glob", "raw"] <= longest**2 * n * (n**2 - 1) / 12 * (1 + 1e-5)


@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_the_straight_line_attains_the_cubic_envelope(blocks: int) -> None:
    direction = torch.tensor([3.0, 0.0, 4.0])
    made = trajectory(n=1, t=1, d=3, blocks=blocks)
    line = tuple((i * direction + 1.0)[None, None] for i in range(blocks + 1))
    read, n = _path(Trajectory(made.sites, (*line, line[-1]), made.real, made.special, made.ids)), blocks + 1
    assert n * read["v_glob", "raw"] == pytest.approx(25 * n * (n**2 - 1) / 12, rel=1e-6)
    assert read["tortuosity", "raw"] == pytest.approx(1.0)
    assert math.isnan(read["depth_curvature", "raw"]) if blocks == 1 else read["depth_curvature", "raw"] < 1e-3


def test_the_final_norm_is_no_part_of_a_path() -> None:
    made = trajectory()
    other = Trajectory(made.sites, (*made.states[:-1], 1e3 * made.states[0]), made.real, made.special, made.ids)
    torch.testing.assert_close(estimates(run(made, ["path"]), "path"), estimates(run(other, ["path"]), "path"))
