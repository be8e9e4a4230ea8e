"""The next-token loss against cross-entropy written out, and against what the models say of themselves."""

import numpy as np
import pytest
import torch

from repflow.core import Example, ModelProblem
from repflow.engines import Reader, losses
from repflow.engines.losses import next_token_losses
from repflow.models import Loaded, load
from repflow.models.families import FAMILIES


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def reader_of(subject: Loaded, batch_tokens: int = 256) -> Reader:
    return Reader(
        subject.facts.label, subject.model, subject.forward, subject.taps, (), torch.device("cpu"), batch_tokens
    )


def prompts(*lengths: int) -> list[Example]:
    draw = torch.Generator().manual_seed(1)
    return [
        Example(id=i, ids=tuple(torch.randint(250, (length,), generator=draw).tolist()))
        for i, length in enumerate(lengths)
    ]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_example_has_the_loss_that_transformers_gives(family: str) -> None:
    subject = load(f"config:{family},layers=2,width=32@init=normal:3")
    (example,) = prompts(23)
    ids = torch.tensor([example.ids])
    with torch.no_grad():
        expected = subject.model(input_ids=ids, labels=ids, use_cache=False).loss
    assert next_token_losses(reader_of(subject), [example]) == pytest.approx([expected.item()], rel=1e-5)


@pytest.mark.parametrize("family", ["gpt_neox", "mamba2"])
def test_padding_batches_and_chunks_do_not_count(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load(f"config:{family},layers=2,width=32@init=normal:3")
    examples = prompts(9, 31, 2, 17, 20)
    expected = []
    for example in examples:
        ids = torch.tensor([example.ids])
        with torch.no_grad():
            logits = subject.model(input_ids=ids, use_cache=False).logits[0].double()
        shares = logits.exp() / logits.exp().sum(-1, keepdim=True)
        expected.append(np.mean([-shares[t, token].log().item() for t, token in enumerate(example.ids[1:])]))
    for chunk, batch_tokens in ((256, 400), (7, 70), (1, 1)):
        monkeypatch.setattr(losses, "CHUNK", chunk)
        assert next_token_losses(reader_of(subject, batch_tokens), examples) == pytest.approx(expected, rel=1e-5)


def test_a_single_token_predicts_nothing() -> None:
    subject = load("config:gpt2,layers=1,width=16")
    found = next_token_losses(reader_of(subject), prompts(1, 5))
    assert np.isnan(found[0])
    assert found[1] > 0
    assert np.isnan(next_token_losses(reader_of(subject), prompts(1))).all()


def test_no_more_logits_than_a_chunk_are_made_and_the_trunk_is_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load("config:llama,layers=1,width=16")
    rows: list[int] = []
    hook = subject.model.get_output_embeddings().register_forward_hook(
        lambda *seen: rows.append(seen[2].numel() // seen[2].shape[-1])
    )
    monkeypatch.setattr(losses, "CHUNK", 10)
    next_token_losses(reader_of(subject), prompts(23, 14))
    hook.remove()
    assert rows == [10, 10, 10, 5]
    assert "forward" not in vars(subject.model.base_model)


def test_a_model_that_fails_is_named_and_left_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = load("config:gpt2,layers=1,width=16")
    with monkeypatch.context() as patch:
        patch.setattr(subject.model, "lm_head", torch.nn.Linear(5, 5))
        with pytest.raises(ModelProblem, match=r"config:gpt2.*next-token loss failed on examples 0..1"):
            next_token_losses(reader_of(subject), prompts(4, 4))
    assert "forward" not in vars(subject.model.base_model)
    broken = Reader("m", subject.model, lambda ids: (ids,), subject.taps, (), torch.device("cpu"), 64)
    with pytest.raises(ModelProblem, match="no unembedding"):
        next_token_losses(broken, prompts(4))
