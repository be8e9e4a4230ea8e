"""The quantities repflow measures, as losses that train: keep tokens apart, keep paths through depth smooth.

    with flow_losses(model, {"token_diversity": 0.1}) as extra:
        loss = model(**batch).loss + extra.loss()

`FlowLossTrainer` does the same inside transformers' Trainer.
"""

from typing import TYPE_CHECKING, Any

from repflow.training.losses.attached import FlowLosses, flow_losses
from repflow.training.losses.contrastive import ContrastiveTokens, contrastive_tokens
from repflow.training.losses.diversity import TokenDiversity, token_diversity
from repflow.training.losses.global_variance import VGlob, v_glob
from repflow.training.losses.local_variance import VLoc, v_loc
from repflow.training.losses.regulariser import FlowRegulariser
from repflow.training.losses.term import Losses, Term

if TYPE_CHECKING:
    from repflow.training.losses._trainer import FlowLossMixin, FlowLossTrainer

__all__ = [
    "ContrastiveTokens",
    "FlowLossMixin",
    "FlowLossTrainer",
    "FlowLosses",
    "FlowRegulariser",
    "Losses",
    "Term",
    "TokenDiversity",
    "VGlob",
    "VLoc",
    "contrastive_tokens",
    "flow_losses",
    "token_diversity",
    "v_glob",
    "v_loc",
]


def __getattr__(name: str) -> Any:
    # transformers' Trainer is slow to import and a plain loop does not need it.
    if name not in ("FlowLossMixin", "FlowLossTrainer"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from repflow.training.losses import _trainer

    return getattr(_trainer, name)
