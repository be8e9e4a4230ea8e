"""The models that come with the package."""

import json
from pathlib import Path

import pytest

from repflow.models import load
from repflow.models.generation import greedy
from repflow.models.zoo import TRAINED, zoo_source
from repflow.training.zoo.card import NUMBERS, Reached, told_reached
from repflow.training.zoo.evaluate import GATE, RETRIEVES, Retrieval, TextLoss, prose_loss
from repflow.training.zoo.recipes import BLOCKS, RECIPES, WIDTH


class Quiet:
    def note(self, line): ...

    def begin(self, title, total, unit="example"): ...

    def advance(self, done, tokens): ...


@pytest.fixture(scope="module", params=TRAINED)
def subject(request):
    return load(f"zoo:{request.param}", device="cpu")


def read_card(subject):
    folder = zoo_source(subject.facts.label.removeprefix("zoo:"))
    with (
        open(f"{folder}/{NUMBERS}", encoding="utf-8") as numbers,
        open(f"{folder}/README.md", encoding="utf-8") as card,
    ):
        return json.load(numbers), card.read()


def test_whatever_is_shipped_can_be_trained_again():
    assert set(TRAINED) <= set(RECIPES)


def test_loads_offline_with_the_promised_shape(subject):
    assert (subject.facts.n_blocks, subject.facts.width, subject.facts.init) == (BLOCKS, WIDTH, "trained")
    assert subject.facts.warnings == ()


def test_sizes_are_within_a_tenth_and_vocabularies_one():
    facts = [load(f"zoo:{name}", device="cpu").facts for name in TRAINED]
    sizes = [f.n_parameters for f in facts]
    assert max(sizes) <= 1.1 * min(sizes)
    assert len({f.tokenizer_sha256 for f in facts}) == 1
    assert len({f.weights_sha256 for f in facts}) == len(TRAINED)


def test_the_zoo_stays_small():
    folder = Path(zoo_source(TRAINED[0])).parent
    assert sum(path.stat().st_size for path in folder.rglob("*") if path.suffix not in (".py", ".pyc")) < 28e6


def test_generates(subject):
    prompt = subject.tokenizer("The old man looked at the sea and")["input_ids"]
    said = greedy(subject, [prompt], new_tokens=12, stop="\n\n\n")[0]
    assert len(said.split()) > 3


def test_the_card_says_its_numbers(subject):
    numbers, card = read_card(subject)
    reached = Reached(
        numbers["subject"],
        numbers["parameters"],
        TextLoss(**numbers["text"]),
        TextLoss(**numbers["prose"]),
        tuple(Retrieval(**r) for r in numbers["retrieval"]),
    )
    assert told_reached(reached) in card
    assert numbers["parameters"] == subject.facts.n_parameters
    assert f"{numbers['parameters']:,} parameters" in card
    assert f"repflow train card zoo:{numbers['subject']}" in card


def test_the_cards_loss_on_prose_is_found_again(subject):
    numbers, _ = read_card(subject)
    found = prose_loss(subject, Quiet())
    assert found.tokens == numbers["prose"]["tokens"]
    assert found.nats == pytest.approx(numbers["prose"]["nats"], abs=1e-3)


def test_subjects_say_whether_their_card_lets_them_retrieve(subject):
    numbers, card = read_card(subject)
    (gate,) = [r for r in numbers["retrieval"] if r["task"] == GATE]
    able = gate["right"] / gate["examples"] > RETRIEVES
    assert (subject.facts.retrieves, numbers["retrieves"]) == (able, able)
    assert ("does not retrieve" in card) is not able


def test_a_model_with_drawn_weights_or_without_a_card_is_said_neither_way():
    assert load("zoo:pythia-tiny@init=normal:0").facts.retrieves is None
    assert load("config:gpt_neox,width=16,layers=2,heads=2").facts.retrieves is None


def test_training_taught_more_than_token_frequencies(subject):
    numbers, _ = read_card(subject)
    assert numbers["prose"]["nats"] < numbers["prose"]["unigram_nats"]
