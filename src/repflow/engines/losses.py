"""Next-token loss of examples: one pass of the trunk, then the unembedding a few tokens at a time."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, cast

import numpy as np
import torch
from jaxtyping import Float64
from torch import Tensor, nn
from torch.nn import functional

from repflow.core import Example, ModelProblem, RepflowError
from repflow.core.boundary import one_line
from repflow.engines.shard import Reader, batches
from repflow.metrics import pad

CHUNK = 256
"""Tokens whose logits are held at once: 50 MB of float32 with a vocabulary of 49,000."""


def next_token_losses(reader: Reader, examples: Sequence[Example]) -> Float64[np.ndarray, "n"]:
    """Mean nats a predicted token of each example, every token but the first being predicted; NaN for one token.

    The model's own head makes the logits, soft caps and scales included; they are read in float32. Padding is neither
    read nor predicted. The cost in memory beyond the forward pass is that of `CHUNK` rows of logits.
    Raises ModelProblem for a model whose head does not follow its trunk, and when the model fails; names the examples.
    """
    return np.concatenate(
        [_of_batch(reader, chunk) for chunk in batches(examples, reader.batch_tokens, reader.lengths)]
    )


@torch.inference_mode()
def _of_batch(reader: Reader, examples: Sequence[Example]) -> np.ndarray:
    padded, real = pad([example.ids for example in examples])
    ids, predicted = padded.to(reader.device), real[:, 1:].to(reader.device)
    try:
        said = reader.forward(ids)
        states = _states(reader, said)[:, :-1][predicted]
        found = [_losses(reader, said, *piece) for piece in _pieces(states, ids[:, 1:][predicted])]
    except RepflowError:
        raise
    except Exception as error:
        named = f"examples {examples[0].id}..{examples[-1].id}"
        raise ModelProblem(f"{reader.label}: the next-token loss failed on {named}: {one_line(error)}") from error
    sums = torch.zeros(predicted.shape, dtype=torch.float64, device=reader.device)
    sums[predicted] = torch.cat([*found, sums.new_empty(0)]).double()
    return (sums.sum(1) / predicted.sum(1)).cpu().numpy()


def _states(reader: Reader, said: Any) -> Tensor:
    states, model = getattr(said, "last_hidden_state", None), cast("Any", reader.model)
    if not isinstance(states, Tensor) or model.get_output_embeddings() is None:
        raise ModelProblem(f"{reader.label}: no unembedding behind its trunk was found, so it has no next-token loss")
    return states


def _pieces(states: Tensor, targets: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    return zip(states.split(CHUNK), targets.split(CHUNK), strict=True)


def _losses(reader: Reader, said: Any, states: Tensor, targets: Tensor) -> Tensor:
    model = cast("Any", reader.model)
    with _saying(model.base_model, said, states[None]):
        logits = model(input_ids=targets[None], use_cache=False).logits[0]
    return functional.cross_entropy(logits.float(), targets, reduction="none")


@contextmanager
def _saying(trunk: nn.Module, said: Any, states: Tensor) -> Iterator[None]:
    """Within, the trunk runs nothing and returns the given states, whatever it is called with.

    So the model's own forward turns them into logits, in the way its family does.
    """
    before = trunk.__dict__.get("forward")
    answer = replace(said, last_hidden_state=states)

    def forward(*args: Any, **options: Any) -> Any:
        del args, options
        return answer

    trunk.forward = forward
    try:
        yield
    finally:
        if before is None:
            del trunk.forward
        else:
            trunk.forward = before
