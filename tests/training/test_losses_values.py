"""The losses' values: those of the streaming metrics, of the textbook formulas, and within the ranges claimed."""

import math
from itertools import pairwise

import pytest
import torch
from losses_kit import FAMILIES, made_up, measured, states_of, tiny, token_batch
from torch import Tensor
from torch.nn.functional import cosine_similarity

from repflow.training.losses import TokenDiversity, contrastive_tokens, flow_losses, token_diversity, v_glob, v_loc

PATHS = [(name, variant) for name in ("v_loc", "v_glob") for variant in ("rms", "raw", "unit")]
SAME = {"rtol": 1e-5, "atol": 1e-5, "check_dtype": False}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_token_diversity_is_the_streaming_metric(dtype: torch.dtype) -> None:
    x, real = made_up()
    x = x.to(dtype)
    for states, expected in zip(x, measured(list(x), real)["inter_token_cosine"], strict=True):
        torch.testing.assert_close(token_diversity(states, real, margin=-1.0) - 1.0, expected, **SAME)


@pytest.mark.parametrize(("name", "variant"), PATHS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_path_losses_are_the_streaming_metrics(name: str, variant: str, dtype: torch.dtype) -> None:
    x, real = made_up()
    x = x.to(dtype)
    value = {"v_loc": v_loc, "v_glob": v_glob}[name](list(x), real, variant=variant)
    torch.testing.assert_close(value, measured(list(x), real)[f"{name} {variant}"], **SAME)


@pytest.mark.parametrize("family", FAMILIES)
def test_losses_of_a_model_are_the_streaming_metrics_of_its_states(family: str) -> None:
    model, batch = tiny(family), token_batch()
    expected = measured(states_of(model, batch)[:-1], batch["attention_mask"] != 0)
    with flow_losses(model, [TokenDiversity(1.0, margin=-1.0)]) as extra:
        model(**batch)
        loss = extra.loss().detach() - 1.0
    torch.testing.assert_close(loss, expected["inter_token_cosine"][1:].mean(), **SAME)
    with flow_losses(model, {"v_loc": 1.0, "v_glob": 2.0}) as extra:
        model(**batch)
        loss = extra.loss().detach()
    torch.testing.assert_close(extra.values["v_loc"], expected["v_loc rms"], **SAME)
    torch.testing.assert_close(extra.values["v_glob"], expected["v_glob rms"], **SAME)
    torch.testing.assert_close(loss, extra.values["v_loc"] + 2.0 * extra.values["v_glob"])


def _rows(states: Tensor, real: Tensor) -> list[Tensor]:
    return [sequence[keep] for sequence, keep in zip(states, real, strict=True)]


def test_the_hinge_is_on_each_sequences_mean_over_pairs() -> None:
    x, real = made_up()
    cosines = []
    for rows in _rows(x[0], real):
        pairs = [(i, j) for i in range(len(rows)) for j in range(i)]
        cosines.append(torch.stack([cosine_similarity(rows[i], rows[j], dim=0) for i, j in pairs]).mean())
    margin = float(sum(cosines)) / len(cosines)
    assert min(cosines) < margin < max(cosines)
    expected = sum(max(0.0, float(cosine) - margin) for cosine in cosines) / len(cosines)
    torch.testing.assert_close(token_diversity(x[0], real, margin=margin), torch.tensor(expected), **SAME)


def test_contrastive_tokens_is_the_cross_entropy_of_finding_ones_own_earlier_state() -> None:
    x, real = made_up()
    means = []
    for before, after in zip(_rows(x[0], real), _rows(x[1], real), strict=True):
        terms = []
        for i, state in enumerate(after):
            scores = torch.stack([cosine_similarity(state, other, dim=0) / 0.2 for other in before])
            terms.append(-math.log(float(scores[i].exp() / scores.exp().sum())))
        means.append(sum(terms) / len(terms))
    value = contrastive_tokens(x[0], x[1], real, temperature=0.2)
    torch.testing.assert_close(value, torch.tensor(sum(means) / len(means)), **SAME)


@pytest.mark.parametrize(("name", "variant"), PATHS)
def test_path_losses_are_the_textbook_formulas(name: str, variant: str) -> None:
    x, real = made_up()
    means = []
    for sequence in range(x.shape[1]):
        tokens = []
        for token in range(int(real[sequence].sum())):
            path = [state[sequence, token] for state in x]
            scale = float(sum(state.dot(state) for state in path)) / len(path) if variant == "rms" else 1.0
            if variant == "unit":
                path = [state / state.norm() for state in path]
            centre = sum(path) / len(path)
            gaps = [a - b for a, b in pairwise(path)] if name == "v_loc" else [state - centre for state in path]
            tokens.append(float(sum(gap.dot(gap) for gap in gaps)) / len(gaps) / scale)
        means.append(sum(tokens) / len(tokens))
    value = {"v_loc": v_loc, "v_glob": v_glob}[name](list(x), real, variant=variant)
    torch.testing.assert_close(value, torch.tensor(sum(means) / len(means)), **SAME)


def test_tokens_that_point_one_way_cost_the_most() -> None:
    same = torch.randn(1, 1, 5, dtype=torch.float64) * torch.rand(1, 8, 1, dtype=torch.float64)
    apart = torch.eye(8, dtype=torch.float64)[None]
    assert float(token_diversity(same, margin=0.25)) == pytest.approx(0.75)
    assert float(token_diversity(apart, margin=0.25)) == 0.0
    spread = torch.randn(1, 8, 5, dtype=torch.float64)
    assert float(contrastive_tokens(same, spread)) == pytest.approx(math.log(8))
    assert float(contrastive_tokens(spread, same)) >= math.log(8)
    assert float(contrastive_tokens(apart, apart)) < 1e-3
    opposite = torch.cat([torch.ones(1, 1, 3), -torch.ones(1, 7, 3)], 1)
    highest = float(contrastive_tokens(opposite, -opposite, temperature=0.5))
    assert 0.0 < highest <= math.log(8) + 2 / 0.5


def _promised(value: float, temperature: float) -> float:
    return -temperature * math.log(math.expm1(value))


@pytest.mark.parametrize("seed", range(3))
def test_a_low_contrastive_loss_keeps_directions_apart_as_promised(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    before = torch.randn(1, 6, 40, generator=draw, dtype=torch.float64)
    after = before + 0.3 * torch.randn(1, 6, 40, generator=draw, dtype=torch.float64)
    highest = 6 * float(contrastive_tokens(before, after, temperature=0.1))  # at least any one token's
    nearest = torch.pdist(torch.nn.functional.normalize(after[0], dim=-1)).min()
    assert 0.0 < _promised(highest, 0.1) <= float(nearest)


@pytest.mark.parametrize("angle", [0.1, 0.5, 1.2])
def test_the_promised_distance_is_reached_by_two_tokens_that_were_opposite(angle: float) -> None:
    before = torch.tensor([[[1.0, 0.0], [-1.0, 0.0]]], dtype=torch.float64)
    after = torch.tensor([[[s * math.sin(angle), math.cos(angle)] for s in (1, -1)]], dtype=torch.float64)
    value = float(contrastive_tokens(before, after, temperature=0.3))
    assert _promised(value, 0.3) == pytest.approx(float(torch.pdist(after[0])))


def test_path_losses_stay_in_their_ranges_and_scaled_ones_are_blind_to_scale() -> None:
    x, real = made_up(sites=5)
    there_and_back = [x[0], -x[0], x[0], -x[0], x[0]]
    for path in (list(x), there_and_back):
        for variant in ("rms", "unit"):
            assert 0.0 <= float(v_loc(path, real, variant=variant)) <= 4.0 * 5 / 4
            assert 0.0 <= float(v_glob(path, real, variant=variant)) <= 1.0
            for loss in (v_loc, v_glob):
                scaled = [37.0 * states for states in path]
                torch.testing.assert_close(loss(scaled, real, variant=variant), loss(path, real, variant=variant))
    assert float(v_loc(there_and_back, real, variant="unit")) == pytest.approx(4.0)
    assert float(v_loc([x[0], x[0]], real, variant="raw")) == 0.0
