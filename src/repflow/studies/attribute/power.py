"""How often an attribution of so many draws and units finds what is there, by a small simulation of its statistics."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from repflow.studies.attribute.rows import ShareRow
from repflow.studies.attribute.share import ARCHITECTURE, BOUNDS, LEAST_DRAWS, LEAST_UNITS, LEVEL, REDUCED, TRAINING
from repflow.studies.attribute.verdict import OWN

TRIED = ((1.0, "architecture"), (0.5, "mixed"), (0.0, "training"), (2.0, "reduced by training"))
"""True shares that a run says its power for, and their verdicts."""
_WORLDS = 4_000


@dataclass(frozen=True)
class Setting:
    """What decides the power of one verdict. Spreads are relative to the trained value."""

    draws: int
    units: int
    between_draws: float
    """Standard deviation between draws."""
    shared: float
    """Standard error over units of what trained and random weights have in common."""
    own: float
    """Standard error over units of what each has by itself."""


def power(share: float, verdict: str, setting: Setting, level: float = LEVEL) -> float:
    """How often a true share gets the verdict; 0 with too few draws or units for any.

    A world draws the means over units, the spread between draws and the variances over units from their sampling
    distributions, and decides as `attribute_share` does. The trained weights are one more draw.
    """
    from scipy import special

    n, draws = setting.units, setting.draws
    if n < LEAST_UNITS or draws < LEAST_DRAWS:
        return 0.0
    rng = np.random.default_rng(0)
    common, luck, mine, yours, mean = rng.normal(size=(5, _WORLDS))
    trained = 1 + setting.between_draws * luck + setting.shared * common + setting.own * mine
    random = share + setting.between_draws * mean / np.sqrt(draws) + share * setting.shared * common
    random = random + setting.own * yours
    spread = setting.between_draws**2 * rng.chisquare(draws - 1, _WORLDS) / (draws - 1)
    blur = rng.chisquare(n - 1, _WORLDS) / (n - 1)
    tails = trained / np.sqrt((setting.shared**2 + setting.own**2) * blur)
    clear = tails > special.stdtrit(n - 1, 1 - level / 2)

    def past(bound: float) -> np.ndarray:
        over_units = ((share - bound) ** 2 * setting.shared**2 + (1 + bound**2) * setting.own**2) * blur
        between = spread * (1 / draws + bound**2)
        both = over_units + between
        freedom = both**2 / (over_units**2 / (n - 1) + between**2 / (draws - 1))
        return np.abs(random - bound * trained) > special.stdtrit(freedom, 1 - level / 2) * np.sqrt(both)

    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = random / trained
        names = np.select(
            [ratio < TRAINING, ratio < ARCHITECTURE, ratio <= REDUCED], ["training", "mixed", "architecture"],
            "reduced by training",
        )  # fmt: skip
        found = clear & (names == verdict) & np.all([past(bound) for bound in BOUNDS[verdict]], axis=0)
    return float(found.mean())


def setting_of(rows: Sequence[ShareRow]) -> Setting | None:
    """The median spreads of the rows that have a share, the fewest draws and units; None where none has."""
    from scipy import special

    known = [row for row in rows if math.isfinite(row.share) and math.isfinite(row.seed_spread * row.unit_error)]
    if not known:
        return None
    draws, units = min(row.seeds for row in known), min(row.n_units for row in known)
    widths = [(row.trained_high - row.trained_low) / (2 * row.trained) for row in known]
    whole = float(np.median(widths) / special.stdtrit(units - 1, 0.975))
    own = float(np.median([row.unit_error / row.trained for row in known])) / math.sqrt(2)
    between = float(np.median([row.seed_spread / row.trained for row in known]))
    return Setting(draws, units, between, math.sqrt(max(whole**2 - own**2, 0.0)), own)


def told_power(rows: Sequence[ShareRow]) -> str:
    """What the power of a run is, in a sentence; `rows` are those of the scheme that decides."""
    setting = setting_of(rows)
    if setting is None:
        return "Power: no trained value is clearly above 0, so nothing can be said of it."
    among = max(row.family_size for row in rows)
    told = [f"{share:g} as {verdict} in {_percent(share, verdict, setting, among)}" for share, verdict in TRIED]
    return (
        f"Power with {setting.draws} draws and {setting.units} units, draws {setting.between_draws:.1%} of the trained "
        f"value apart{f', corrected for {among} in brackets' if among > 1 else ''}: "
        f"a true share of {', '.join(told)} of runs."
    )


def _percent(share: float, verdict: str, setting: Setting, among: int) -> str:
    alone, level = power(share, verdict, setting), LEVEL / max(among, 1)
    return f"{alone:.0%}" + (f" [{power(share, verdict, setting, level):.0%}]" if among > 1 else "")


def powers(rows: Sequence[ShareRow]) -> dict[str, str]:
    """The sentence for each variant, under the token policy that is shown first."""
    own = [row for row in rows if row.scheme == OWN and row.trainings == 1]
    policies = {row.tokens for row in own}
    shown = next((name for name in ("no_sink", "all") if name in policies), next(iter(sorted(policies)), ""))
    variants = dict.fromkeys(row.variant for row in own)
    return {v: told_power([row for row in own if (row.variant, row.tokens) == (v, shown)]) for v in variants}
