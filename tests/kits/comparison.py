"""Joins the toolkit and the twins: the cases both are held to, and the twins' answer for a whole run."""

from functools import cache

import numpy as np
import twins
from toolkit import QUICK, Trajectory, add_sink, fill_padding, plant_offset, trajectory

LENGTHS = (16, 9, 16, 12, 16, 11)


@cache
def case(name: str) -> Trajectory:
    """Six examples of 9 to 16 tokens, the first one special, through four blocks; the hard ones by name."""
    plain = trajectory(t=16, d=64, blocks=4, lengths=LENGTHS, specials=1, size=20.0)
    tight = trajectory(t=16, d=64, blocks=4, lengths=LENGTHS, specials=1, shared=0.0)
    match name:
        case "plain":
            return plain
        case "sink":  # 22,000 beside 160, as SmolLM2 has it: it comes with a block and goes with the final norm
            return add_sink(plain, 22_000, token=2, sites=(2, 3, 4))
        case "offset":  # what all tokens share is 100 times what tells them apart
            return plant_offset(tight, 800.0)
        case "small_steps":
            return trajectory(t=16, d=64, blocks=8, lengths=LENGTHS, specials=1, step=0.02)
        case "growing":
            made = trajectory(t=16, d=64, blocks=8, lengths=LENGTHS, specials=1, step=0.1)
            grown = tuple(s * 2.0**i for i, s in enumerate(made.states))
            return Trajectory(made.sites, grown, made.real, made.special, made.ids)
    raise AssertionError(name)


CASES = ("plain", "sink", "offset", "small_steps", "growing")


def examples(made: Trajectory) -> list[twins.Example]:
    """Every example for the twins: float64, padding cut off."""
    return [
        twins.Example(
            [s[i][real].double().numpy() for s in made.states],
            made.special[i][real].numpy(),
            [site.is_final_norm for site in made.sites],
        )
        for i, real in enumerate(made.real)
    ]


@cache
def site_twin(name: str, metric: str, variant: str) -> np.ndarray:
    """The twin's run value of a case by [site, policy]."""
    return site_values(examples(case(name)), metric, variant, len(case(name).sites))


def site_values(made: list[twins.Example], metric: str, variant: str, sites: int) -> np.ndarray:
    value = twins.SITE_TWINS[metric][variant]
    return np.array(
        [[twins.mean([value(e, s, policy) for e in made]) for policy in QUICK.policies] for s in range(sites)]
    )


def cka_values(made: list[twins.Example], policy: str, hsic: object = twins.hsic1) -> np.ndarray:
    """The twin's token CKA by [site, site]: blocks of fewer than 4 counted rows left out."""
    sites = range(len(made[0].x))
    kept = [(e, e.keep_at(sites, policy)) for e in made]
    return np.array(
        [[twins.cka([(e.x[a][k], e.x[b][k]) for e, k in kept if k.sum() >= 4], hsic) for b in sites] for a in sites]
    )


def clean(made: Trajectory) -> Trajectory:
    """Zeros at the padding, so that the states can be rounded."""
    return fill_padding(made, 0.0)
