"""The share, its interval and its verdict: by hand, on planted cases, and over many cases without a difference."""

import math

import numpy as np
import pytest
from scipy import stats

from repflow.core import interval
from repflow.core.attribution_records import ShareRow
from repflow.studies.attribute_share import MORE, Case, share_of, spanned, verdict_of, widened
from repflow.studies.attribute_verdict import CLAIMS, findings_of, over_schemes

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
        boot = lambda values: (values @ self.weights) / self.weights.sum(0)  # noqa: E731
        return Case(float(trained.mean()), boot(trained), random.mean(1), boot(random), self.n)


def verdict(trained: float, random: float, *, n: int = 64, seeds: int = 3) -> str:
    world = World(1, n, examples=0.02, noise=0.02, seeds=0.002)
    return share_of(world.case(world.draws(trained, 1)[0], world.draws(random, seeds))).verdict


@pytest.mark.parametrize(
    ("trained", "random", "wanted"),
    [
        (0.5, 0.5, "architecture"),
        (0.3, 0.5, "architecture"),
        (0.5, 0.02, "training"),
        (0.5, -0.1, "training"),
        (0.5, 0.25, "mixed"),
        (0.5, 0.4, "undecided"),
        (0.5, 0.1, "undecided"),
        (0.0, 0.5, "undecided"),
        (-0.2, -0.2, "undecided"),
    ],
)
def test_planted_shares_get_their_verdict(trained: float, random: float, wanted: str) -> None:
    assert verdict(trained, random) == wanted


def test_few_examples_or_seeds_are_undecided() -> None:
    assert verdict(0.5, 0.5, n=8) == "architecture"
    assert verdict(0.5, 0.5, n=7) == "undecided"
    assert verdict(0.5, 0.02, seeds=2) == "undecided"
    assert verdict_of((1.0, 0.9, 1.1), 7, 3) == ("undecided", "7 examples, needs 8")
    assert verdict_of((1.0, 0.9, 1.1), 8, 2) == ("undecided", "2 seeds, needs 3")


def test_a_trained_value_at_the_floor_leaves_nothing_to_attribute() -> None:
    world = World(2, 32, examples=0.1, noise=0.1, seeds=0.0)
    found = share_of(world.case(world.draws(0.01, 1)[0], world.draws(0.4, 3)))
    assert np.isnan(found.share).all()
    assert "nothing to attribute" in found.reason


@pytest.mark.parametrize(
    ("low", "high", "wanted"),
    [
        (0.8, 1.2, "architecture"),
        (0.799, 1.2, "undecided"),
        (0.2, 0.799, "mixed"),
        (0.2, 0.8, "undecided"),
        (0.199, 0.5, "undecided"),
        (-0.1, 0.199, "training"),
        (-0.1, 0.2, "undecided"),
    ],
)
def test_the_whole_interval_decides(low: float, high: float, wanted: str) -> None:
    assert verdict_of(((low + high) / 2, low, high), 30, 3)[0] == wanted


def test_a_wide_interval_says_what_narrows_it() -> None:
    for noise, seeds, wanted in ((0.01, 0.1, "more seeds"), (0.4, 0.001, "more examples")):
        world = World(1, 32, examples=0.0, noise=noise, seeds=seeds)
        trained = world.draws(0.5, 1)[0]
        world.noise = 0.0
        assert wanted in share_of(world.case(trained, world.draws(0.4, 3))).reason


def test_more_than_the_trained_weights_give_is_said() -> None:
    assert verdict_of((1.5, 1.2, 1.8), 30, 3) == ("architecture", "random weights give more than the trained ones")


def test_the_interval_by_hand() -> None:
    """Student's t over examples and over seeds, variances added, degrees of freedom of Welch and Satterthwaite."""
    n, seeds, half, error = 10, 4, 0.3, 0.08
    se = half / stats.t.ppf(0.975, n - 1)
    freedom = (se**2 + error**2) ** 2 / (se**4 / (n - 1) + error**4 / (seeds - 1))
    assert widened(half, n, error, seeds) == pytest.approx(stats.t.ppf(0.975, freedom) * math.hypot(se, error))
    assert widened(0.0, n, error, seeds) == pytest.approx(stats.t.ppf(0.975, seeds - 1) * error)
    assert widened(half, n, 0.0, seeds) == pytest.approx(half)
    assert widened(0.0, n, 0.0, seeds) == 0
    assert math.isnan(widened(half, n, math.nan, 1))


def test_without_spread_between_seeds_the_interval_is_that_over_examples() -> None:
    world = World(3, 40, examples=0.1, noise=0.1, seeds=0.0)
    random = np.repeat(world.draws(0.3, 1), 3, axis=0)
    case = world.case(world.draws(0.5, 1)[0], random)
    ratios = case.random_replicates[0] / case.trained_replicates
    low, high = interval(ratios, 40)
    assert share_of(case).share == pytest.approx((random.mean() / case.trained, float(low), float(high)))


def test_a_ratio_is_paired() -> None:
    """Examples that differ much but alike for trained and random weights leave the share sharp."""
    world = World(4, 40, examples=0.2, noise=0.001, seeds=0.0)
    paired = share_of(world.case(world.draws(0.5, 1)[0], world.draws(0.5, 3))).share
    assert paired[2] - paired[1] < 0.05
    assert spanned(1.0, np.full(200, 1.0), 40, 0.0, 3) == (1.0, 1.0, 1.0)


WORLDS = (
    {"n": 8, "examples": 0.1, "noise": 0.1, "seeds": 0.05},
    {"n": 16, "examples": 0.05, "noise": 0.05, "seeds": 0.02},
    {"n": 64, "examples": 0.1, "noise": 0.1, "seeds": 0.1},
    {"n": 64, "examples": 0.3, "noise": 0.3, "seeds": 0.0},
)


@pytest.mark.parametrize("settings", WORLDS, ids=lambda s: f"n={s['n']}, seeds={s['seeds']}")
def test_cases_without_a_difference_seldom_get_one(settings: dict[str, float]) -> None:
    """200 cases whose trained weights are one more draw: a verdict of difference in at most 5%, one scheme or all."""
    single = overall = 0
    for seed in range(200):
        world = World(seed, int(settings["n"]), **{k: v for k, v in settings.items() if k != "n"})
        trained = world.draws(0.4, 1)[0]
        verdicts = {s: share_of(world.case(trained, world.draws(0.4, 3))).verdict for s in SCHEMES}
        single += verdicts["config"] in ("training", "mixed")
        overall += over_schemes(verdicts)[0] in ("training", "mixed")
    assert single <= 10
    assert overall <= 10


def test_the_same_cases_with_a_difference_get_it() -> None:
    found = []
    for seed in range(20):
        world = World(seed, 32, examples=0.05, noise=0.05, seeds=0.005)
        found.append(share_of(world.case(world.draws(0.5, 1)[0], world.draws(0.0, 3))).verdict)
    assert found.count("training") >= 18


ALL = dict.fromkeys(SCHEMES, "architecture")


@pytest.mark.parametrize(
    ("verdicts", "wanted", "said"),
    [
        (ALL, "architecture", ""),
        ({"config": "architecture"}, "architecture", ""),
        (dict.fromkeys(SCHEMES, "training"), "training", ""),
        (dict.fromkeys(SCHEMES, "mixed"), "mixed", ""),
        (ALL | {"kaiming": "training"}, "mixed", "depends on the scheme"),
        (ALL | {"kaiming": "training", "xavier": "undecided"}, "mixed", "kaiming: training"),
        (ALL | {"kaiming": "undecided"}, "undecided", "undecided under kaiming"),
        (ALL | {"permuted": "training"}, "architecture", "shuffled trained weights lose it"),
        ({"normal": "architecture", "permuted": "architecture"}, "undecided", "config was not run"),
        ({"permuted": "architecture"}, "undecided", "config was not run"),
        (dict.fromkeys(SCHEMES, "training") | {"permuted": "architecture"}, "training", "values training left suffice"),
        (dict.fromkeys(SCHEMES, "undecided") | {"permuted": "architecture"}, "undecided", "values training left"),
    ],
)
def test_the_verdict_over_schemes(verdicts: dict[str, str], wanted: str, said: str) -> None:
    found, reason = over_schemes(verdicts)
    assert found == wanted
    assert said in reason
    assert bool(said) == bool(reason)
    assert found in CLAIMS


@pytest.mark.parametrize(("reasons", "wanted"), [((MORE, MORE), MORE), ((MORE, ""), "")])
def test_a_finding_says_when_training_lowers_it(reasons: tuple[str, str], wanted: str) -> None:
    spans = {
        f"{name}{end}": 1.0 for name in ("trained", "random", "difference", "share") for end in ("", "_low", "_high")
    }
    rows = [
        ShareRow(
            "a", "gpt2", "text", 512, "inter_token_cosine", "raw", "all", scheme, "late", **spans, seeds=3,
            seed_spread=0.0, n_examples=30, verdict="architecture", reason=reason,
        )
        for scheme, reason in (*zip(("config", "normal"), reasons, strict=True), ("permuted", ""))
    ]  # fmt: skip
    (finding,) = findings_of(rows)
    assert (finding["verdict"], finding["reason"]) == ("architecture", wanted)
    assert len(finding["evidence"]) == 3
