"""Which of its prompt's values a state holds: a ridge readout to the values' embeddings, and the nearest of them."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64, Integer
from torch import Tensor

from repflow.studies.probe.linear.draws import VALUE, draws
from repflow.studies.probe.linear.fit import Sites, in_order
from repflow.studies.probe.linear.predictions import Predictions
from repflow.studies.probe.linear.ridge import ridge
from repflow.studies.probe.linear.scaling import training_scaling
from repflow.studies.probe.linear.splits import fold_numbers, train_mask

SOLVER = "ridge"


@dataclass(frozen=True, eq=False)
class Values:
    """What N examples have to choose among, k values each at most, u tokens in all."""

    tokens: Integer[np.ndarray, " u"]
    """Ids of the values' first tokens."""
    rows: Float32[np.ndarray, "u e"]
    """Their embeddings."""
    choices: Integer[np.ndarray, "n k"]
    """The values of each example, in the prompt's order, as places in `rows`; -1 behind the last, and for a value whose
    token an earlier one has."""
    gold: Integer[np.ndarray, " n"]
    """Which of them is right: 0..k-1."""
    by: Integer[np.ndarray, " n"]
    """What accuracy is told apart by: the gold's class of position."""

    @property
    def chance(self) -> float:
        """Accuracy of choosing blindly."""
        return float((1 / (self.choices >= 0).sum(1)).mean())

    def of(self, kept: Bool[np.ndarray, " n"] | Integer[np.ndarray, " m"]) -> "Values":
        """Those of some examples."""
        return replace(self, choices=self.choices[kept], gold=self.gold[kept], by=self.by[kept])


def fit_values(
    features: np.ndarray | Tensor,
    values: Values,
    groups: Integer[np.ndarray, " n"],
    *,
    seeds: int = 5,
    first_seed: int = 0,
    control: bool = True,
    device: str | torch.device = "cpu",
) -> Predictions:
    """The value that each site holds of each example, read by a map fitted on 80% of the groups, for the others.

    For each site and split: ridge regression from the z-scored states [sites, examples, width] to the embedding of the
    gold's token, its strength chosen by cross-validation over groups of the training split. Named is the value of the
    prompt whose embedding is nearest to what is predicted (Euclidean). Splits are those of `fit_probes`. `control`: the
    same for a value drawn for each group from those of its prompts.

    Predictions are places among the prompt's values; their chance is the mean of 1 / values. Raises ModelProblem for a
    site that holds values not finite. The order of the examples changes nothing.
    """
    order = np.lexsort((values.by, groups))
    ordered, sorted_groups = values.of(order), groups[order]
    numbers = tuple(range(first_seed, first_seed + seeds))
    train = np.stack([train_mask(sorted_groups, seed) for seed in numbers])
    drawn = np.stack([control_values(ordered, sorted_groups, seed) for seed in numbers]) if control else None
    labels = np.stack([np.broadcast_to(ordered.gold, train.shape), *([] if drawn is None else [drawn])])
    sites = Sites(features, order, torch.device(device))
    named, strength = _named(sites, ordered, labels, train, sorted_groups, numbers)
    predicted = in_order(np.where(train[:, None], -1, named).astype(np.int16), order)
    return Predictions(
        predicted=predicted[0],
        control=predicted[1] if control else None,
        labels=values.gold,
        control_labels=None if drawn is None else in_order(drawn, order),
        groups=groups,
        train=in_order(train, order),
        classes=values.choices.shape[1],
        seeds=numbers,
        solver=SOLVER,
        strength=strength,
        guess=values.chance,
        by=values.by,
    )


def _named(
    sites: Sites, values: Values, labels: np.ndarray, train: np.ndarray, groups: np.ndarray, seeds: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Places [T, R, S, N] of the values named for labels [T, R, N], and the strength [R, S] for the true ones."""
    rows, choices = (torch.from_numpy(a).to(sites.device) for a in (values.rows, values.choices))
    rows = rows.double()
    at = np.arange(labels.shape[2])
    wanted = torch.from_numpy(values.choices[at, labels]).to(sites.device)
    trained = torch.from_numpy(train).to(sites.device)
    folds = np.stack([fold_numbers(groups, mask, seed) for mask, seed in zip(train, seeds, strict=True)])
    folded = torch.from_numpy(folds).to(sites.device)
    named = np.empty((*labels.shape[:2], len(sites), labels.shape[2]), dtype=np.int64)
    strength = np.empty((len(seeds), len(sites)))
    for s in range(len(sites)):
        states = sites[s]
        scaling = training_scaling(states, trained)
        for r in range(len(seeds)):
            scored = (states.double() - scaling.mean[r]) * scaling.inverse[r]
            read, chosen = ridge(scored, rows[wanted[:, r]], trained[r], folded[r])
            near = 2 * read @ rows.T - rows.square().sum(1)
            named[:, r, s] = np.stack([choose(each, choices).cpu().numpy() for each in near])
            strength[r, s] = chosen[0]
    return named, strength


def choose(scores: Float[Tensor, "n u"], choices: Int64[Tensor, "n k"]) -> Int64[Tensor, " n"]:
    """The place of the choice of highest score."""
    return scores.gather(1, choices.clamp_min(0)).masked_fill(choices < 0, -torch.inf).argmax(1)


def control_values(values: Values, groups: Integer[np.ndarray, " n"], seed: int) -> Integer[np.ndarray, " n"]:
    """For each example the place of a value drawn for its group: the same value wherever the gold stands."""
    drawn = np.empty(len(groups), dtype=np.int64)
    for i, (choices, group) in enumerate(zip(values.choices, groups, strict=True)):
        there = np.sort(choices[choices >= 0])
        number = int(draws(VALUE, seed, int(group), 1)[0]) % len(there)
        drawn[i] = int(np.flatnonzero(choices == there[number])[0])
    return drawn
