"""One quantity of trained weights beside that of weights drawn anew: difference, share, and what they allow to say."""

import math
from dataclasses import dataclass, replace

import numpy as np

from repflow.studies.attribute.interval import NONE, Error, Measured, Span, ratio_span

ARCHITECTURE, REDUCED, TRAINING = 0.8, 1.2, 0.2
"""Shares between the first two are the architecture's; above them training reduced it; below the last it is
training's."""
BOUNDS = {
    "architecture": (ARCHITECTURE, REDUCED),
    "reduced by training": (REDUCED,),
    "training": (TRAINING,),
    "mixed": (TRAINING, ARCHITECTURE),
}
"""The verdicts, and the shares that the whole interval must be on one side of."""
LEVEL = 0.05
LEAST_UNITS = 8
LEAST_DRAWS = 3
"""With fewer units or draws there is no verdict."""

TOO_WIDE = "the interval is too wide"
UNCLEAR = "the trained value is not clear of that of random vectors, so that there is no share"
BELOW = "the trained value is clearly below 0: tokens are less alike than random vectors, and there is no share of that"
ALIKE = "all trainings give the same value: how far trainings are apart is not known"


@dataclass(frozen=True)
class Case:
    """One quantity of one or more trainings and of draws under one scheme, read on the same examples."""

    trained: np.ndarray
    """[trainings]"""
    trained_replicates: np.ndarray
    """[trainings, B]"""
    random: np.ndarray
    """[draws]"""
    random_replicates: np.ndarray
    """[draws, B], the weights of each replicate those of `trained_replicates`."""
    units: int

    @property
    def mean_trained(self) -> Measured:
        errors = () if len(self.trained) == 1 else (self._training_error,)
        return Measured(float(self.trained.mean()), self.trained_replicates.mean(0), self.units, errors)

    @property
    def mean_random(self) -> Measured:
        errors = (_error(self.random, 1 / len(self.random)),)
        return Measured(float(self.random.mean()), self.random_replicates.mean(0), self.units, errors)

    @property
    def alike(self) -> bool:
        """Whether several trainings give one value: copies do, and their spread of 0 is no error that is known."""
        return len(self.trained) > 1 and bool(np.ptp(self.trained) == 0)

    @property
    def _training_error(self) -> Error:
        error = _error(self.trained, 1 / len(self.trained))
        return replace(error, variance=math.nan) if self.alike else error

    def contrast(self, factor: float) -> Measured:
        """Random less `factor` times trained, paired over units.

        A single training began as one draw too: it errs by the spread s between draws, and the contrast by
        s sqrt(factor^2 + 1/S). Of several the spread between them is known.
        """
        trained, random = self.mean_trained, self.mean_random
        if trained.errors:
            (own,) = trained.errors
            errors = (*random.errors, Error(factor**2 * own.variance, own.freedom))
        else:
            errors = (_error(self.random, 1 / len(self.random) + factor**2),)
        replicates = random.replicates - factor * trained.replicates
        return Measured(random.value - factor * trained.value, replicates, self.units, errors)


@dataclass(frozen=True)
class Verdict:
    """What may be said of one case, by itself."""

    name: str
    p: float
    """That the share is where the verdict does not allow it; NaN where nothing could be said of so few."""
    reason: str = ""


@dataclass(frozen=True)
class Share:
    """What comes of a `Case`."""

    trained: Span
    random: Span
    difference: Span
    """Random minus trained, paired by unit."""
    share: Span
    """Random over trained; NaN where the trained value is not clearly above 0."""
    draw_spread: float
    """Standard deviation between draws; NaN for one."""
    unit_error: float
    """Standard error of the difference over units."""
    verdict: Verdict


def share_of(case: Case) -> Share:
    """Difference and share with intervals over units, draws and trainings, and the verdict they allow.

    The floor is 0, the mean cosine between isotropic random vectors.
    """
    trained, random, difference = case.mean_trained.span, case.mean_random.span, case.contrast(1.0)
    share = ratio_span(random[0] / trained[0], case.contrast) if trained[1] > 0 else NONE
    verdict = verdict_of(case)
    return Share(trained, random, difference.span, share, _spread(case.random), difference.unit_error, verdict)


def verdict_of(case: Case) -> Verdict:
    """The verdict whose range holds the share, where its whole interval is in it."""
    draws, trained, random = len(case.random), case.mean_trained, case.mean_random
    clear = trained.span[1] > 0
    if case.units < LEAST_UNITS:
        return Verdict("undecided", math.nan, f"{case.units or 'too few'} units, needs {LEAST_UNITS}")
    if draws < LEAST_DRAWS:
        return Verdict("undecided", math.nan, f"{draws} draw{'s' if draws > 1 else ''}, needs {LEAST_DRAWS}")
    if case.alike:
        return Verdict("undecided", math.nan, ALIKE)
    why = BELOW if trained.span[2] < 0 else UNCLEAR
    if clear:
        name, reason = _range(random.value / trained.value), ""
        p = float(np.max([trained.p, *(case.contrast(bound).p for bound in BOUNDS[name])]))
    else:
        name, reason = "reduced by training", why
        above = case.contrast(REDUCED)
        p = float(np.max([above.p, random.p])) if min(above.value, random.value) > 0 else 1.0
    if not math.isfinite(p + sum(case.contrast(1.0).span)):
        return Verdict("undecided", math.nan, "no interval: values are missing or not finite")
    if p <= LEVEL:
        return Verdict(name, p, reason)
    return Verdict("undecided", p, f"{TOO_WIDE}; {_narrowing(case)}" if clear else f"{why}: nothing to attribute")


def _range(share: float) -> str:
    if share < TRAINING:
        return "training"
    if share < ARCHITECTURE:
        return "mixed"
    return "architecture" if share <= REDUCED else "reduced by training"


def _narrowing(case: Case) -> str:
    """What would narrow the interval most."""
    bare = case.contrast(1.0)
    over_units = Measured(bare.value, bare.replicates, bare.units)
    widths = {"units": _width(over_units.span)}
    fixed = np.full_like(bare.replicates, bare.value)
    for name, errors in _sources(case, bare.errors).items():
        widths[name] = _width(Measured(bare.value, fixed, bare.units, errors).span)
    return f"more {max(widths, key=lambda name: widths[name])} narrow it"


def _sources(case: Case, errors: tuple[Error, ...]) -> dict[str, tuple[Error, ...]]:
    return {"draws": errors} if len(case.trained) == 1 else {"draws": errors[:1], "trainings": errors[1:]}


def _width(span: Span) -> float:
    return span[2] - span[1]


def _spread(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else math.nan


def _error(values: np.ndarray, scale: float) -> Error:
    """That of a sum of values between which there is this spread; its variance is `scale` times that of one."""
    return Error(_spread(values) ** 2 * scale, len(values) - 1)
