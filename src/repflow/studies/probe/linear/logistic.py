"""The best linear readout: logistic regression whose strength is chosen by grouped cross-validation."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from repflow.studies.probe.linear.lbfgs import Problems, minimise
from repflow.studies.probe.linear.scaling import training_scaling
from repflow.studies.probe.linear.splits import FOLDS
from repflow.studies.probe.linear.standing_rows import rows_of

STRENGTHS = (1e4, 1e3, 100.0, 10.0, 1.0, 0.1)
"""1/C of scikit-learn. Of the states' z-scores, whatever their width. Strongest first: it wins a tie."""


def predict_logistic(
    states: Float[Tensor, "n d"],
    labels: Int64[Tensor, "t n"],
    train: Bool[Tensor, " n"],
    folds: Int64[Tensor, " n"],
    classes: int,
    strength: float | None = None,
) -> tuple[Int64[Tensor, "t n"], float]:
    """Classes of all rows of one site by the probes of one split, and the strength: the one given, or else chosen.

    `labels`: the true ones, then those of control tasks, which are given the same strength: they are to be learnt by
    the same probe. `folds` numbers the folds inside the training split, -1 outside. The strength is the one of least
    cross-entropy on the folds held out. States are z-scored with the whole training split's statistics.
    """
    scaling = training_scaling(states, train[None])
    scored = (states - scaling.mean) * scaling.inverse
    rotated = functional.pad(scored @ _axes(scored[train]), (0, 1), value=1.0)
    if strength is None:
        strength = _best_strength(rotated[train], labels[0, train], folds[train], classes)
    tasks = len(labels)
    everyone = torch.ones(tasks, int(train.sum()), dtype=torch.bool, device=train.device)
    problems = _problems(rotated[train], labels[:, train], everyone, [strength] * tasks, classes)
    weights = minimise(problems)
    return (weights @ rotated.T).argmax(0), strength


def _axes(states: Float[Tensor, "n d"]) -> Float[Tensor, "d k"]:
    """Orthonormal principal axes, k = min(n, d) of them.

    Rotation changes neither the loss nor its penalty, and leaves columns that the preconditioner can treat one by one.
    """
    n, width = states.shape
    if width <= n:
        return torch.linalg.eigh(states.T @ states).eigenvectors
    basis = torch.linalg.qr(states.T).Q
    within = states @ basis
    return basis @ torch.linalg.eigh(within.T @ within).eigenvectors


def _best_strength(
    rows: Float[Tensor, "n k"], labels: Int64[Tensor, " n"], folds: Int64[Tensor, " n"], classes: int
) -> float:
    held_out = (torch.arange(FOLDS, device=folds.device)[:, None] == folds).repeat_interleave(len(STRENGTHS), 0)
    repeated = labels.expand_as(held_out)
    problems = _problems(rows, repeated, ~held_out, STRENGTHS * FOLDS, classes)
    logits = problems.logits(minimise(problems))
    own = logits.gather(0, repeated[None])[0]
    losses = ((logits.logsumexp(0) - own) * held_out).sum(1).view(FOLDS, len(STRENGTHS)).sum(0)
    return STRENGTHS[int(losses.argmin())]


def _problems(
    rows: Float[Tensor, "n k"],
    labels: Int64[Tensor, "j n"],
    mask: Bool[Tensor, "j n"],
    strengths: Sequence[float],
    classes: int,
) -> Problems:
    return Problems(
        rows=rows_of(rows[None]),
        columns=rows.square().sum(0),
        share=mask / mask.sum(1, keepdim=True),
        labels=labels,
        strength=rows.new_tensor(strengths),
        classes=classes,
    )
