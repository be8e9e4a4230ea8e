"""Greedy continuation of prompts, the same for every family."""

from collections.abc import Sequence
from typing import Any

import torch

from repflow.models.loading import Loaded
from repflow.models.quiet import quiet


@torch.no_grad()
def greedy(
    subject: Loaded, prompts: Sequence[Sequence[int]], *, new_tokens: int, batch: int = 16, stop: str = "\n"
) -> list[str]:
    """What the model says after each prompt: at most `new_tokens` tokens, taken greedily, decoded.

    Prompts of one length share a batch and no prompt is padded: padding on the left would enter the state of a
    state-space model, and shifts learned positions. A batch ends when each of its answers has an end of text or `stop`.
    """
    answers: dict[int, str] = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        length = len(prompts[order[0]])
        group = [i for i in order[:batch] if len(prompts[i]) == length]
        order = order[len(group) :]
        ids = torch.tensor([list(prompts[i]) for i in group], device=subject.device)
        with quiet():
            said = subject.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=new_tokens,
                pad_token_id=_padding(subject.tokenizer),
                stopping_criteria=_stopping(subject.tokenizer, length, stop),
            )
        for i, row in zip(group, said[:, length:], strict=True):
            answers[i] = subject.tokenizer.decode(row, skip_special_tokens=True)
    return [answers[i] for i in range(len(prompts))]


def _padding(tokenizer: Any) -> int:
    """What fills a finished answer; decoding drops it."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def _stopping(tokenizer: Any, length: int, stop: str) -> Any:
    """Ends each answer that contains `stop` behind its leading blanks."""
    from transformers import StoppingCriteria, StoppingCriteriaList

    class Stop(StoppingCriteria):
        def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
            del scores, kwargs
            ended = [stop in text.lstrip() for text in tokenizer.batch_decode(input_ids[:, length:])]
            return torch.tensor(ended, device=input_ids.device)

    return StoppingCriteriaList([Stop()])
