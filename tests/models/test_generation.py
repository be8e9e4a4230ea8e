"""Greedy answers are those of a plain loop without cache, whatever shares a batch."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from repflow.models import Loaded, load
from repflow.models.generation import greedy

FAMILIES = ("gpt_neox", "gpt_neo", "mamba", "mamba2", "bamba", "jamba")
NEW = 10
NEVER = "no such text"
LENGTHS = (9, 21, 3, 9, 40, 9, 21)
DRAW = torch.Generator().manual_seed(7)
PROMPTS = [torch.randint(0, 256, (n,), generator=DRAW).tolist() for n in LENGTHS]


@pytest.fixture(scope="module", params=FAMILIES)
def subject(request: pytest.FixtureRequest) -> Loaded:
    """Weights large enough that it does not say one token only."""
    torch.set_num_threads(1)
    return load(f"config:{request.param},layers=3,width=32,tie_word_embeddings=false@init=orthogonal:1")


@pytest.fixture(scope="module")
def answers(subject: Loaded) -> list[list[int]]:
    """What the model says without being stopped, by a loop that reads everything anew for each token."""
    return [naive(subject, prompt) for prompt in PROMPTS]


def naive(subject: Loaded, prompt: Sequence[int]) -> list[int]:
    ids = list(prompt)
    for _ in range(NEW):
        with torch.no_grad():
            logits = subject.model(input_ids=torch.tensor([ids]), use_cache=False).logits
        ids.append(int(logits[0, -1].argmax()))
    return ids[len(prompt) :]


def decoded(subject: Loaded, tokens: Sequence[int]) -> str:
    return subject.tokenizer.decode(list(tokens), skip_special_tokens=True)


def cut(subject: Loaded, tokens: Sequence[int], stop: str) -> str:
    """The answer up to the token that brings `stop` behind leading blanks."""
    for end in range(1, len(tokens)):
        if stop in decoded(subject, tokens[:end]).lstrip():
            return decoded(subject, tokens[:end])
    return decoded(subject, tokens)


def a_stop(subject: Loaded, answers: list[list[int]]) -> str:
    """A text that some answers hold early and others do not."""
    texts = [decoded(subject, tokens) for tokens in answers]
    return next(c for c in dict.fromkeys("".join(texts)) if 0 < sum(c in t[:-2].lstrip() for t in texts) < len(texts))


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_answers_are_those_of_the_plain_loop_in_the_order_of_the_prompts(
    batch: int, subject: Loaded, answers: list[list[int]]
) -> None:
    assert len({tuple(tokens) for tokens in answers}) >= 5, "or the order could not be seen"
    found = greedy(subject, PROMPTS, new_tokens=NEW, batch=batch, stop=NEVER)
    assert found == [decoded(subject, tokens) for tokens in answers]


def test_an_answer_ends_with_the_stop_whatever_shares_its_batch(subject: Loaded, answers: list[list[int]]) -> None:
    stop = a_stop(subject, answers)
    wanted = [cut(subject, tokens, stop) for tokens in answers]
    assert wanted != [decoded(subject, tokens) for tokens in answers]
    for batch in (1, 16):
        assert greedy(subject, PROMPTS, new_tokens=NEW, batch=batch, stop=stop) == wanted


def test_an_answer_ends_with_the_end_of_text(subject: Loaded, answers: list[list[int]]) -> None:
    """The models' token `said` and their end of text change places in embedding and unembedding."""
    end = subject.tokenizer.eos_token_id
    said = answers[0][4]
    assert end not in PROMPTS[0] + answers[0]
    renamed = [[{said: end, end: said}.get(i, i) for i in ids] for ids in PROMPTS]
    with swapped(subject, said, end):
        whole = [naive(subject, ids) for ids in renamed]
        found = greedy(subject, renamed, new_tokens=NEW, stop=NEVER)
    assert whole[0] == [{said: end, end: said}.get(i, i) for i in answers[0]]
    wanted = [tokens[: tokens.index(end)] if end in tokens else tokens for tokens in whole]
    assert len(wanted[0]) <= 4
    assert found == [decoded(subject, tokens) for tokens in wanted]


class swapped:  # noqa: N801
    """Two tokens trade their rows, and trade them back."""

    def __init__(self, subject: Loaded, a: int, b: int) -> None:
        self.matrices = [
            m.weight for m in (subject.model.get_input_embeddings(), subject.model.get_output_embeddings())
        ]
        self.a, self.b = a, b

    def __enter__(self) -> None:
        assert self.matrices[0] is not self.matrices[1]
        with torch.no_grad():
            for matrix in self.matrices:
                matrix[[self.a, self.b]] = matrix[[self.b, self.a]]

    def __exit__(self, *_: object) -> None:
        self.__enter__()


@pytest.fixture
def pythia() -> Loaded:
    return load("config:gpt_neox,layers=2,width=32,tie_word_embeddings=false@init=orthogonal:1")


def test_a_model_without_an_end_of_text_stops_each_answer_alike(pythia: Loaded) -> None:
    pythia.model.generation_config.eos_token_id = None
    pythia.model.config.eos_token_id = None
    tokens = [naive(pythia, prompt) for prompt in PROMPTS]
    stop = a_stop(pythia, tokens)
    wanted = [cut(pythia, answer, stop) for answer in tokens]
    for batch in (1, 16):
        assert greedy(pythia, PROMPTS, new_tokens=NEW, batch=batch, stop=stop) == wanted


def test_what_a_checkpoint_recommends_for_sampling_changes_nothing(pythia: Loaded) -> None:
    plain = greedy(pythia, PROMPTS, new_tokens=NEW, stop=NEVER)
    for name, value in {"do_sample": True, "temperature": 3.0, "repetition_penalty": 5.0, "max_length": 12}.items():
        setattr(pythia.model.generation_config, name, value)
    assert greedy(pythia, PROMPTS, new_tokens=NEW, stop=NEVER) == plain


def test_leading_blanks_do_not_stop_an_answer(pythia: Loaded, monkeypatch: pytest.MonkeyPatch) -> None:
    said = pythia.tokenizer.encode("\n \nab\ncd", add_special_tokens=False)

    def generate(input_ids: torch.Tensor, stopping_criteria: Any, **_: Any) -> torch.Tensor:
        for token in said:
            input_ids = torch.cat([input_ids, torch.tensor([[token]])], dim=1)
            if all(criterion(input_ids, None).all() for criterion in stopping_criteria):
                break
        return input_ids

    monkeypatch.setattr(pythia.model, "generate", generate)
    assert greedy(pythia, [[1, 2]], new_tokens=20) == ["\n \nab\n"]


def test_no_prompts_no_answers(pythia: Loaded) -> None:
    assert greedy(pythia, [], new_tokens=3) == []
