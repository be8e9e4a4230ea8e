"""How often `repflow attribute` gives the right verdict, by draws, units, and how far apart draws are.

    python benchmarks/attribution_power.py

Every world makes up values by unit of a trained model (itself one more draw), and of draws of random weights, and asks
the study's own verdict, uncorrected. Values are relative to the trained mean; units differ by 25%, alike for trained
and random weights, and by 10% beside that. Prints Markdown tables: percent of worlds with the right verdict; and the
same of a share of 1 for several trainings taken together (--same-architecture). A minute on one core.
"""

import argparse

import numpy as np

from repflow.studies.attribute.power import Setting, power
from repflow.studies.attribute.share import Case, verdict_of

DRAWS, UNITS, SPREADS = (3, 5, 10, 20), (30, 100), (0.02, 0.05, 0.10)
RIGHT = {0.0: "training", 0.5: "mixed", 1.0: "architecture", 1.5: "reduced by training", 2.5: "reduced by training"}
SHARED, OWN = 0.25, 0.10
TRAININGS = (1, 3, 5, 10)
REPLICATES = 200


def world(share: float, draws: int, units: int, spread: float, rng: np.random.Generator, trainings: int = 1) -> Case:
    common = rng.normal(0, SHARED, units)
    luck = rng.normal(0, spread, (trainings + draws, 1))
    own = luck + rng.normal(0, OWN, (trainings + draws, units))
    trained = 1 + common + own[:trainings]
    random = share * (1 + common) + own[trainings:]
    weights = rng.poisson(1.0, (units, REPLICATES)).astype(float)
    total = weights.sum(0)
    return Case(trained.mean(1), trained @ weights / total, random.mean(1), random @ weights / total, units)


def found(share: float, draws: int, units: int, spread: float, worlds: int, trainings: int = 1) -> float:
    """How many of the worlds get the right verdict."""
    rng = np.random.default_rng(0)
    named = [verdict_of(world(share, draws, units, spread, rng, trainings)).name for _ in range(worlds)]
    return named.count(RIGHT[share]) / worlds


def told(share: float, draws: int, units: int, spread: float) -> float:
    """What a run with these settings says of its power."""
    return power(share, RIGHT[share], Setting(draws, units, spread, SHARED / units**0.5, OWN / units**0.5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worlds", type=int, default=100)
    parser.add_argument("--formula", action="store_true", help="what runs say of their power, in place of worlds")
    args = parser.parse_args()
    print("| draws apart by | draws | units | " + " | ".join(f"share {share:g}" for share in RIGHT) + " |")
    print("|---" * (3 + len(RIGHT)) + "|")
    for spread in SPREADS:
        for draws in DRAWS:
            for units in UNITS:
                case = (draws, units, spread)
                rates = [told(s, *case) if args.formula else found(s, *case, args.worlds) for s in RIGHT]
                print(f"| {spread:.0%} | {draws} | {units} | " + " | ".join(f"{rate:.0%}" for rate in rates) + " |")
    if not args.formula:
        print("\n| draws and trainings apart by | draws | " + " | ".join(f"trainings: {t}" for t in TRAININGS) + " |")
        print("|---" * (2 + len(TRAININGS)) + "|")
        for spread, draws in ((0.05, 5), (0.10, 5), (0.10, 20)):
            rates = [found(1.0, draws, 30, spread, args.worlds, trainings) for trainings in TRAININGS]
            print(f"| {spread:.0%} | {draws} | " + " | ".join(f"{rate:.0%}" for rate in rates) + " |")


if __name__ == "__main__":
    main()
