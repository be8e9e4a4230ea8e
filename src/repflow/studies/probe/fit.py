"""The probes of one reading: trained once, kept as a checkpoint part."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from repflow.engines import Keeper
from repflow.studies.probe.aims import Aim
from repflow.studies.probe.linear import Predictions, Values, fit_probes, fit_values
from repflow.studies.probe.linear.features import FeatureFile
from repflow.studies.probe.reading import ProbeReading
from repflow.studies.probe.settings import ProbeSettings

LENGTH = "length"
"""The part that holds the probe on the number of tokens; no place is called so."""
_SAMPLE_SITES, _SAMPLE_GROUPS = 2, 40


@dataclass(frozen=True)
class Fitted:
    """Trained probes and how long they took."""

    predictions: Predictions
    seconds: float


@dataclass(frozen=True)
class Probed:
    """The probes of one reading: one of each place and target, and that on the number of tokens."""

    fits: Sequence[tuple[Aim, Fitted]]
    length: Fitted

    @property
    def seconds(self) -> float:
        return self.length.seconds + sum(fit.seconds for _, fit in self.fits)


def fitted(reading: ProbeReading, name: str, keeper: Keeper) -> Fitted | None:
    """The probes of an aim, by its name, where an earlier process has trained them."""
    part = keeper.read_part(_key(reading, name))
    if part is None:
        return None
    arrays, meta = part
    known: dict[str, Any] = dict(meta["known"])
    known["seeds"] = tuple(known["seeds"])
    return Fitted(Predictions(**arrays, **known), meta["seconds"])


def fit_place(
    reading: ProbeReading,
    place: str,
    file: FeatureFile,
    kept: np.ndarray,
    settings: ProbeSettings,
    device: str,
    keeper: Keeper,
) -> Fitted:
    """Train the probes of all sites at a place on the examples kept, bool [N], and save what they say."""
    return _fit(reading, place, _states(file, place, kept), kept, settings, device, keeper)


def fit_value(
    reading: ProbeReading,
    aim: Aim,
    file: FeatureFile,
    values: Values,
    kept: np.ndarray,
    settings: ProbeSettings,
    device: str,
    keeper: Keeper,
) -> Fitted:
    """Fit the readouts of all sites at a place on the examples kept, bool [N], and save which values they name."""
    begun = time.perf_counter()
    probing = settings.probing
    found = fit_values(
        _states(file, aim.place.name, kept),
        values.of(kept),
        np.array(reading.groups)[kept],
        seeds=probing.seeds,
        first_seed=probing.seed,
        control=probing.control,
        device=device,
    )
    return _saved(reading, aim.name, found, begun, keeper)


def fit_length(reading: ProbeReading, kept: np.ndarray, settings: ProbeSettings, keeper: Keeper) -> Fitted:
    """Train the same probe on the number of tokens alone."""
    tokens = np.array([[[len(example.ids)] for example in reading.examples]], dtype=np.float32)
    return _fit(reading, LENGTH, tokens[:, kept], kept, settings, "cpu", keeper)


def _states(file: FeatureFile, place: str, kept: np.ndarray) -> np.ndarray:
    """Only a selection is a copy: the file is read site by site."""
    states = file.states(place)
    return states if kept.all() else states[:, kept]


def _fit(
    reading: ProbeReading,
    place: str,
    states: np.ndarray,
    kept: np.ndarray,
    settings: ProbeSettings,
    device: str,
    keeper: Keeper,
) -> Fitted:
    begun = time.perf_counter()
    control = settings.probing.control and place != LENGTH
    found = _probes(states, np.array(reading.labels)[kept], np.array(reading.groups)[kept], settings, control, device)
    return _saved(reading, place, found, begun, keeper)


def _saved(reading: ProbeReading, name: str, found: Predictions, begun: float, keeper: Keeper) -> Fitted:
    seconds = time.perf_counter() - begun
    values = {f.name: getattr(found, f.name) for f in fields(Predictions)}
    arrays = {name: value for name, value in values.items() if isinstance(value, np.ndarray)}
    known = {name: value for name, value in values.items() if name not in arrays}
    keeper.save_part(_key(reading, name), arrays, {"known": known, "seconds": seconds})
    return Fitted(found, seconds)


def seconds_for(reading: ProbeReading, sites: int, width: int, settings: ProbeSettings, device: str) -> float:
    """About how long the probes of one place take, from a small sample of their size on made-up states."""
    groups = np.array(reading.groups)
    few = np.isin(groups, np.unique(groups)[: max(_SAMPLE_GROUPS, settings.task.positions)])
    s = min(sites, _SAMPLE_SITES)
    states = np.random.default_rng(0).normal(size=(s, int(few.sum()), width)).astype(np.float32)
    begun = time.perf_counter()
    _probes(states, np.array(reading.labels)[few], groups[few], settings, settings.probing.control, device)
    return (time.perf_counter() - begun) * sites / s * len(groups) / few.sum()


def _probes(
    states: np.ndarray, labels: np.ndarray, groups: np.ndarray, settings: ProbeSettings, control: bool, device: str
) -> Predictions:
    return fit_probes(
        states,
        labels,
        groups,
        classes=settings.task.positions,
        seeds=settings.probing.seeds,
        first_seed=settings.probing.seed,
        solver=settings.probing.solver,
        control=control,
        device=device,
    )


def _key(reading: ProbeReading, name: str) -> str:
    return f"{reading.key}/probe/{name}"
