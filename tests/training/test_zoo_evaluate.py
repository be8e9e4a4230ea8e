"""The numbers of a card: held-out loss against a plain loop, retrieval by a model that knows, intervals, the words."""

import math
import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, entropy
from torch import Tensor
from zoo_kit import Quiet, prose, small_mamba, small_pythia

from repflow.core import BadFile, ContextTooLong, NotEnoughData
from repflow.models import Loaded, load
from repflow.models.initialise import random_model
from repflow.tasks.files import shipped
from repflow.tasks.passages import read_questions
from repflow.training.zoo import evaluate
from repflow.training.zoo.card import Reached, told_reached
from repflow.training.zoo.card import evaluate as card_numbers
from repflow.training.zoo.evaluate import (
    GATE,
    Retrieval,
    TextLoss,
    learnt_to_retrieve,
    retrieval,
    retrieves,
    text_loss,
    unigram_entropy,
    wilson,
)
from repflow.training.zoo.recipes import POSITIONS

CONFIGS = {"pythia": small_pythia, "mamba": small_mamba}


@pytest.fixture(autouse=True, scope="module")
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module", params=CONFIGS)
def subject(request: pytest.FixtureRequest, zoo_tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    folder = tmp_path_factory.mktemp("subject")
    model = random_model(CONFIGS[request.param](), seed=1)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(20)
    model.save_pretrained(folder)
    zoo_tokenizer.save_pretrained(folder)
    return load(str(folder))


def wikitext(folder: Path, text: str) -> Path:
    (folder / "wikitext-2").mkdir()
    (folder / "wikitext-2" / "valid.txt").write_text(text)
    return folder


# Text.


def test_the_loss_is_that_of_a_plain_loop_over_tokens(subject: Loaded, tmp_path: Path) -> None:
    """Three pieces, so that one batch is not full, and a rest that is left out."""
    text = prose()[40_000:52_000].encode("ascii", "ignore").decode()
    ids = subject.tokenizer(text, verbose=False)["input_ids"]
    assert 3 * POSITIONS < len(ids) < 4 * POSITIONS
    lost, read, seen = 0.0, 0, []
    for start in (0, POSITIONS, 2 * POSITIONS):
        piece = ids[start : start + POSITIONS]
        with torch.no_grad():
            logits = subject.model(input_ids=torch.tensor([piece])).logits[0].double()
        for at in range(1, POSITIONS):
            lost -= float(logits[at - 1].log_softmax(0)[piece[at]])
            read += len(subject.tokenizer.decode([piece[at]]).encode())
            seen.append(piece[at])
    found = text_loss(subject, wikitext(tmp_path, text), "valid", Quiet())
    assert found.tokens == len(seen) == 3 * (POSITIONS - 1)
    assert found.nats == pytest.approx(lost / len(seen), rel=1e-5)
    assert found.bits_per_byte == pytest.approx(lost / math.log(2) / read, rel=1e-5)
    assert found.unigram_nats == pytest.approx(entropy(np.unique(seen, return_counts=True)[1]), rel=1e-9)
    assert found.nats > found.unigram_nats + 1, "a random model knows nothing"


def test_texts_that_cannot_be_read_are_refused(subject: Loaded, tmp_path: Path) -> None:
    data = wikitext(tmp_path, "Too short.")
    with pytest.raises(NotEnoughData, match=r"wikitext-2 valid is shorter than one piece of 1024 tokens"):
        text_loss(subject, data, "valid", Quiet())
    with pytest.raises(BadFile, match=r"there is no file .*test\.txt"):
        text_loss(subject, data, "test", Quiet())


@settings(deadline=None)
@given(ids=st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_unigram_entropy_is_scipys(ids: list[int]) -> None:
    counts = [ids.count(i) for i in set(ids)]
    assert unigram_entropy(np.asarray(ids)) == pytest.approx(float(entropy(counts)), abs=1e-12)


def test_unigram_entropy_of_many_rows_is_that_of_all_their_tokens() -> None:
    assert unigram_entropy(np.arange(12).reshape(3, 4)) == pytest.approx(math.log(12))


# Intervals.


@pytest.mark.parametrize("n", [1, 2, 17, 60])
def test_the_interval_is_scipys(n: int) -> None:
    for right in range(n + 1):
        theirs = binomtest(right, n).proportion_ci(method="wilson")
        assert wilson(right, n) == pytest.approx((theirs.low, theirs.high), abs=1e-7)
        found = Retrieval("kvpr", 4, right, n)
        assert found.accuracy == right / n
        assert found.interval == wilson(right, n)


def test_learnt_is_what_lies_above_one_at_random_with_its_whole_interval() -> None:
    """Of 4 pairs: 15 of 60 are chance; 21 are above it, not with all of the interval; 24 are."""
    found = [Retrieval("kvpr", 4, right, 60) for right in (0, 15, 21, 24, 60)]
    assert binomtest(21, 60).proportion_ci(method="wilson").low < 1 / 4
    assert binomtest(24, 60).proportion_ci(method="wilson").low > 1 / 4
    assert learnt_to_retrieve(found) == found[3:]
    assert learnt_to_retrieve([Retrieval("mdqa", 2, 24, 60)]) == []


# Retrieval.


class Knowing:
    """Answers every prompt of the tasks, rightly or with what is asked of another key or question."""

    def __init__(self, tokenizer: Any, *, right: bool) -> None:
        self.tokenizer, self.right = tokenizer, right
        self.answers = {asked.question: asked.answers[0] for asked in read_questions(shipped("mdqa.jsonl"))}

    def answer(self, prompt: str) -> str:
        if found := re.search(r'Key: "(.*)"\nCorresponding value:$', prompt):
            pairs = dict(re.findall(r'"(.*)": "(.*)"', prompt))
            wrong = next(value for key, value in pairs.items() if key != found[1])
            return f' "{pairs[found[1]] if self.right else wrong}"\n\nKey:'
        question = re.findall(r"Question: (.*)\nAnswer:$", prompt)[0]
        return f" {self.answers[question] if self.right else 'Nobody knows'}\n{self.answers[question]}"

    def generate(self, input_ids: Tensor, **_: Any) -> Tensor:
        texts = [self.answer(self.tokenizer.decode(row)) for row in input_ids]
        said = [self.tokenizer(text, add_special_tokens=False)["input_ids"][:24] for text in texts]
        rows = [row.tolist() + ids + [0] * (24 - len(ids)) for row, ids in zip(input_ids, said, strict=True)]
        return torch.tensor(rows)


@pytest.mark.parametrize("right", [True, False])
def test_who_knows_is_always_right_and_who_does_not_never(
    right: bool, zoo_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "EXAMPLES", 12)
    knowing: Any = SimpleNamespace(
        model=Knowing(zoo_tokenizer, right=right),
        tokenizer=zoo_tokenizer,
        device=torch.device("cpu"),
        facts=SimpleNamespace(label="knowing", n_embeddings=len(zoo_tokenizer)),
        as_loaded=nullcontext,
    )
    found = retrieval(knowing, Quiet())
    assert retrieves(found) is right
    assert [(r.task, r.items) for r in found] == [
        (GATE, 2),
        *(("kvpr", n) for n in (4, 8, 16, 32)),
        *(("mdqa", n) for n in (2, 3, 5)),
    ]
    assert {(r.examples, r.accuracy) for r in found} == {(12, float(right))}
    assert learnt_to_retrieve(found) == (found if right else [])


def test_prompts_hold_as_many_items_as_they_say(zoo_tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts: list[str] = []

    def listening(subject: Any, ids: Any, *, new_tokens: int) -> list[str]:
        prompts.extend(subject.tokenizer.decode(row) for row in ids)
        assert all(len(row) + new_tokens <= POSITIONS for row in ids)
        return [""] * len(ids)

    monkeypatch.setattr(evaluate, "EXAMPLES", 5)
    monkeypatch.setattr(evaluate, "greedy", listening)
    retrieval(SimpleNamespace(tokenizer=zoo_tokenizer, facts=SimpleNamespace(label="x")), Quiet())  # pyright: ignore[reportArgumentType]
    counts = [
        len(re.findall(r'^ ?\{?"\w+": "\w+"', text, re.M) or re.findall(r"^Document \[", text, re.M))
        for text in prompts
    ]
    assert counts == [n for n in (2, 4, 8, 16, 32, 2, 3, 5) for _ in range(5)]
    apart = [re.search(r"\}\n\n((?:\w+ ?)+)\n\nKey", text) for text in prompts]
    words = [len(found[1].split()) for found in apart if found]
    assert len(words) == 5
    assert set(words) <= {3, 4, 5}
    assert len(set(prompts)) == len(prompts)


# In words.


def reached(*found: Retrieval, text: TextLoss | None = None) -> Reached:
    return Reached("zoo:x", 2_000_000, text, TextLoss(2.5, 1.25, 4.75, 1023), found)


def test_the_card_says_the_numbers() -> None:
    told = told_reached(reached(Retrieval("kvpr", 4, 45, 60), text=TextLoss(3.21, 1.62, 5.4321, 9207)))
    assert "| wikitext-2, valid | 3.210 | 1.620 | 5.432 nats | 9,207 |" in told
    assert "| repflow's prose | 2.500 | 1.250 | 4.750 nats | 1,023 |" in told
    low, high = binomtest(45, 60).proportion_ci(method="wilson")
    assert f"| kvpr | 4 | 75% | {low:.0%} to {high:.0%} | 25% | 60 |" in told


def test_the_verdict_names_where_it_learnt_to_retrieve_and_nothing_else() -> None:
    some = told_reached(
        reached(Retrieval("kvpr", 4, 45, 60), Retrieval("kvpr", 8, 8, 60), Retrieval("mdqa", 2, 60, 60))
    )
    assert "clearly above naming one of the items at random on kvpr with 4, mdqa with 2; nowhere else." in some
    none = told_reached(reached(Retrieval("kvpr", 4, 15, 60)))
    assert "It has **not** learnt to retrieve" in none
    assert "| wikitext-2, valid | not measured: the data folder had none |" in none


def test_the_gate_decides_who_is_said_to_retrieve() -> None:
    """Above 80%; a card from before the gate says nothing."""
    others = Retrieval("kvpr", 4, 60, 60)
    assert retrieves([others]) is None
    assert retrieves([Retrieval(GATE, 2, 48, 60), others]) is False
    assert retrieves([Retrieval(GATE, 2, 49, 60), others]) is True
    assert "It **retrieves**" in told_reached(reached(Retrieval(GATE, 2, 60, 60)))
    assert "It **does not retrieve**" in told_reached(reached(Retrieval(GATE, 2, 30, 60), others))
    assert "retrieves" not in told_reached(reached(others))


def test_a_card_needs_a_folder_and_as_many_positions_as_it_reads(subject: Loaded, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=r"there is no folder .*nowhere; --data needs"):
        card_numbers(subject, tmp_path / "nowhere", Quiet())
    short = load("config:gpt_neo,layers=2,width=16,positions=256")
    with pytest.raises(ContextTooLong, match="has 256 positions; a card reads texts of 1024 tokens"):
        card_numbers(short, tmp_path, Quiet())
