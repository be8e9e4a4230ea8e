"""The published protocol: one linear softmax layer, full-batch Adam, all splits and tasks of some sites at once."""

import math

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor
from torch.nn import functional

from repflow.studies.probe.linear.jobs import Jobs
from repflow.studies.probe.linear.scaling import Scaling, training_scaling
from repflow.studies.probe.linear.standing_rows import rows_of

LEARNING_RATE = 5e-3
BETAS = (0.9, 0.999)
EPSILON = 1e-8
WEIGHT_DECAY = 1e-3
EPOCHS = 150


def predict_adam(states: Float32[Tensor, "s n d"], jobs: Jobs) -> Int64[Tensor, "s j n"]:
    """Classes that the trained probes give all rows of the standardised states.

    Exactly the path of a loop over sites and jobs with z-scored states, torch.optim.Adam and cross_entropy from zero
    weights, but for rounding. One product serves all jobs of a site: z-scoring is folded into the weights, the training
    split into the residuals. Zero weights, where such loops often start at random ones: the loss is convex, all classes
    start alike, and no further seed is needed.
    A softmax does not change when one class's logits are taken off all of them, and its residuals sum to 0: the
    products leave the last class out. Not so the gradient of the biases. Where classes are balanced it starts at 0, and
    of rounding Adam makes steps, which do no harm only where every class is rounded alike.
    """
    sites, n, width = states.shape
    scaling = _scaling(states, jobs)
    rows = rows_of(functional.pad(states, (0, 1), value=1.0))
    target, share = jobs.target(), jobs.share()
    weights = states.new_zeros(sites, jobs.classes, jobs.count, width + 1)
    logits = states.new_zeros(sites, jobs.classes, jobs.count, n)
    adam = Adam(weights)
    for epoch in range(EPOCHS + 1):
        folded = scaling.fold(weights[:, :-1] - weights[:, -1:])
        logits[:, :-1] = rows.logits(folded.flatten(1, 2)).view_as(logits[:, :-1])
        if epoch == EPOCHS:
            break
        residuals = torch.softmax(logits, 1).mul_(share).sub_(target)
        gradient = scaling.unfold(rows.gradient(residuals[:, :-1].flatten(1, 2)).view_as(folded))
        gradient = torch.cat([gradient, -gradient.sum(1, keepdim=True)], 1)
        gradient[..., -1] = residuals.sum(-1)
        adam.step(gradient)
    return logits.argmax(1)


class Adam:
    """torch.optim.Adam on one tensor, its weight decay coupled; less than half the time of the optimiser itself."""

    def __init__(self, weights: Float[Tensor, "*problems"]) -> None:
        self.weights = weights
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)
        self.steps = 0

    def step(self, gradient: Float[Tensor, "*problems"]) -> None:
        """One update of the weights; the gradient is used up."""
        self.steps += 1
        first, second = 1 - BETAS[0] ** self.steps, math.sqrt(1 - BETAS[1] ** self.steps)
        gradient.add_(self.weights, alpha=WEIGHT_DECAY)
        self.mean.lerp_(gradient, 1 - BETAS[0])
        self.square.mul_(BETAS[1]).addcmul_(gradient, gradient, value=1 - BETAS[1])
        spread = torch.sqrt(self.square, out=gradient).add_(EPSILON * second)
        self.weights.addcdiv_(self.mean, spread, value=-LEARNING_RATE * second / first)


def _scaling(states: Float32[Tensor, "s n d"], jobs: Jobs) -> Scaling:
    """Of every site and job, [s, 1, j, d]."""
    of_sites = [training_scaling(site, jobs.train) for site in states]
    mean, inverse = (torch.stack([getattr(scaling, name) for scaling in of_sites]) for name in ("mean", "inverse"))
    repeats = (1, 1, len(jobs.labels), 1)
    return Scaling(mean[:, None].repeat(repeats), inverse[:, None].repeat(repeats))
