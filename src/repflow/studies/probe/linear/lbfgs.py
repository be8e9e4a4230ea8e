"""L2-regularised multinomial logistic regression, many problems at once, by preconditioned L-BFGS."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from repflow.studies.probe.linear.standing_rows import Rows

MEMORY = 10
MAX_STEPS = 1000
TOLERANCE = 1e-5
"""On the largest entry of the gradient of a mean loss."""
HALVINGS = 20


@dataclass(frozen=True)
class Problems:
    """J problems on the same n rows of width d + 1, the last column ones.

    Problem j: the mean over its examples of the cross-entropy, plus strength[j] / (2 examples) ||weights||^2, the bias
    unpenalised. This is scikit-learn's LogisticRegression(C=1/strength); of two classes it keeps one vector of
    weights, so that there C=2/strength.
    """

    rows: Rows
    columns: Float[Tensor, " d_1"]
    """Sum of squares of each column over all rows."""
    share: Float[Tensor, "j n"]
    """Weight of each example: 1/examples, or 0 outside the problem."""
    labels: Int64[Tensor, "j n"]
    strength: Float[Tensor, " j"]
    classes: int

    @property
    def penalty(self) -> Float[Tensor, "j d_1"]:
        """Strength for each weight, of the mean loss; 0 for the bias."""
        penalty = (self.strength * self.share.amax(1))[:, None].repeat(1, len(self.columns))
        penalty[:, -1] = 0
        return penalty

    def logits(self, weights: Float[Tensor, "c j d_1"]) -> Float[Tensor, "c j n"]:
        """Less those of the last class."""
        product = self.rows.logits((weights[:-1] - weights[-1]).flatten(0, 1)[None])[0]
        return torch.cat([product.view(self.classes - 1, *self.share.shape), torch.zeros_like(self.share)[None]])

    def loss(self, logits: Float[Tensor, "c j n"]) -> Float[Tensor, " j"]:
        """Mean cross-entropy."""
        own = logits.gather(0, self.labels[None])[0]
        return ((logits.logsumexp(0) - own) * self.share).sum(1)

    def gradient(
        self, logits: Float[Tensor, "c j n"], weights: Float[Tensor, "c j d_1"], penalty: Float[Tensor, "j d_1"]
    ) -> Float[Tensor, "c j d_1"]:
        """Of the penalised mean loss."""
        residuals = torch.softmax(logits, 0)
        residuals.scatter_add_(0, self.labels[None], torch.full_like(self.share, -1.0)[None])
        residuals *= self.share
        product = self.rows.gradient(residuals[:-1].flatten(0, 1)[None])[0].view_as(weights[:-1])
        return torch.cat([product, -product.sum(0, keepdim=True)]).addcmul_(penalty, weights)


def minimise(problems: Problems) -> Float[Tensor, "c j d_1"]:
    """The weights at which every problem's gradient has vanished to TOLERANCE.

    The preconditioner is the diagonal of Boehning's bound of the Hessian, half the rows' second moment plus the
    penalty; it is close to the whole bound where the columns are uncorrelated. Each problem has its own step length and
    curvature; the searches along a direction need no further product, as logits are linear in the weights.
    """
    penalty = problems.penalty
    inverse = 1 / (0.5 * problems.columns * problems.share.amax(1)[:, None] + penalty).clamp(min=1e-12)
    weights = penalty.new_zeros(problems.classes, *penalty.shape)
    logits = problems.logits(weights)
    gradient = problems.gradient(logits, weights, penalty)
    history: deque[tuple[Tensor, Tensor, Tensor]] = deque(maxlen=MEMORY)
    for _ in range(MAX_STEPS):
        if gradient.abs().amax() <= TOLERANCE:
            break
        direction = -_curved(gradient, history, inverse)
        along = problems.logits(direction)
        length = _step_lengths(problems, (weights, direction), (logits, along), penalty, _dot(direction, gradient))
        step = length[:, None] * direction
        weights, logits = weights + step, logits + length[:, None] * along
        before, gradient = gradient, problems.gradient(logits, weights, penalty)
        change = gradient - before
        history.append((step, change, _safe_inverse(_dot(step, change))))
    return weights


def _curved(gradient: Tensor, history: Sequence[tuple[Tensor, Tensor, Tensor]], inverse: Tensor) -> Tensor:
    """The history's inverse Hessian times the gradient: the two loops of L-BFGS (Nocedal 1980), problem by problem."""
    vector, factors = gradient, []
    for step, change, rho in reversed(history):
        factors.append(rho * _dot(step, vector))
        vector = vector - factors[-1][:, None] * change
    vector = inverse * vector
    if history:
        step, change, rho = history[-1]
        scale = _dot(step, change) * _safe_inverse(_dot(change, inverse * change))
        vector = torch.where(rho > 0, scale, 1.0)[:, None] * vector
    for (step, change, rho), factor in zip(history, reversed(factors), strict=True):
        vector = vector + (factor - rho * _dot(change, vector))[:, None] * step
    return vector


def _step_lengths(
    problems: Problems,
    place: tuple[Tensor, Tensor],
    scores: tuple[Tensor, Tensor],
    penalty: Tensor,
    slope: Tensor,
) -> Tensor:
    """[j] 1, or the first halving of it that lowers the loss enough (Armijo)."""
    (weights, direction), (logits, along) = place, scores
    start = problems.loss(logits)
    linear, square = (0.5 * _dot(penalty * direction, other) for other in (2 * weights, direction))
    length = torch.ones_like(start)
    for _ in range(HALVINGS):
        here = problems.loss(logits + length[:, None] * along) + length * linear + length.square() * square
        enough = here <= start + 1e-4 * length * slope + 1e-6 * start.abs()
        if enough.all():
            break
        length = torch.where(enough, length, 0.5 * length)
    return length


def _dot(a: Tensor, b: Tensor) -> Tensor:
    """[j] of two [c, j, d]."""
    return (a * b).sum((0, 2))


def _safe_inverse(values: Tensor) -> Tensor:
    """1/values; 0 where a problem has stopped moving."""
    return torch.where(values > 1e-30, 1 / values, 0.0)
