"""Greedy continuation of prompts, the same for every family."""

from collections.abc import Sequence
from dataclasses import dataclass
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
    state-space model, and shifts learned positions. An answer ends with an end of text, or with the token that brings
    `stop` behind its leading blanks.
    """
    answers: dict[int, str] = {}
    order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
    while order:
        length = len(prompts[order[0]])
        group = [i for i in order[:batch] if len(prompts[i]) == length]
        order = order[len(group) :]
        ids = torch.tensor([list(prompts[i]) for i in group], device=subject.device)
        ending = _Ending(subject.tokenizer, length, stop, [new_tokens] * len(group))
        with quiet():
            said = subject.model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                repetition_penalty=1.0,
                max_new_tokens=new_tokens,
                pad_token_id=_padding(subject.tokenizer),
                stopping_criteria=[ending],
            )
        for i, row, end in zip(group, said[:, length:], ending.ends, strict=True):
            answers[i] = subject.tokenizer.decode(row[:end], skip_special_tokens=True)
    return [answers[i] for i in range(len(prompts))]


def _padding(tokenizer: Any) -> int:
    """What fills a finished answer; decoding drops it."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


@dataclass
class _Ending:
    """Ends each answer that contains `stop` behind its leading blanks, and remembers where."""

    tokenizer: Any
    length: int
    """Tokens of the prompts."""
    stop: str
    ends: list[int]
    """New tokens of each answer. Where a model has no end of text, it goes on until all answers have ended."""

    def __call__(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        del scores, kwargs
        said = self.tokenizer.batch_decode(input_ids[:, self.length :])
        ended = [self.stop in text.lstrip() for text in said]
        made = input_ids.shape[1] - self.length
        self.ends = [min(end, made) if now else end for end, now in zip(self.ends, ended, strict=True)]
        return torch.tensor(ended, device=input_ids.device)
