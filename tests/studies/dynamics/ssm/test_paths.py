"""The two inequalities of paths: they hold, on made-up and on real paths, and their attaining paths reach 1."""

import json
import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from repflow.core import Example, sites_for
from repflow.engines import Forgetful, Job, Reader, run_job
from repflow.metrics import Batch, Options, Session, merge, pack, unpack
from repflow.models import load
from repflow.models.families import FAMILIES
from repflow.studies.dynamics.ssm.paths import BOUNDS, PathBounds, PathUse
from repflow.studies.kit.progress import Silent

OPTIONS = Options(policies=("all", "no_sink"), replicates=40)
ROUNDING = 1e-5


def measured(points: torch.Tensor, real: torch.Tensor | None = None, first: int = 0) -> PathUse:
    """The state of examples whose paths are `points` [l, n, t, d]; their ids begin at `first`."""
    _, n, t, _ = points.shape
    real = torch.ones(n, t, dtype=torch.bool) if real is None else real
    sites = sites_for(len(points) - 1)
    session = Session([PathBounds()], Batch(tuple(range(first, first + n)), real, ~real & False, sites, OPTIONS))
    for site, states in zip(sites, [*points, torch.randn(n, t, points.shape[-1])], strict=True):
        session.see(site, states)
    return session.finish()["path_bounds"]


def uses(path: np.ndarray) -> tuple[float, float]:
    """Both uses of one path [n, d], from the formulas, the scatter by all pairs."""
    n = len(path)
    steps = [float(np.linalg.norm(b - a)) for a, b in pairwise(path)]
    scatter = sum(float((a - b) @ (a - b)) for a in path for b in path) / (2 * n)
    v_loc = sum(step**2 for step in steps) / (n - 1)
    bound = (n - 1) * v_loc / (4 * n * math.sin(math.pi / (2 * n)) ** 2)
    return scatter / (max(steps) ** 2 * n * (n**2 - 1) / 12), scatter / n / bound


def walk(seed: int, points: int, n: int, t: int, d: int, drift: float, growth: float) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    steps = torch.randn(points, n, t, d, generator=draw) + drift * torch.randn(1, n, t, d, generator=draw)
    return (steps * growth ** torch.arange(points)[:, None, None, None]).cumsum(0)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    points=st.integers(2, 30),
    d=st.integers(1, 12),
    drift=st.sampled_from([0.0, 1.0, 30.0]),
    growth=st.sampled_from([0.7, 1.0, 1.5]),
)
def test_both_hold_on_any_path(seed: int, points: int, d: int, drift: float, growth: float) -> None:
    found = measured(walk(seed, points, 2, 3, d, drift, growth))
    assert (found.most <= 1 + ROUNDING).all()
    assert (found.most > 0).all()
    assert (found.paths[:, 0] == 6).all()


@pytest.mark.parametrize("points", [2, 3, 7, 25])
def test_the_straight_line_attains_the_envelope_and_the_slowest_wave_poincare(points: int) -> None:
    direction = torch.randn(8, generator=torch.Generator().manual_seed(0))
    index = torch.arange(points, dtype=torch.float64)
    line = measured((index[:, None] * direction).float()[:, None, None])
    wave = torch.cos(math.pi * (index + 0.5) / points)
    assert line.most[BOUNDS.index("envelope"), 0] == pytest.approx(1.0, abs=ROUNDING)
    waved = measured((wave[:, None] * direction).float()[:, None, None])
    assert waved.most[BOUNDS.index("poincare"), 0] == pytest.approx(1.0, abs=ROUNDING)
    if points > 3:
        assert line.most[BOUNDS.index("poincare"), 0] < 1 - 1e-3
        assert waved.most[BOUNDS.index("envelope"), 0] < 1 - 1e-3


def test_values_are_the_formulas() -> None:
    points = walk(1, 6, 3, 5, 4, 1.0, 1.2)
    real = torch.arange(5) < torch.tensor([5, 3, 4])[:, None]
    found = measured(points, real).value()[:, :, 0, 0]
    per_example = []
    for i, row in enumerate(real):
        kept = points[:, i, row].double().numpy()
        per_example.append(np.mean([uses(kept[:, t]) for t in range(kept.shape[1])], 0))
    np.testing.assert_allclose(found[:, 2].numpy(), np.mean(per_example, 0), rtol=1e-5)
    assert measured(points, real).paths[:, 0].tolist() == [12, 12]
    path = points[:, 1, 0].double().numpy()
    scale = (path**2).sum(-1).mean()
    alone = measured(points[:, 1:2, :1]).value()[:, :, 0, 0]
    scatter = ((path - path.mean(0)) ** 2).sum()
    np.testing.assert_allclose(alone[:, 1].numpy(), [scatter / scale, scatter / scale / 6], rtol=1e-5)
    np.testing.assert_allclose((alone[:, 1] / alone[:, 0]).numpy(), uses(path), rtol=1e-5)


def test_laws_of_the_state() -> None:
    points = walk(2, 5, 6, 4, 8, 1.0, 1.1)
    whole = measured(points)
    parts: Sequence[PathUse] = [measured(points[:, i : i + 2], first=i) for i in (0, 2, 4)]
    assert_same(parts[0].merge(parts[1]).merge(parts[2]), whole)
    assert_same(parts[2].merge(parts[1].merge(parts[0])), whole)
    empty = measured(points[:, :0])
    for merged in (whole.merge(empty), empty.merge(whole)):
        assert_same(merged, whole, 0.0)
    arrays, meta = pack(whole)
    assert_same(unpack(PathUse, arrays, json.loads(json.dumps(meta))), whole, 0.0)


def test_a_path_that_stands_still_or_breaks_does_not_count() -> None:
    points = walk(3, 5, 3, 4, 8, 1.0, 1.1)
    points[:, 0, 1] = points[0, 0, 1]
    points[2, 1, 3] = torch.nan
    found = measured(points)
    assert found.paths[:, 0].tolist() == [7, 7], "three of the first example, none of the second, four of the third"
    assert found.count[:, 2, 0].tolist() == [2, 2]


def assert_same(a: PathUse, b: PathUse, rtol: float = 1e-6) -> None:
    for left, right in zip(pack(a)[0].items(), pack(b)[0].items(), strict=True):
        assert left[0] == right[0]
        np.testing.assert_allclose(left[1], right[1], rtol=rtol)


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_both_hold_on_every_path_of_every_family(family: str) -> None:
    subject = load(f"config:{family},layers=4,width=32")
    draw = np.random.default_rng(0)
    given = tuple(Example(i, tuple(draw.integers(0, 200, 11 + i).tolist())) for i in range(3))
    reader = Reader("s", subject.model, subject.forward, subject.taps, (), subject.device, 64)
    job = Job("k", given, (), (PathBounds(),), OPTIONS, 2)
    found = run_job(reader, job, Forgetful(), Silent()).states["path_bounds"]
    assert (found.most <= 1 + ROUNDING).all()
    assert (found.most > 0).all()
    assert found.paths[:, 0].tolist() == [36, 36]
    assert merge({"path_bounds": found}, {"path_bounds": found})["path_bounds"].paths[0, 0] == 72
