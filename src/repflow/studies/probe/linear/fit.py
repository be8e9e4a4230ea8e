"""Train the probes of all sites, splits and tasks, and keep what they say about unseen examples."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from repflow.core import BadSetting, ModelProblem, unknown
from repflow.studies.probe.linear.adam import predict_adam
from repflow.studies.probe.linear.checks import check_probeable
from repflow.studies.probe.linear.jobs import Jobs
from repflow.studies.probe.linear.logistic import predict_logistic
from repflow.studies.probe.linear.predictions import SOLVERS, Predictions
from repflow.studies.probe.linear.scaling import standardised
from repflow.studies.probe.linear.splits import apart_mask, control_labels, fold_numbers, identity_labels, train_mask

CACHE = 16 * 2**20
"""On a CPU, sites that fit into this much memory train together: small ones share the cost of a call, large ones do not
drive each other out of the cache."""


def fit_probes(
    features: np.ndarray | Tensor,
    labels: np.ndarray,
    groups: np.ndarray,
    *,
    classes: int,
    seeds: int = 5,
    first_seed: int = 0,
    solver: str = "adam",
    control: bool = True,
    capacity: bool | None = None,
    device: str | torch.device = "cpu",
    memory: int | None = None,
) -> Predictions:
    """One linear softmax probe for each site, split and task, on 80% of the groups; its predictions for the others.

    Args:
        features: [sites, examples, width], float16 or float32; read site by site, so a memory map does.
        labels: [examples] integers in 0..classes-1.
        groups: [examples] integers; examples of one group never stand on both sides of a split.
        seeds: how many splits, from `first_seed` on.
        solver: `adam`, the published protocol (METHODS 7); `lbfgs`, logistic regression of a strength chosen by
            cross-validation in the training split, for the best linear readout.
        control: train the control task too (see `control_labels`).
        capacity: train the capacity control too (see `identity_labels`), on splits of its own that divide every group;
            None: as `control`. There is none where no group has several examples.
        memory: bytes that the sites trained together (`adam`) may take; by default half of a GPU's free memory.

    Raises BadSetting, NotEnoughData; ModelProblem for a site that holds values not finite. The order of the examples
    and the memory change nothing.
    """
    labels, groups = np.asarray(labels), np.asarray(groups)
    check_probeable(tuple(features.shape), labels, groups, classes, seeds)
    order = np.lexsort((labels, groups))
    numbers = tuple(range(first_seed, first_seed + seeds))
    plan = _plan(labels[order], groups[order], classes, numbers, control)
    train = _solver(solver)
    sites = Sites(features, order, torch.device(device))
    found, strength = train(sites, plan, None, memory)
    wanted = control if capacity is None else capacity
    memorised, apart = None, _identity_plan(groups[order], classes, numbers) if wanted else None
    if apart is not None:
        memorised = train(sites, apart, strength, memory)[0][0]
        memorised = in_order(np.where(apart.train[:, None], -1, memorised).astype(np.int16), order)
    predicted = in_order(np.where(plan.train[:, None], -1, found).astype(np.int16), order)
    return Predictions(
        predicted=predicted[0],
        control=predicted[1] if control else None,
        labels=labels,
        control_labels=in_order(plan.labels[1], order) if control else None,
        groups=groups,
        train=in_order(plan.train, order),
        classes=classes,
        seeds=plan.seeds,
        solver=solver,
        strength=strength,
        capacity=memorised,
        capacity_labels=None if apart is None else in_order(apart.labels[0, 0], order),
    )


def in_order(values: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Values [..., N] of examples taken in `order`, put back into the order of the input."""
    restored = np.empty_like(values)
    restored[..., order] = values
    return restored


@dataclass(frozen=True)
class _Plan:
    """Examples in order of group and label, so that their order in the input does not matter."""

    groups: np.ndarray
    labels: np.ndarray
    """[T, R, N]: true ones, then those of the control task."""
    train: np.ndarray
    """[R, N]"""
    classes: int
    seeds: tuple[int, ...]


def _plan(labels: np.ndarray, groups: np.ndarray, classes: int, seeds: tuple[int, ...], control: bool) -> _Plan:
    tasks = [np.stack([labels] * len(seeds))]
    if control:
        tasks.append(np.stack([control_labels(labels, groups, seed) for seed in seeds]))
    train = np.stack([train_mask(groups, seed) for seed in seeds])
    return _Plan(groups, np.stack(tasks).astype(np.int64), train, classes, seeds)


def _identity_plan(groups: np.ndarray, classes: int, seeds: tuple[int, ...]) -> _Plan | None:
    """The capacity control; None where no group has an example to test beside one that trains."""
    train = np.stack([apart_mask(groups, seed) for seed in seeds])
    if train.all():
        return None
    labels = np.stack([identity_labels(groups, classes, seeds[0])] * len(seeds))[None]
    return _Plan(groups, labels, train, classes, seeds)


@dataclass(frozen=True)
class Sites:
    """The features, standardised, rows in the plan's order."""

    features: np.ndarray | Tensor
    order: np.ndarray
    device: torch.device

    def __len__(self) -> int:
        return len(self.features)

    def __getitem__(self, site: int) -> Tensor:
        states = self.features[site]
        if isinstance(states, Tensor):
            rows = states[torch.from_numpy(self.order).to(states.device)]
        else:
            rows = torch.from_numpy(np.asarray(states)[self.order])
        rows = rows.to(self.device)
        if not rows.sum(dtype=torch.float64).isfinite():
            raise ModelProblem(
                f"features of site {site} (from 0) are not finite; leave out the examples they belong to"
            )
        return standardised(rows)


_Train = Callable[[Sites, _Plan, np.ndarray | None, int | None], tuple[np.ndarray, np.ndarray | None]]
"""(sites, plan, strengths given, memory) -> classes [T, R, S, N], training examples included, and strengths [R, S]."""


def _solver(name: str) -> _Train:
    """Raises UnknownName."""
    solvers: dict[str, _Train] = {"adam": _adam, "lbfgs": _lbfgs}
    if name not in solvers:
        raise unknown("solver", name, SOLVERS)
    return solvers[name]


def _adam(
    sites: Sites, plan: _Plan, strength: np.ndarray | None, memory: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    train, labels = (torch.from_numpy(a).to(sites.device) for a in (plan.train, plan.labels))
    jobs = Jobs(train, labels, plan.classes)
    parts = []
    for chunk in _chunks(sites, jobs, memory):
        states = torch.stack([sites[site] for site in chunk])
        parts.append(predict_adam(states, jobs).cpu())
    return torch.cat(parts).unflatten(1, plan.labels.shape[:2]).permute(1, 2, 0, 3).numpy(), strength


def _chunks(sites: Sites, jobs: Jobs, memory: int | None) -> Iterator[range]:
    """Consecutive sites that train together. Raises BadSetting where the memory given does not hold one."""
    one = _bytes(sites.features.shape, jobs)
    if memory is not None and memory < one:
        raise BadSetting(
            f"the probes of one site need about {one / 2**20:.1f} MiB, {memory / 2**20:.1f} MiB are given; "
            "give more memory, or fewer seeds or examples"
        )
    on_cpu = sites.device.type == "cpu"
    room = CACHE if on_cpu else memory or torch.cuda.mem_get_info(sites.device)[0] // 2
    size = max(1, room // one)
    return (range(start, min(start + size, len(sites))) for start in range(0, len(sites), size))


def _bytes(shape: tuple[int, ...], jobs: Jobs) -> int:
    """What one site takes: states (in double while they are z-scored, later in two layouts), logits, weights."""
    _, n, width = shape
    values = 6 * n * (width + 1) + jobs.classes * jobs.count * (4 * n + 8 * (width + 1))
    return 4 * values


def _lbfgs(
    sites: Sites, plan: _Plan, strength: np.ndarray | None, memory: int | None
) -> tuple[np.ndarray, np.ndarray | None]:
    del memory
    splits = zip(plan.train, plan.seeds, strict=True)
    folds = np.stack([fold_numbers(plan.groups, train, seed) for train, seed in splits])
    train, folds, labels = (torch.from_numpy(a).to(sites.device) for a in (plan.train, folds, plan.labels))
    classes = np.empty((*plan.labels.shape[:2], len(sites), plan.labels.shape[2]), dtype=np.int64)
    chosen = np.empty((len(plan.seeds), len(sites)))
    for s in range(len(sites)):
        states = sites[s]
        for r in range(len(plan.seeds)):
            given = None if strength is None else float(strength[r, s])
            found, chosen[r, s] = predict_logistic(states, labels[:, r], train[r], folds[r], plan.classes, given)
            classes[:, r, s] = found.cpu().numpy()
    return classes, chosen
