"""The two ends of a model: what token ids become, and what reads the final norm."""

from typing import Any

from torch import Tensor, nn


def embedding_of(model: nn.Module) -> Tensor | None:
    """The token embeddings, [vocabulary, width], where the model says which they are."""
    weight = getattr(_asked(model, "get_input_embeddings"), "weight", None)
    return weight if isinstance(weight, Tensor) else None


def head_of(model: nn.Module) -> nn.Module | None:
    """The module that makes logits, where the model says which it is."""
    found = _asked(model, "get_output_embeddings")
    return found if isinstance(found, nn.Module) else None


def _asked(model: nn.Module, name: str) -> Any:
    ask = getattr(model, name, None)
    try:
        return ask() if callable(ask) else None
    except (AttributeError, NotImplementedError):
        return None
