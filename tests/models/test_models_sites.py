"""The site contract (METHODS 1) on every registered family, seen with plain hooks."""

from pathlib import Path
from typing import Any

import pytest
import torch

from repflow.core import Tap, sites_for
from repflow.models.families import FAMILIES
from repflow.models.finding import find_taps
from repflow.models.hf_taps import match_hf_taps
from repflow.models.loading import Loaded, load

FAMILY_NAMES = sorted(FAMILIES)
IDS = torch.randint(0, 250, (3, 21), generator=torch.Generator().manual_seed(1))
LENGTHS = (21, 13, 5)


@pytest.fixture(scope="module", params=FAMILY_NAMES)
def subject(request: pytest.FixtureRequest) -> Loaded:
    torch.set_num_threads(1)
    return load(f"config:{request.param},layers=4,width=32")


def captured(
    loaded: Loaded, taps: tuple[Tap, ...], ids: torch.Tensor, **options: Any
) -> tuple[list[torch.Tensor], Any]:
    """The state at each tap by plain hooks, and the trunk's output."""
    states: dict[str, torch.Tensor] = {}
    handles = []
    for tap in taps:
        module = loaded.model.get_submodule(tap.module)

        def after(_m: Any, _a: Any, output: Any, name: str = tap.site.name) -> None:
            states[name] = (output[0] if isinstance(output, tuple) else output).clone()

        def before(_m: Any, args: Any, kwargs: Any, name: str = tap.site.name) -> None:
            states[name] = (args[0] if args else kwargs["hidden_states"]).clone()

        if tap.where == "input":
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
        else:
            handles.append(module.register_forward_hook(after))
    try:
        with torch.no_grad():
            output = loaded.model.base_model(input_ids=ids, use_cache=False, **options)
    finally:
        for handle in handles:
            handle.remove()
    return [states[tap.site.name] for tap in taps], output


def test_the_sites_are_the_contract(subject: Loaded) -> None:
    assert tuple(tap.site for tap in subject.taps) == sites_for(4)
    assert subject.taps[0].where == "input"
    assert subject.taps[0].module == subject.taps[1].module
    states, output = captured(subject, subject.taps, IDS)
    assert all(state.shape == (3, 21, 32) for state in states)
    assert torch.equal(states[-1], output.last_hidden_state), "the final norm is what the unembedding reads"
    # A compiled scan sums in another order than the class's own loop; every other family is exact.
    near = 1e-5 if subject.facts.family in ("mamba", "falcon_mamba", "jamba") else 0.0
    torch.testing.assert_close(subject.forward(IDS).last_hidden_state, states[-1], rtol=near, atol=near)


def test_block_by_block_the_stream_is_handed_on(subject: Loaded) -> None:
    inputs = tuple(Tap(tap.site, tap.module, "input") for tap in subject.taps[1:])
    given, _ = captured(subject, inputs, IDS)
    made, _ = captured(subject, subject.taps, IDS)
    for i, (a, b) in enumerate(zip(made, given, strict=False)):
        assert torch.equal(a, b), f"site {i}"


def test_hf_sites_are_huggingfaces_own_list(subject: Loaded) -> None:
    assert subject.hf_reason == ""
    states, output = captured(subject, subject.hf_taps, IDS, output_hidden_states=True)
    assert len(states) == len(output.hidden_states) == 5
    for mine, theirs in zip(states, output.hidden_states, strict=True):
        assert torch.equal(mine, theirs)
    assert [tap.site.name for tap in subject.hf_taps] == [f"hf.{i}" for i in range(5)]
    assert [tap.site.depth for tap in subject.hf_taps] == [0.0, 0.25, 0.5, 0.75, 1.0]


def test_the_two_conventions_of_hf_lists() -> None:
    pythia, mamba = load("config:pythia,width=32"), load("config:mamba,width=32")
    assert [(t.module[-1], t.where) for t in pythia.hf_taps][:2] == [("0", "input"), ("0", "output")]
    assert [(t.module[-1], t.where) for t in mamba.hf_taps][:2] == [("0", "output"), ("1", "output")]


def test_right_padding_changes_nothing(subject: Loaded) -> None:
    padded = IDS.clone()
    for row, length in enumerate(LENGTHS):
        padded[row, length:] = subject.tokenizer.pad_token_id
    together, _ = captured(subject, subject.taps, padded)
    for row, length in enumerate(LENGTHS):
        alone, _ = captured(subject, subject.taps, IDS[row : row + 1, :length])
        for tap, batched, single in zip(subject.taps, together, alone, strict=True):
            worst = (batched[row, :length] - single[0]).abs().max()
            assert worst <= 1e-5 * max(1.0, float(single.abs().max())), tap.site.name


def test_registered_taps_need_no_run_and_probing_agrees(subject: Loaded) -> None:
    assert find_taps(subject.model) == subject.taps
    kept = subject.model.config.model_type
    subject.model.config.model_type = "somebody-elses"
    try:
        assert find_taps(subject.model, lambda: subject.forward(IDS)) == subject.taps
        assert find_taps(subject.model) == subject.taps
    finally:
        subject.model.config.model_type = kept


def test_facts(subject: Loaded) -> None:
    facts = subject.facts
    assert facts.family == subject.model.config.model_type
    assert facts.kind == FAMILIES[facts.family].kind
    assert (facts.n_blocks, facts.width, facts.dtype, facts.init) == (4, 32, "float32", "config:0")
    assert facts.n_parameters == sum(p.numel() for p in subject.model.parameters())
    assert (facts.max_positions is None) == (
        FAMILIES[facts.family].positions is None or facts.kind in ("SSM", "recurrent")
    )
    assert not subject.model.training
    assert not any(p.requires_grad for p in subject.model.parameters())


def test_a_model_that_makes_nan_still_has_its_sites(tmp_path: Path) -> None:
    subject = load("config:mamba,layers=3,width=16")
    with torch.no_grad():
        subject.model.get_parameter("backbone.layers.1.mixer.out_proj.weight").fill_(float("nan"))
    subject.model.save_pretrained(tmp_path)
    subject.tokenizer.save_pretrained(tmp_path)
    again = load(str(tmp_path))
    assert again.taps == subject.taps
    assert len(again.facts.weights_sha256) == 64


def test_a_list_that_matches_no_site_gives_none_and_says_why() -> None:
    subject = load("config:gpt2,layers=2,width=16")
    states = {tap.site.name: torch.full((1, 2, 16), float(i)) for i, tap in enumerate(subject.taps)}
    listed = [states["embed"], states["block.1"]]
    assert [t.module for t in match_hf_taps(listed, states, subject.taps)[0]] == ["transformer.h.0", "transformer.h.1"]
    taps, reason = match_hf_taps([*listed, states["block.0"]], states, subject.taps)
    assert taps == ()
    assert reason == "entry 2 of the model's list of hidden states equals none of its sites"
    assert match_hf_taps((), states, subject.taps) == ((), "the model returns no list of hidden states")
