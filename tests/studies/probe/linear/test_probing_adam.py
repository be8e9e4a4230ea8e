"""The default solver: equal to the plain loop, blind to order, chunks and test rows."""

from pathlib import Path

import numpy as np
import pytest
import torch
from probing_planted import accuracies, crossed
from probing_twins import adam_logits, adam_loop, z_scores

from repflow.studies.probe.linear import Predictions, fit, fit_probes
from repflow.studies.probe.linear import adam as _adam
from repflow.studies.probe.linear import standing_rows as _rows


def fitted(data, **more) -> Predictions:
    return fit_probes(data.features, data.labels, data.groups, classes=data.classes, **more)


def loop(data, found: Predictions, labels: np.ndarray, **more) -> np.ndarray:
    """[R, S, N] by the twin; labels [R, N]."""
    predicted = np.stack(
        [
            [adam_loop(site, labels[r], found.train[r], data.classes, **more) for site in data.features]
            for r in range(len(found.train))
        ]
    )
    return np.where(found.train[:, None], -1, predicted)


@pytest.mark.parametrize("classes", [2, 5])
def test_it_is_the_plain_loop_of_the_protocol(classes: int) -> None:
    data = crossed((0.0, 0.7, 2.0), classes=classes, groups=100)
    found = fitted(data, seeds=3)
    assert found.control is not None
    assert found.control_labels is not None
    for mine, labels in ((found.predicted, np.stack([data.labels] * 3)), (found.control, found.control_labels)):
        twin = loop(data, found, labels)
        np.testing.assert_allclose(accuracies(mine, labels), accuracies(twin, labels), atol=1e-3)
        assert (mine == twin).mean() > 0.999


def test_logits_are_those_of_double_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """Balanced classes start with bias gradients of 0, of whose rounding Adam makes steps."""
    trained: list[torch.Tensor] = []

    class Kept(_adam.Adam):
        def __init__(self, weights: torch.Tensor) -> None:
            super().__init__(weights)
            trained.append(weights)

    monkeypatch.setattr(_adam, "Adam", Kept)
    data = crossed((0.0, 0.7, 2.0), classes=5, groups=40, width=64)
    found = fitted(data, seeds=4, control=False)
    off = []
    for s, site in enumerate(data.features):
        for r, train in enumerate(found.train):
            exact = adam_logits(site, data.labels, train, 5, dtype=torch.float64)
            weights, bias = trained[0][s, :, r].split((64, 1), 1)
            logits = torch.from_numpy(z_scores(site, train)).float() @ weights.T + bias[:, 0]
            off.append(float((centred(logits) - centred(exact)).abs().max()))
    assert np.median(off) < 3e-4


def centred(logits: torch.Tensor) -> torch.Tensor:
    return logits.double() - logits.double().mean(1, keepdim=True)


def test_the_update_is_torchs_adam() -> None:
    rng = torch.Generator().manual_seed(0)
    weights = torch.randn(7, 5, generator=rng)
    reference = weights.clone().requires_grad_()
    theirs = torch.optim.Adam([reference], lr=_adam.LEARNING_RATE, weight_decay=_adam.WEIGHT_DECAY)
    mine = _adam.Adam(weights)
    for step in range(40):
        gradient = torch.randn(7, 5, generator=rng) * 10.0 ** -(step % 9)
        reference.grad = gradient.clone()
        theirs.step()
        mine.step(gradient)
    torch.testing.assert_close(weights, reference.detach(), rtol=1e-5, atol=1e-6)


def test_a_probe_takes_the_protocols_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    taken, step = [], _adam.Adam.step
    monkeypatch.setattr(_adam.Adam, "step", lambda self, gradient: (taken.append(1), step(self, gradient)))
    fitted(crossed((1.0,)), seeds=1)
    assert len(taken) == 2 * 150, "probes with their control, and the capacity control"


def test_the_scaler_never_sees_the_test_rows() -> None:
    data = crossed((1.5,), groups=80)
    before = fitted(data, seeds=1, control=False)
    tested = np.flatnonzero(~before.train[0])
    moved, left = tested[::2], tested[1::2]
    data.features[:, moved] += 300
    after = fitted(data, seeds=1, control=False)
    np.testing.assert_array_equal(after.predicted[0, 0, left], before.predicted[0, 0, left])
    leaky = loop(data, before, data.labels[None], leak=True)
    assert (leaky[0, 0, left] != before.predicted[0, 0, left]).mean() > 0.05, "this test could not fail"


def test_labels_of_test_examples_are_not_used() -> None:
    data = crossed((1.0,), groups=80)
    before = fitted(data, seeds=1, control=False)
    labels = np.where(before.train[0], data.labels, data.labels[::-1])
    after = fit_probes(data.features, labels, data.groups, classes=4, seeds=1, control=False)
    np.testing.assert_array_equal(after.predicted, before.predicted)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_the_order_of_the_examples_changes_nothing(solver) -> None:
    data = crossed((0.0, 1.0))
    found = fitted(data, seeds=2, solver=solver)
    for seed in range(2):
        other, order = data.shuffled(seed)
        again = fitted(other, seeds=2, solver=solver)
        for name in ("predicted", "control", "control_labels", "train"):
            np.testing.assert_array_equal(getattr(again, name), getattr(found, name)[..., order], err_msg=name)


def test_class_sorted_separable_input_scores_full() -> None:
    """The public probe of this protocol scores 9% here: it splits sorted data without shuffling."""
    data = crossed((12.0,), classes=10, groups=30)
    order = np.argsort(data.labels, kind="stable")
    found = fit_probes(data.features[:, order], data.labels[order], data.groups[order], classes=10)
    assert accuracies(found.predicted, found.labels)[0] == 1


def test_chunks_and_memory_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    data = crossed((0.0, 0.5, 1.0, 0.0, 2.0))
    together = fitted(data, seeds=2)
    for cache in (1, 2 * 10**6):
        monkeypatch.setattr(fit, "CACHE", cache)
        np.testing.assert_array_equal(fitted(data, seeds=2, memory=10**9).predicted, together.predicted)
    alone = [fit_probes(data.features[s : s + 1], data.labels, data.groups, classes=4, seeds=2) for s in range(5)]
    np.testing.assert_array_equal(np.concatenate([a.predicted for a in alone], 1), together.predicted)


def test_first_seed_and_control_change_no_other_split() -> None:
    data = crossed((0.5,))
    five = fitted(data)
    later = fitted(data, seeds=2, first_seed=3, control=False)
    assert later.seeds == (3, 4)
    assert later.control is None
    np.testing.assert_array_equal(later.predicted, five.predicted[3:])
    np.testing.assert_array_equal(later.train, five.train[3:])


def test_maps_tensors_and_half_precision_are_read_alike(tmp_path: Path) -> None:
    data = crossed((0.0, 1.0))
    half = data.features.astype(np.float16)
    np.save(tmp_path / "f.npy", half)
    mapped = np.load(tmp_path / "f.npy", mmap_mode="r")
    expected = fit_probes(half.astype(np.float32), data.labels, data.groups, classes=4, seeds=1)
    for features in (half, mapped, torch.from_numpy(half)):
        found = fit_probes(features, data.labels, data.groups, classes=4, seeds=1)
        np.testing.assert_array_equal(found.predicted, expected.predicted)


def test_without_packed_products_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    data = crossed((0.0, 1.0))
    packed = fitted(data, seeds=2)
    monkeypatch.setattr(_rows, "_can_pack", lambda: False)
    np.testing.assert_array_equal(fitted(data, seeds=2).predicted, packed.predicted)


def test_both_products_agree() -> None:
    rng = torch.Generator().manual_seed(0)
    states, weights = torch.randn(3, 50, 17, generator=rng), torch.randn(3, 6, 17, generator=rng)
    residuals = torch.randn(3, 6, 50, generator=rng)
    plain, chosen = _rows.PlainRows(states), _rows.rows_of(states)
    torch.testing.assert_close(chosen.logits(weights), plain.logits(weights), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(chosen.gradient(residuals), plain.gradient(residuals), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_site_without_spread_scores_chance(solver) -> None:
    """The embedding of the last token is the same whatever the prompt."""
    data = crossed((0.0, 3.0))
    data.features[0] = data.features[0, 0] * 1e4
    found = fitted(data, seeds=2, control=False, solver=solver)
    scores = accuracies(found.predicted, found.labels)
    assert scores[0] == pytest.approx(0.25)
    assert scores[1] > 0.8


def test_large_offsets_and_norms_are_harmless() -> None:
    data = crossed((0.5, 1.0), groups=100)
    data.features[:] = data.features * 2.0**12
    expected = fitted(data, seeds=2, control=False)
    data.features[:] += np.float32(2.0**18)  # what float32 rounds off here is 1/32, beside spreads of about 4,000
    found = fitted(data, seeds=2, control=False)
    assert (found.predicted == expected.predicted).mean() > 0.998


def test_one_row_of_enormous_norm_leaves_the_other_predictions() -> None:
    data = crossed((2.0,), groups=80)
    expected = fitted(data, seeds=1, control=False)
    row = np.flatnonzero(~expected.train[0])[0]
    data.features[:, row] *= 1e5
    found = fitted(data, seeds=1, control=False)
    others = np.arange(len(data.labels)) != row
    assert (found.predicted == expected.predicted)[..., others].mean() > 0.995
