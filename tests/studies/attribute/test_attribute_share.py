"""Difference, share and verdict: by hand, on planted cases, and over many cases without a difference."""

import math

import numpy as np
import pytest
from scipy import stats

from repflow.core import interval
from repflow.studies.attribute.interval import ratio_span
from repflow.studies.attribute.share import ALIKE, BELOW, BOUNDS, UNCLEAR, Case, Verdict, share_of, verdict_of

SCHEMES = ("config", "normal", "xavier", "kaiming", "orthogonal", "permuted")
REPLICATES = 200


class World:
    """Per-example values of one quantity: what examples share, what they do not, and how far seeds are apart."""

    def __init__(self, seed: int, n: int, *, examples: float, noise: float, seeds: float) -> None:
        self.rng = np.random.default_rng(seed)
        self.n, self.noise, self.seeds = n, noise, seeds
        self.shared = self.rng.normal(0, examples, n)
        self.weights = self.rng.poisson(1.0, (n, REPLICATES)).astype(float)
        self.weights[0, self.weights.sum(0) == 0] = 1

    def draws(self, level: float, count: int) -> np.ndarray:
        """[count, n], each with an offset of its own seed."""
        offsets = self.rng.normal(0, self.seeds, (count, 1))
        return level + offsets + self.shared + self.rng.normal(0, self.noise, (count, self.n))

    def case(self, trained: np.ndarray, random: np.ndarray) -> Case:
        """Of trainings [trainings, n] and draws [draws, n]."""
        boot = lambda values: (values @ self.weights) / self.weights.sum(0)  # noqa: E731
        return Case(trained.mean(1), boot(trained), random.mean(1), boot(random), self.n)


def of(trained: float, random: float, *, n: int = 64, seeds: int = 5) -> Verdict:
    world = World(1, n, examples=0.02, noise=0.02, seeds=0.002)
    return share_of(world.case(world.draws(trained, 1), world.draws(random, seeds))).verdict


def verdict(trained: float, random: float, **more: int) -> str:
    return of(trained, random, **more).name


@pytest.mark.parametrize(
    ("trained", "random", "wanted"),
    [
        (0.5, 0.5, "architecture"),
        (0.5, 0.45, "architecture"),
        (0.5, 0.56, "architecture"),
        (0.3, 0.5, "reduced by training"),
        (0.218, 0.521, "reduced by training"),
        (0.5, 0.65, "reduced by training"),
        (0.5, 0.02, "training"),
        (0.5, -0.1, "training"),
        (0.5, 0.25, "mixed"),
        (0.5, 0.4, "undecided"),
        (0.5, 0.6, "undecided"),
        (0.5, 0.1, "undecided"),
    ],
)
def test_planted_shares_get_their_verdict(trained: float, random: float, wanted: str) -> None:
    assert verdict(trained, random) == wanted


def test_a_share_of_2_6_is_never_the_architectures() -> None:
    """Whatever the spreads: training took the likeness away."""
    for seed in range(40):
        world = World(seed, 32, examples=0.05, noise=0.05, seeds=0.02)
        found = verdict_of(world.case(world.draws(0.2, 1), world.draws(0.52, 3))).name
        assert found in ("reduced by training", "undecided")


def test_few_units_or_draws_are_undecided() -> None:
    assert verdict(0.5, 0.5, n=8) == "architecture"
    assert of(0.5, 0.5, n=7).reason == "7 units, needs 8"
    assert of(0.5, 0.02, seeds=2).reason == "2 draws, needs 3"
    assert of(0.5, 0.02, seeds=1).reason == "1 draw, needs 3"
    assert all(of(0.5, 0.5, **more).name == "undecided" for more in ({"n": 7}, {"seeds": 2}, {"seeds": 1}))


@pytest.mark.parametrize(
    ("trained", "random", "wanted", "said"),
    [
        (0.0, 0.0, "undecided", f"{UNCLEAR}: nothing to attribute"),
        (0.0, 0.4, "reduced by training", UNCLEAR),
        (-0.2, 0.4, "reduced by training", BELOW),
        (-0.2, -0.2, "undecided", f"{BELOW}: nothing to attribute"),
        (-0.2, -0.4, "undecided", f"{BELOW}: nothing to attribute"),
        (0.001, 0.002, "undecided", "nothing to attribute"),
    ],
)
def test_trained_values_of_nothing_or_less_have_no_share(trained: float, random: float, wanted: str, said: str) -> None:
    world = World(2, 32, examples=0.1, noise=0.05, seeds=0.002)
    world.shared -= world.shared.mean()
    world.noise = 0.02
    found = share_of(world.case(world.draws(trained, 1), world.draws(random, 5)))
    assert np.isnan(found.share).all()
    assert found.verdict.name == wanted
    assert said in found.verdict.reason
    assert np.isfinite(found.difference).all(), "the difference is there whatever the share"


def test_a_trained_value_of_exactly_nothing() -> None:
    case = Case(np.zeros(1), np.zeros((1, 50)), np.zeros(3), np.zeros((3, 50)), 30)
    assert share_of(case).verdict.name == "undecided"
    assert np.isnan(share_of(case).share).all()
    case = Case(np.zeros(1), np.zeros((1, 50)), np.full(3, 0.5), np.full((3, 50), 0.5), 30)
    assert share_of(case).verdict.name == "reduced by training"


@pytest.mark.parametrize("where", ["trained", "random", "random_replicates"])
def test_what_is_not_finite_gets_no_verdict(where: str) -> None:
    world = World(3, 32, examples=0.02, noise=0.02, seeds=0.002)
    case = world.case(world.draws(0.5, 1), world.draws(0.5, 5))
    getattr(case, where)[0] = np.nan
    found = share_of(case)
    assert found.verdict.name == "undecided"
    assert math.isnan(found.verdict.p)


@pytest.mark.parametrize(
    ("share", "spread", "wanted"),
    [
        (1.0, 0.01, "architecture"),
        (0.85, 0.01, "architecture"),
        (0.85, 0.06, "undecided"),
        (1.15, 0.01, "architecture"),
        (1.15, 0.06, "undecided"),
        (1.3, 0.01, "reduced by training"),
        (1.3, 0.1, "undecided"),
        (0.5, 0.02, "mixed"),
        (0.75, 0.05, "undecided"),
        (0.1, 0.02, "training"),
        (0.15, 0.1, "undecided"),
    ],
)
def test_the_whole_interval_decides(share: float, spread: float, wanted: str) -> None:
    """Draws apart by known spreads, units that do not vary: the interval is the draws' alone."""
    random = share + spread * np.array([-1.0, 1.0, -1.0, 1.0, 0.0])
    case = Case(np.ones(1), np.ones((1, 200)), random, np.repeat(random[:, None], 200, 1), 50)
    found = share_of(case)
    assert found.verdict.name == wanted
    low, high = found.share[1:]
    for name, bounds in BOUNDS.items():
        inside = name == wanted
        edges = {"training": (-np.inf, 0.2), "reduced by training": (1.2, np.inf)}.get(name, tuple(sorted(bounds)))
        assert (edges[0] < low and high < edges[1]) == inside


def test_a_wide_interval_says_what_narrows_it() -> None:
    for noise, seeds, wanted in ((0.01, 0.1, "more draws"), (0.4, 0.001, "more units")):
        world = World(1, 32, examples=0.0, noise=noise, seeds=seeds)
        trained = world.draws(0.5, 1)
        world.noise = 0.0
        assert wanted in share_of(world.case(trained, world.draws(0.4, 5))).verdict.reason
    world = World(1, 32, examples=0.0, noise=0.001, seeds=0.001)
    trainings = world.draws(0.5, 3) + np.array([[-0.1], [0.0], [0.1]])
    assert "more trainings" in share_of(world.case(trainings, world.draws(0.4, 5))).verdict.reason


def test_the_difference_takes_the_trained_weights_for_one_more_draw() -> None:
    random = np.array([0.4, 0.5, 0.6, 0.5, 0.5])
    case = Case(np.array([0.3]), np.full((1, 200), 0.3), random, np.repeat(random[:, None], 200, 1), 40)
    value, low, high = share_of(case).difference
    half = stats.t.ppf(0.975, 4) * random.std(ddof=1) * math.sqrt(1 + 1 / 5)
    assert (value, low, high) == pytest.approx((0.2, 0.2 - half, 0.2 + half))


def test_without_spread_between_draws_the_share_has_the_interval_of_the_ratio() -> None:
    world = World(3, 40, examples=0.1, noise=0.1, seeds=0.0)
    random = np.repeat(world.draws(0.3, 1), 3, axis=0)
    case = world.case(world.draws(0.5, 1), random)
    ratios = case.random_replicates[0] / case.trained_replicates[0]
    low, high = interval(ratios, 40)
    wanted = (random.mean() / case.trained[0], float(low), float(high))
    assert share_of(case).share == pytest.approx(wanted, abs=0.01), "but for the skewness of ratio and contrast"


def test_a_share_over_little_may_have_no_upper_end() -> None:
    """Trained 0.1 where draws are 0.1 apart: the trained value may be luck, and the share anything."""
    random = np.array([0.4, 0.5, 0.6, 0.4, 0.6])
    case = Case(np.array([0.1]), np.full((1, 200), 0.1), random, np.repeat(random[:, None], 200, 1), 40)
    value, low, high = share_of(case).share
    assert value == pytest.approx(5.0)
    assert 1.0 < low < 5.0
    assert high == math.inf
    assert ratio_span(math.nan, case.contrast)[0] is not None


def test_a_ratio_is_paired() -> None:
    """Units that differ much but alike for trained and random weights leave the share sharp."""
    world = World(4, 40, examples=0.2, noise=0.001, seeds=0.0)
    paired = share_of(world.case(world.draws(0.5, 1), world.draws(0.5, 3))).share
    assert paired[2] - paired[1] < 0.05


def test_trainings_taken_together_err_by_their_own_spread() -> None:
    trained, random = np.array([0.4, 0.5, 0.6]), np.array([0.45, 0.5, 0.55, 0.5, 0.5])
    case = Case(trained, np.repeat(trained[:, None], 200, 1), random, np.repeat(random[:, None], 200, 1), 40)
    found = share_of(case)
    own, other = trained.var(ddof=1) / 3, random.var(ddof=1) / 5
    freedom = (own + other) ** 2 / (own**2 / 2 + other**2 / 4)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(own + other)
    assert found.difference == pytest.approx((0.0, -half, half), abs=1e-9)
    assert found.trained[2] - 0.5 == pytest.approx(stats.t.ppf(0.975, 2) * math.sqrt(own))


def test_trainings_that_are_all_alike_have_no_known_error() -> None:
    """The same training three times over: its spread of 0 says nothing of what another would be."""
    world = World(5, 40, examples=0.05, noise=0.02, seeds=0.01)
    once, random = world.draws(0.5, 1), world.draws(0.5, 5)
    found = share_of(world.case(np.repeat(once, 3, axis=0), random))
    assert (found.verdict.name, found.verdict.reason) == ("undecided", ALIKE)
    assert np.isnan([found.verdict.p, *found.trained[1:], *found.difference[1:], *found.share[1:]]).all()


WORLDS = (
    {"n": 8, "examples": 0.1, "noise": 0.1, "seeds": 0.05},
    {"n": 16, "examples": 0.05, "noise": 0.05, "seeds": 0.02},
    {"n": 64, "examples": 0.1, "noise": 0.1, "seeds": 0.1},
    {"n": 64, "examples": 0.3, "noise": 0.3, "seeds": 0.0},
)


@pytest.mark.parametrize("settings", WORLDS, ids=lambda s: f"n={s['n']}, seeds={s['seeds']}")
def test_cases_without_a_difference_seldom_get_one(settings: dict[str, float]) -> None:
    """200 cases whose trained weights are one more draw: a verdict of difference in at most 5%."""
    told = 0
    for seed in range(200):
        world = World(seed, int(settings["n"]), **{k: v for k, v in settings.items() if k != "n"})
        case = world.case(world.draws(0.4, 1), world.draws(0.4, 3))
        told += verdict_of(case).name in ("training", "mixed", "reduced by training")
    assert told <= 10


def test_the_same_cases_with_a_difference_get_it() -> None:
    found = []
    for seed in range(20):
        world = World(seed, 32, examples=0.05, noise=0.05, seeds=0.005)
        found.append(verdict_of(world.case(world.draws(0.5, 1), world.draws(0.0, 5))).name)
    assert found.count("training") >= 18
