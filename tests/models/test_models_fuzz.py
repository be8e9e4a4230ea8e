"""Folders changed at random: each loads, or is refused in one line of ours. The changes are the same in every run."""

import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from tiny_models import model_of, save

from repflow.core import RepflowError
from repflow.models import load

STRANGE: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.5, 7, 10**9, 10**20, -(10**20), float("nan"), float("inf"), "", "x", "\x00", "\u202e", "7"),
    *([], [1, "a"], {}, {"a": {"b": []}}, [[[]]], "a" * 5000),
)
LORA = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "base_model_name_or_path": "b"}

Change = Callable[[random.Random, Path], None]
"""Changes one file of a folder."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Llama with an adapter beside it and an index of its weights."""
    folder = tmp_path_factory.mktemp("whole")
    model = model_of("llama")
    save(folder, model)
    weights = dict.fromkeys(model.state_dict(), "model.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weights}))
    (folder / "adapter_config.json").write_text(json.dumps(LORA))
    draw = torch.Generator().manual_seed(0)
    shapes = {"A": (2, 32), "B": (32, 2)}
    name = "base_model.model.model.layers.0.self_attn.q_proj.lora_{}.weight"
    save_file(
        {name.format(side): torch.randn(shape, generator=draw) for side, shape in shapes.items()},
        folder / "adapter_model.safetensors",
    )
    return folder


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to every value inside a JSON document; of long lists and objects the first few."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        for key, value in list(items)[:12]:
            yield (*path, key)
            yield from places(value, (*path, key))


def in_json(name: str) -> Change:
    """Another value, or none, at one place of a JSON file."""

    def change(draw: random.Random, folder: Path) -> None:
        content = json.loads((folder / name).read_text())
        *path, last = draw.choice(list(places(content)))
        inner = content
        for key in path:
            inner = inner[key]
        if draw.random() < 0.2:
            del inner[last]
        else:
            inner[last] = draw.choice(STRANGE)
        (folder / name).write_text(json.dumps(content))

    return change


def in_bytes(name: str, head: int) -> Change:
    """Bytes exchanged, cut off or added, mostly within the first `head`."""

    def change(draw: random.Random, folder: Path) -> None:
        content = bytearray((folder / name).read_bytes())
        kind = draw.choice(("exchange", "exchange", "cut", "add"))
        place = draw.randrange(min(head, len(content)))
        if kind == "cut":
            del content[place:]
        elif kind == "add":
            content[place:place] = draw.randbytes(draw.randrange(1, 40))
        else:
            for _ in range(draw.randrange(1, 5)):
                content[draw.randrange(min(head, len(content)))] = draw.randrange(256)
        (folder / name).write_bytes(bytes(content))

    return change


def lost(name: str) -> Change:
    return lambda _, folder: (folder / name).unlink()


CHANGES: dict[str, tuple[Change, int]] = {
    "values of config.json": (in_json("config.json"), 60),
    "bytes of config.json": (in_bytes("config.json", 10_000), 12),
    "values of tokenizer.json": (in_json("tokenizer.json"), 40),
    "bytes of tokenizer.json": (in_bytes("tokenizer.json", 800), 8),
    "values of tokenizer_config.json": (in_json("tokenizer_config.json"), 20),
    "values of generation_config.json": (in_json("generation_config.json"), 12),
    "values of the index": (in_json("model.safetensors.index.json"), 12),
    "header of the weights": (in_bytes("model.safetensors", 1_500), 24),
    "bytes of the weights": (in_bytes("model.safetensors", 200_000), 8),
    "values of adapter_config.json": (in_json("adapter_config.json"), 16),
    "header of the adapter": (in_bytes("adapter_model.safetensors", 220), 12),
    "no config.json": (lost("config.json"), 1),
    "no tokenizer.json": (lost("tokenizer.json"), 1),
    "no weights": (lost("model.safetensors"), 1),
    "no adapter weights": (lost("adapter_model.safetensors"), 1),
}
COUNT = 228
SEEDS = [(name, seed) for name, (_, count) in CHANGES.items() for seed in range(count)]


def test_how_many_there_are() -> None:
    assert len(SEEDS) == COUNT


@pytest.mark.parametrize("name", CHANGES)
def test_changed_folders_load_or_are_refused_in_one_line(name: str, whole: Path, tmp_path: Path) -> None:
    change, count = CHANGES[name]
    for seed in range(count):
        folder = Path(shutil.copytree(whole, tmp_path / f"{seed}"))
        change(random.Random(f"{name} {seed}"), folder)
        try:
            subject = load(str(folder))
        except RepflowError as error:
            said = str(error)
            assert "\n" not in said, seed
            assert 20 < len(said) < 900, (seed, said)
        else:
            ids = torch.tensor([[1, 2, 3]])
            assert subject.forward(ids).last_hidden_state.shape == (1, 3, 32), seed
            assert subject.facts.interventions, (seed, "the adapter went unsaid")
        shutil.rmtree(folder)


def test_as_it_is_it_loads(whole: Path) -> None:
    subject = load(str(whole))
    assert subject.facts.interventions[0].startswith("adapter whole0: LoRA of rank 2 merged into 1 modules")
