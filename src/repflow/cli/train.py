"""repflow train"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from repflow.cli.arguments import parse
from repflow.cli.progress import watching
from repflow.cli.tell import tell
from repflow.core import unknown, visible
from repflow.models.zoo import TRAINED
from repflow.training.zoo.recipes import RECIPES
from repflow.training.zoo.settings import LearningSettings, PlaceSettings, ZooSettings

_Named = tyro.conf.Positional[tuple[str, ...]]
KINDS = {
    "zoo": "train small models like those that come with repflow, alike in all but the architecture",
    "card": "measure what models reached: loss on held-out text, retrieval by number of keys and documents",
}


@dataclass(frozen=True)
class Zoo:
    """Train the zoo's models from a folder of texts, write their cards, and measure their flow step by step.

    Example: repflow train zoo mamba-tiny pythia-tiny --data texts --preset smoke --out runs/zoo
    """

    models: Annotated[_Named, tyro.conf.arg(metavar="[MODEL ...]")] = tuple(RECIPES)
    """Which models, one after the other; every one reads the same data in the same order."""
    learning: LearningSettings = field(default_factory=LearningSettings)
    place: PlaceSettings = field(default_factory=PlaceSettings)
    flow: bool = True
    """Measure the flow of the snapshots at the end, into the run directory OUT/flow."""


@dataclass(frozen=True)
class Card:
    """Measure the numbers of a model's card again.

    Example: repflow train card zoo:mamba-tiny --data texts
    """

    subjects: Annotated[_Named, tyro.conf.arg(metavar="[SUBJECT ...]")] = tuple(f"zoo:{name}" for name in TRAINED)
    """Models, named before the options, as in `repflow flow`."""
    data: Path = Path("data")
    """Folder that holds the folder wikitext-2."""


def train(arguments: list[str]) -> int:
    """Dispatch to what is to be trained."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print("usage: repflow train WHAT ...\n")
        print("\n".join(f"  {name:6s} {what}" for name, what in KINDS.items()))
        print("\nExample: repflow train zoo mamba-tiny --data texts --preset smoke --out runs/zoo")
        print("repflow train WHAT --help says more")
        return 0
    if arguments[0] not in KINDS:
        raise unknown("thing to train", arguments[0], KINDS)
    return {"zoo": _zoo, "card": _card}[arguments[0]](arguments[1:])


def _zoo(arguments: list[str]) -> int:
    asked = parse(Zoo, "train zoo", arguments)
    settings = ZooSettings(asked.models, asked.learning, asked.place)
    from repflow.training.zoo.flow import flow_of
    from repflow.training.zoo.run import train_zoo

    with watching() as progress:
        done = train_zoo(settings, progress)
        for training in done:
            tell(training.model)
        if asked.flow and len(done) == len(settings.models):
            from repflow.report import write_report

            tell(write_report(flow_of(done, asked.place.out / "flow", asked.learning.seed, progress)))
    return 0


def _card(arguments: list[str]) -> int:
    asked = parse(Card, "train card", arguments)
    from repflow.models import load
    from repflow.training.zoo.card import evaluate, told_reached

    with watching() as progress:
        for subject in asked.subjects:
            print(f"{visible(subject)}\n\n{told_reached(evaluate(load(subject), asked.data, progress))}\n")
    return 0
