"""A model's card: what it learnt from, what it reached, and the commands that say so again."""

import html
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from repflow.core import BadFile, ContextTooLong, local_path, visible
from repflow.engines import Progress
from repflow.models import Loaded, load
from repflow.store import write_file
from repflow.training.zoo.corpus import HELD_OUT
from repflow.training.zoo.curriculum import Span
from repflow.training.zoo.evaluate import (
    RETRIEVES,
    Retrieval,
    TextLoss,
    learnt_to_retrieve,
    prose_loss,
    retrieval,
    retrieves,
    text_loss,
)
from repflow.training.zoo.folder import MARKER, Training
from repflow.training.zoo.recipes import BLOCKS, POSITIONS, WIDTH, recipe
from repflow.training.zoo.settings import LearningSettings, options

SPLIT = "valid"
CARD = "README.md"
NUMBERS = "card.json"
_GATE = (
    "with two pairs and a few words before the question, where saying the last value again is right half of the time,"
)


@dataclass(frozen=True)
class Reached:
    """What a model was found to reach."""

    subject: str
    parameters: int
    text: TextLoss | None
    """On wikitext-2; None where the data folder has none."""
    prose: TextLoss
    """On the prose that comes with the package."""
    retrieval: tuple[Retrieval, ...]


def evaluate(subject: Loaded, data: Path, progress: Progress) -> Reached:
    """The numbers of a card. Raises BadFile for a data folder that is absent, ContextTooLong for a model that never
    saw so many positions."""
    trained = subject.facts.max_positions
    if trained is not None and trained < POSITIONS:
        raise ContextTooLong(
            f"{subject.facts.label} has {trained} positions; a card reads texts of {POSITIONS} tokens and needs as many"
        )
    data = local_path(data)
    if not data.is_dir():
        raise BadFile(f"there is no folder {data}; --data needs the folder that holds {HELD_OUT}")
    text = text_loss(subject, data, SPLIT, progress) if (data / HELD_OUT).is_dir() else None
    prose = prose_loss(subject, progress)
    return Reached(subject.facts.label, subject.facts.n_parameters, text, prose, tuple(retrieval(subject, progress)))


def write_card(training: Training, data: Path, progress: Progress) -> None:
    """Evaluates a finished training and writes card.json and README.md beside its weights, unless they are there."""
    if (training.model / NUMBERS).is_file():
        return
    facts = json.loads((training.path / MARKER).read_text(encoding="utf-8"))
    reached = evaluate(load(str(training.model), device="cpu"), data, progress)
    numbers = (
        json.dumps(asdict(reached) | {"subject": facts["model"], "retrieves": retrieves(reached.retrieval)}, indent=2)
        + "\n"
    )
    write_file(training.model / CARD, card(facts, reached).encode())
    write_file(training.model / NUMBERS, numbers.encode())


def card(facts: dict[str, Any], reached: Reached) -> str:
    """The card of a training, in Markdown, from its marker and what it reached."""
    name = facts["model"]
    settings = facts["settings"]
    learning = LearningSettings(**{**settings, "lengths": tuple(settings["lengths"])})
    plan = learning.plan
    tokens = sum(span.tokens for span in plan)
    last = facts["log"][-1]["loss"]
    return f"""---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---

# {name}

{recipe(name).about}. {BLOCKS} blocks, width {WIDTH}, {reached.parameters:,} parameters,
trained on contexts of up to {max(span.stage.length for span in plan):,} tokens.

One of the small models that come with repflow and differ in nothing but the architecture: the same vocabulary, the
same data in the same order, the same number of steps. They exist to compare how representations flow through depth;
as language models they are of no use.

## Training

{_listed(facts["files"])}

mixed with generated rows that ask for values of keys, and with questions about documents. One question in ten, and all
of {HELD_OUT}, was kept out. sha256 of texts and questions: `{facts["corpus"]}`.

{_stages(plan)}

{tokens:,} tokens in {facts["steps"]:,} steps, learning rate {learning.learning_rate:g}, seed {learning.seed}, loss of
the last steps {float(last):.3f}. Of rows that ask, only the answers are learnt.

    repflow train zoo {name} --data DATA {options(learning)}

## What it reached

{told_reached(reached)}

    repflow train card zoo:{name} --data DATA

## Licence

The weights are under the Apache License 2.0. The texts they learnt from are in the public domain or under their own
licences (Wikipedia passages: CC BY-SA 3.0; TinyStories: CDLA-Sharing-1.0); none of them is part of this package.
"""


def _stages(plan: list[Span]) -> str:
    head = "| stage | tokens | row length | tokens a step | rows of text | most pairs | other rows, with weights |"
    rows = [
        f"| {s.name} | {span.tokens:,} | {s.length:,} | {s.batch_tokens:,} | {s.text}% | {s.pairs} "
        f"| {', '.join(f'{kind} {weight:g}' for kind, weight in s.rows.items())} |"
        for span in plan
        for s in [span.stage]
    ]
    return "\n".join([head, "|---|---|---|---|---|---|---|", *rows])


def told_reached(reached: Reached) -> str:
    """What a model reached, in Markdown."""
    return f"{_texts(reached)}\n\n{_retrieval(reached.retrieval)}"


def _listed(files: list[str]) -> str:
    return "\n".join(f"- {html.escape(visible(name))}" for name in files)


def _texts(reached: Reached) -> str:
    head = "| held-out text | loss, nats a token | bits a byte | by token frequency alone | tokens |"
    rows = [_row(f"{HELD_OUT}, {SPLIT}", reached.text), _row("repflow's prose", reached.prose)]
    note = (
        f"Read in pieces of {POSITIONS:,} tokens. Beside the loss that of a guess that knows how often each token "
        "occurs in the very text, and nothing else."
    )
    return "\n".join([head, "|---|---|---|---|---|", *rows, "", note])


def _row(title: str, found: TextLoss | None) -> str:
    if found is None:
        return f"| {title} | not measured: the data folder had none | | | |"
    return (
        f"| {title} | {found.nats:.3f} | {found.bits_per_byte:.3f} | {found.unigram_nats:.3f} nats | {found.tokens:,} |"
    )


def _retrieval(found: tuple[Retrieval, ...]) -> str:
    rows = [
        f"| {r.task} | {r.items} | {r.accuracy:.0%} | {r.interval[0]:.0%} to {r.interval[1]:.0%} | {1 / r.items:.0%} "
        f"| {r.examples} |"
        for r in found
    ]
    head = "| task | pairs or documents | right | 95% interval | one at random | prompts |"
    table = "\n".join([head, "|---|---|---|---|---|---|", *rows])
    able = learnt_to_retrieve(found)
    if not able:
        verdict = "It has **not** learnt to retrieve: nowhere is it clearly above naming one of the items at random."
    else:
        places = ", ".join(f"{r.task} with {r.items}" for r in able)
        verdict = f"It is clearly above naming one of the items at random on {places}; nowhere else."
    passed = retrieves(found)
    if passed is not None:
        verdict += (
            f"\nIt **{'retrieves' if passed else 'does not retrieve'}**: {_GATE} above {RETRIEVES:.0%} is asked for."
        )
    return f"{table}\n\n{verdict}\nAnswers are greedy; kvpr has keys of four digits, mdqa repflow's own documents."
