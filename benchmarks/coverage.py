"""How often 95% intervals hold the truth: made-up values, the very functions that a run uses. Takes three minutes."""

import argparse
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from repflow.core import interval, proportion
from repflow.studies.kit.units import Units, autocorrelation, stretch_of

UNITS = (8, 10, 30, 100)
ROOM = 250
"""Trials resampled at once."""
RHO = 0.6
Draw = Callable[[np.random.Generator, int, int], np.ndarray]
"""Examples [trials, units, examples a unit]."""


@dataclass(frozen=True)
class Source:
    """What a unit's examples are drawn from."""

    name: str
    draw: Draw
    truth: float
    """The mean of the whole source."""
    share: bool = False
    """Numbers in [0, 1]."""
    corrected: bool = False
    """Intervals are stretched by the correlation found between neighbouring units, as a run does."""


def main() -> None:
    args = arguments()
    print(
        f"{args.trials} trials, {args.replicates} replicates, 95% nominal; standard error {_error(args.trials):.3f}\n"
    )
    print("| values | " + " | ".join(f"{n} units" for n in UNITS) + " |")
    print("|---|" + "---|" * len(UNITS))
    for source in sources():
        cells = [f"{covered(source, n, args.trials, args.replicates, args.seed):.3f}" for n in UNITS]
        print(f"| {source.name} | " + " | ".join(cells) + " |", flush=True)


def sources() -> Iterator[Source]:
    """The rows of the table."""
    yield Source("normal", _alone(lambda draw, size: draw.normal(size=size)), 0.0)
    yield Source("exponential", _alone(lambda draw, size: draw.exponential(size=size)), 1.0)
    yield Source("lognormal, sigma 1", _alone(lambda draw, size: draw.lognormal(size=size)), math.exp(0.5))
    yield Source("Pareto, 2.5", _alone(lambda draw, size: 1 + draw.pareto(2.5, size=size)), 2.5 / 1.5)
    yield Source("right or wrong, 10% right", _alone(_bernoulli), 0.1, share=True)
    yield Source("the same, 5 a unit that are alike (0.3)", _alike, 0.1, share=True)
    for examples in (1, *block_lengths()):
        told = f"units of {examples}" if examples > 1 else "each taken for a unit"
        for corrected in (False, True):
            how = "as a run corrects it" if corrected else "not corrected"
            yield Source(f"AR(1), rho {RHO}, {told}, {how}", _autoregressive(examples), 0.0, corrected=corrected)


def covered(source: Source, units: int, trials: int, replicates: int, seed: int) -> float:
    """The share of trials whose interval holds the truth."""
    draw = np.random.default_rng((seed, units))
    examples = source.draw(draw, trials, units)
    found = np.concatenate([resampled(draw, some, replicates) for some in np.array_split(examples, -(-trials // ROOM))])
    if source.corrected:
        return float(np.nanmean([_corrected(*each, source.truth) for each in zip(examples, found, strict=True)]))
    if source.share:
        low, high = proportion(examples.mean((1, 2)), found, units)
    else:
        low, high = interval(found, units)
    return float(((low <= source.truth) & (source.truth <= high)).mean())


def _corrected(examples: np.ndarray, replicates: np.ndarray, truth: float) -> float:
    """Whether the interval of one trial holds the truth; NaN where fewer than 8 effective units give none."""
    correlation, pairs = autocorrelation([("", mean) for mean in examples.mean(1)])
    units = replace(Units.of_sizes([1] * len(examples)), stretch=stretch_of(correlation, pairs))
    units = replace(units, effective=units.n / units.stretch**2)
    cells = units.stretched(np.concatenate([[examples.mean()], replicates]))
    low, high = interval(cells[1:], units.behind(units.n))
    return math.nan if np.isnan(low) else float(low <= truth <= high)


def resampled(draw: np.random.Generator, examples: np.ndarray, replicates: int) -> np.ndarray:
    """Poisson-bootstrap means [trials, replicates], all examples of a unit drawn together."""
    trials, units, each = examples.shape
    weights = draw.poisson(1.0, (trials, units, replicates)).astype(np.float32)
    sums = np.einsum("tu,tur->tr", examples.sum(2, dtype=np.float32), weights)
    with np.errstate(invalid="ignore"):
        return sums / (each * weights.sum(1))


def block_lengths() -> tuple[int, ...]:
    """The shortest blocks of the AR(1) series whose means correlate with their neighbours' by 0.2 and 0.1 at most."""
    lengths = (1, *(n for power in range(1, 8) for n in (2**power, 3 * 2 ** (power - 1))))
    return tuple(next(m for m in lengths if _neighbours(m) <= most) for most in (0.2, 0.1))


def _neighbours(m: int) -> float:
    """Correlation of the means of neighbouring blocks of m."""
    between = RHO * (1 - RHO**m) ** 2 / (1 - RHO) ** 2
    within = m * (1 + RHO) / (1 - RHO) - 2 * RHO * (1 - RHO**m) / (1 - RHO) ** 2
    return between / within


def _alone(values: Callable[[np.random.Generator, tuple[int, int, int]], np.ndarray]) -> Draw:
    return lambda draw, trials, units: values(draw, (trials, units, 1))


def _bernoulli(draw: np.random.Generator, size: tuple[int, int, int]) -> np.ndarray:
    return (draw.random(size) < 0.1).astype(float)


def _alike(draw: np.random.Generator, trials: int, units: int) -> np.ndarray:
    """Each unit has a rate of its own, so that its examples correlate by 0.3."""
    spread = 1 / 0.3 - 1
    rate = draw.beta(0.1 * spread, 0.9 * spread, (trials, units, 1))
    return (draw.random((trials, units, 5)) < rate).astype(float)


def _autoregressive(examples: int) -> Draw:
    def drawn(draw: np.random.Generator, trials: int, units: int) -> np.ndarray:
        series = draw.normal(size=(trials, units * examples))
        series[:, 0] /= math.sqrt(1 - RHO**2)
        for place in range(1, units * examples):
            series[:, place] += RHO * series[:, place - 1]
        return series.reshape(trials, units, examples)

    return drawn


def _error(trials: int) -> float:
    return math.sqrt(0.95 * 0.05 / trials)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--replicates", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


if __name__ == "__main__":
    main()
