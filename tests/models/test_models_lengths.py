"""Rotary embeddings that depend on the longest row of a batch: what a batch holds moves no value."""

import copy
from typing import Any

import pytest
import torch
from tiny_models import model_of, save

from repflow.core import Example
from repflow.core.places import parse_places
from repflow.engines import Reader
from repflow.engines.features import read_states
from repflow.engines.losses import next_token_losses
from repflow.engines.shard import batches, run_tapped
from repflow.metrics import pad
from repflow.models.loading import Loaded, load
from repflow.models.positions import ALIKE, APART, Lengths, fresh_rotary, lengths_of

FACTORS = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
LONGROPE = {"rope_type": "longrope", "original_max_position_embeddings": 64, "rope_theta": 10000.0, **FACTORS}
DYNAMIC = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 10000.0}
MODELS: dict[str, tuple[str, dict[str, Any], Lengths]] = {
    "phi3 longrope": (
        "phi3",
        {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64, "max_position_embeddings": 256},
        Lengths((64,)),
    ),
    "llama dynamic": ("llama", {"rope_parameters": DYNAMIC, "max_position_embeddings": 32}, Lengths((32,), each=True)),
    "phimoe longrope": (
        "phimoe",
        {
            "rope_parameters": {**LONGROPE, "short_mscale": 1.1, "long_mscale": 1.3},
            "max_position_embeddings": 256,
            "num_local_experts": 2,
        },
        Lengths((64,)),
    ),
    "llama": ("llama", {}, ALIKE),
    "llama yarn": (
        "llama",
        {
            "rope_parameters": {
                "rope_type": "yarn",
                "factor": 2.0,
                "original_max_position_embeddings": 16,
                "rope_theta": 1e4,
            }
        },
        ALIKE,
    ),
    "deepseek sparse": (
        "deepseek_v32",
        {
            "num_key_value_heads": 4,
            "q_lora_rank": 16,
            "kv_lora_rank": 16,
            "qk_rope_head_dim": 8,
            "qk_nope_head_dim": 8,
            "v_head_dim": 8,
            "index_topk": 4,
            "index_n_heads": 2,
            "index_head_dim": 8,
            "n_routed_experts": 4,
            "n_group": 1,
            "topk_group": 1,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 32,
        },
        APART,
    ),
}
ROWS = (30, 40, 100, 20, 33, 64, 65, 41, 31)


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Loaded, Lengths]:
    family, settings, lengths = MODELS[request.param]
    return load(save(tmp_path_factory.mktemp("model"), model_of(family, **settings))), lengths


def examples() -> list[Example]:
    draw = torch.Generator().manual_seed(1)
    return [Example(i, tuple(torch.randint(0, 250, (n,), generator=draw).tolist())) for i, n in enumerate(ROWS)]


def reader(subject: Loaded, batch_tokens: int) -> Reader:
    return Reader(
        "s", subject.model, subject.forward, subject.taps, (), subject.device, batch_tokens, lengths=subject.lengths
    )


def alone(subject: Loaded) -> list[torch.Tensor]:
    """The last states of each row read by itself in a model that has read nothing: another copy each time."""

    with torch.no_grad():
        return [
            copy.deepcopy(subject.model).base_model(input_ids=torch.tensor([e.ids])).last_hidden_state[0]
            for e in examples()
        ]


def test_how_a_model_depends_on_length(case: tuple[Loaded, Lengths]) -> None:
    subject, lengths = case
    assert lengths_of(subject.model) == subject.lengths == lengths


def test_values_do_not_depend_on_the_batch(case: tuple[Loaded, Lengths]) -> None:
    subject, _ = case
    expected = alone(subject)
    for batch_tokens in (1, 200, 100_000):
        chunks = list(batches(examples(), batch_tokens, subject.lengths))
        assert [e.id for chunk in chunks for e in chunk] == list(range(len(ROWS)))
        for chunk in chunks:
            found: dict[str, torch.Tensor] = {}
            run_tapped(
                reader(subject, batch_tokens),
                pad([e.ids for e in chunk])[0],
                lambda site, states, found=found: found.update({site.name: states.clone()}),
                chunk,
            )
            for row, example in enumerate(chunk):
                states = found["final_norm"][row, : len(example.ids)]
                assert torch.allclose(states, expected[example.id], atol=2e-5), (example.id, len(chunk))


def test_features_and_losses_do_not_either(case: tuple[Loaded, Lengths]) -> None:
    subject, _ = case
    expected = torch.stack([states[-1] for states in alone(subject)])
    places = parse_places(("last",))
    losses = []
    for batch_tokens in (1, 100_000):
        read = read_states(reader(subject, batch_tokens), examples(), places, subject.facts.width)
        assert torch.allclose(torch.from_numpy(read.states)[0, -1], expected, atol=2e-5)
        losses.append(torch.from_numpy(next_token_losses(reader(subject, batch_tokens), examples())))
    assert torch.allclose(*losses, atol=1e-5)


def test_a_model_that_has_read_a_long_row_reads_a_short_one_as_ever() -> None:
    model = model_of("llama", rope_parameters=DYNAMIC, max_position_embeddings=32)
    short, long = torch.arange(40)[None], torch.arange(100)[None]
    with torch.no_grad():
        before = model.model(input_ids=short).last_hidden_state
        model.model(input_ids=long)
        kept = model.model.rotary_emb.inv_freq.clone()
        assert not torch.allclose(model.model(input_ids=short).last_hidden_state, before, atol=1e-4)
        with fresh_rotary(model):
            assert torch.equal(model.model(input_ids=short).last_hidden_state, before)
        assert torch.equal(model.model.rotary_emb.inv_freq, kept)
        assert model.model.rotary_emb.max_seq_len_cached == 100


def test_which_rows_may_share_a_batch() -> None:
    lengths = [30, 40, 100, 20]
    given = [Example(i, tuple(range(n))) for i, n in enumerate(lengths)]

    def cut(rule: Lengths) -> list[list[int]]:
        return [[len(e.ids) for e in chunk] for chunk in batches(given, 10_000, rule)]

    assert cut(ALIKE) == [lengths]
    assert cut(Lengths((64,))) == [[30, 40], [100], [20]]
    assert cut(Lengths((25, 64))) == [[30, 40], [100], [20]]
    assert cut(Lengths((35,), each=True)) == [[30], [40], [100], [20]]
    assert cut(Lengths((32,), each=True)) == [[30], [40], [100], [20]]
    assert cut(APART) == [[30], [40], [100], [20]]
    assert [len(chunk) for chunk in batches([*given, *given[-1:]], 10_000, APART)] == [1, 1, 1, 2]


@pytest.mark.parametrize("name", ["phi3 longrope", "llama dynamic"])
def test_answers_do_not_depend_on_what_was_read_before(name: str, tmp_path: Any) -> None:
    from repflow.models.generation import greedy

    family, settings, _ = MODELS[name]
    subject = load(save(tmp_path, model_of(family, **settings)))
    rows = [list(example.ids) for example in examples()]
    together = greedy(subject, rows, new_tokens=5)
    assert together == [greedy(subject, [row], new_tokens=5)[0] for row in rows]
    fresh = load(str(tmp_path))
    assert together[0] == greedy(fresh, [rows[0]], new_tokens=5)[0]


def test_a_run_in_batches_of_any_size_gives_the_same_numbers(tmp_path: Any) -> None:
    import json

    import numpy as np

    import repflow

    family, settings, _ = MODELS["phi3 longrope"]
    spec = save(tmp_path / "model", model_of(family, **settings))
    text = tmp_path / "text.jsonl"
    text.write_text("\n".join(json.dumps({"text": "x" + "ab cd " * (n // 6)}) for n in (30, 40, 100, 20, 60, 90)))
    options = {"text": str(text), "pack": False, "context": 128, "examples": 6, "calibration": 0}
    values = [
        repflow.flow(spec, batch_tokens=tokens, out=tmp_path / str(tokens), **options).layers["value"]
        for tokens in (1, 4096)
    ]
    assert np.allclose(*values, atol=1e-5, equal_nan=True)
