"""sequence_curvature: how sharply a sequence's trajectory turns at a site."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from repflow.metrics.tensors import angle, row_dot, row_norm
from repflow.metrics.trace import Trace, masked_mean
from repflow.metrics.view import SiteView


@dataclass(frozen=True)
class SequenceCurvature:
    """Mean angle in radians, in [0, pi], between successive differences h_{t+1} - h_t and h_{t+2} - h_{t+1}.

    Needs three neighbouring counted tokens, NaN otherwise. Source: Hosseini & Fedorenko 2023 (arXiv:2311.04930).
    """

    name: str = "sequence_curvature"
    variants: tuple[str, ...] = ("raw",)

    def collect(self, view: SiteView) -> dict[str, Tensor]:
        if view.states.shape[1] < 3:
            return {}
        room = view.rooms.states("scratch", 0, view.states)[:, 1:]
        differences = torch.sub(view.states[:, 1:], view.states[:, :-1], out=room)
        return {"length": row_norm(differences), "dot": row_dot(differences[:, 1:], differences[:, :-1])}

    def values(self, collected: Mapping[str, Tensor], trace: Trace) -> dict[str, Tensor]:
        if not collected:
            return {}
        length, keep = collected["length"].double(), trace.keep
        angles = angle(collected["dot"].double() / (length[..., 1:] * length[..., :-1]))
        return {"raw": masked_mean(angles, keep[..., :-2] & keep[..., 1:-1] & keep[..., 2:])}
