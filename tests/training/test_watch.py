"""watch: somebody else's loop, measured without touching it."""

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

import repflow
from repflow.core import BadSetting, ModelProblem, NotEnoughData, Site, Tap, UnknownName
from repflow.metrics import DEFAULT
from repflow.models import load
from repflow.models.loading import Loaded
from repflow.tasks import make_task
from repflow.training.watch import Watch

SPECS = ["config:pythia,layers=2,width=32", "config:mamba2,layers=2,width=32"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(params=SPECS)
def subject(request: pytest.FixtureRequest) -> Loaded:
    return load(request.param)


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def texts(subject: Loaded, n: int, context: int = 48) -> Tensor:
    examples = make_task("text").build(subject.tokenizer, n=n, context=context, seed=0)
    return torch.tensor([example.ids for example in examples])


def trained(spec: str, watching: bool) -> tuple[list[Tensor], list[float]]:
    """Three steps of training; the gradients of each, and the losses."""
    subject = load(spec)
    model = subject.model.train().requires_grad_(True)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    ids = texts(subject, 6)
    gradients, losses = [], []

    def steps(flow: Watch | None = None) -> None:
        for step, batch in enumerate(ids.split(2)):
            if flow is not None:
                flow.step(step)
            loss = model(input_ids=batch, labels=batch).loss
            optimiser.zero_grad()
            loss.backward()
            gradients.extend(p.grad.clone() for p in model.parameters() if p.grad is not None)
            losses.append(loss.item())
            optimiser.step()

    if watching:
        with repflow.watch(model, metrics=["adjacent_cosine", "path", "token_cka"]) as flow:
            steps(flow)
        assert flow.n_examples == 6
        assert flow.layers["step"].unique().tolist() == [0, 1, 2]
    else:
        steps()
    return gradients, losses


@pytest.mark.parametrize("spec", SPECS)
def test_training_is_bit_identical_with_and_without(spec: str) -> None:
    watched, plain = trained(spec, True), trained(spec, False)
    assert watched[1] == plain[1]
    assert len(watched[0]) == len(plain[0]) > 0
    assert all(torch.equal(a, b) for a, b in zip(watched[0], plain[0], strict=True))


def test_values_are_those_of_flow_on_the_same_tokens(subject: Loaded, tmp_path: Path) -> None:
    before = hooks(subject.model)  # transformers keeps some of its own
    run = repflow.flow(subject.facts.label, examples=10, context=48, calibration=0, out=tmp_path / "run")
    special = subject.tokenizer.all_special_ids
    with repflow.watch(subject.model, metrics=DEFAULT, special_ids=special) as flow, torch.no_grad():
        for batch in texts(subject, 10).split(3):
            subject.model(batch)
    assert hooks(subject.model) == before
    assert flow.n_examples == 10
    for table in ("layers", "pairs", "paths"):
        mine, theirs = getattr(flow, table), getattr(run, table)
        # Of a run the intervals are over units of text; watch knows of no text, and each row is a unit.
        apart = [
            "subject",
            "subject_a",
            "subject_b",
            "family",
            "init",
            "task",
            "context",
            "ci_low",
            "ci_high",
            "n_units",
        ]
        keys = [k for k in mine if k not in apart]
        assert len(mine) == len(theirs) > 0
        pd.testing.assert_frame_equal(mine[keys], theirs[keys], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_on_either_side_does_not_count(side: str) -> None:
    subject = load(SPECS[0])
    ids, length = texts(subject, 3, 30), 30
    padded, mask = torch.full((3, 44), 258), torch.zeros(3, 44, dtype=torch.int64)
    start = 14 if side == "left" else 0
    padded[:, start : start + length] = ids
    mask[:, start : start + length] = 1
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    with repflow.watch(subject.model) as flow, torch.no_grad():
        subject.model(input_ids=padded, attention_mask=mask, position_ids=positions)
    with repflow.watch(subject.model) as plain, torch.no_grad():
        subject.model(input_ids=ids)
    assert set(flow.layers["n_tokens"]) == {90}
    for table in ("layers", "pairs", "paths"):
        mine, theirs = getattr(flow, table), getattr(plain, table)
        rows = mine["metric"] != "offset_cosine" if "metric" in mine else slice(None)
        pd.testing.assert_frame_equal(mine[rows], theirs[rows], rtol=1e-3, atol=1e-4)


class Plain(nn.Module):
    """A module of nobody's family, over states rather than token ids."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(8, 8)
        self.second = nn.Linear(8, 8)

    def forward(self, x: Tensor, *, fail: bool = False) -> Tensor:
        x = x + self.first(x)
        if fail:
            raise RuntimeError("halfway")
        return x + self.second(x).tanh()


TAPS = (
    Tap(Site("in", 0, 0.0), "first", "input"),
    Tap(Site("middle", 1, 0.5), "second", "input"),
    Tap(Site("out", 2, 1.0), "", "output"),
)


def test_a_plain_module_with_sites_named_by_hand() -> None:
    torch.manual_seed(0)
    model, x = Plain().requires_grad_(False), torch.randn(5, 12, 8)
    with repflow.watch(model, sites=TAPS, metrics=["norm", "adjacent_cosine"], tokens=["all"]) as flow:
        y = model(x)
    norms = flow.layers.query("metric == 'norm' and variant == 'mean'").set_index("site")["value"]
    middle = x + model.first(x)
    expected = [float(h.norm(dim=-1).mean()) for h in (x, middle, y)]
    assert norms.loc[["in", "middle", "out"]].tolist() == pytest.approx(expected, rel=1e-5)
    cosine = flow.layers.query("metric == 'adjacent_cosine' and site == 'out'")["value"].item()
    assert cosine == pytest.approx(float(torch.cosine_similarity(middle, y, dim=-1).mean()), rel=1e-5)


def test_hooks_are_gone_after_errors() -> None:
    model, x = Plain(), torch.randn(2, 6, 8)
    with pytest.raises(RuntimeError, match="halfway"), repflow.watch(model, sites=TAPS):
        model(x, fail=True)
    assert hooks(model) == 0
    with pytest.raises(ZeroDivisionError), repflow.watch(model, sites=TAPS):
        raise ZeroDivisionError
    assert hooks(model) == 0
    with (
        pytest.raises(ModelProblem, match="no module 'third'"),
        repflow.watch(model, sites=[Tap(TAPS[0].site, "third")]),
    ):
        pass
    assert hooks(model) == 0


def test_the_loop_may_go_on_after_an_error() -> None:
    model, x = Plain(), torch.randn(2, 6, 8)
    with repflow.watch(model, sites=TAPS) as flow:
        with pytest.raises(RuntimeError):
            model(x, fail=True)
        model(x)
        model(x)
    assert flow.n_examples == 4
    assert set(flow.layers["n_tokens"]) == {24}, "the failed pass does not count"


def test_a_line_says_what_was_seen() -> None:
    model = load(SPECS[0]).model
    with repflow.watch(model, metrics=["norm"]) as flow:
        assert repr(flow) == "Watch(4 sites, 0 examples)"
        model(input_ids=torch.arange(10, 20)[None])
    assert repr(flow) == "Watch(4 sites, 1 example, 1 warning)"


def test_nothing_measured_is_said() -> None:
    model = Plain()
    with repflow.watch(model, sites=TAPS) as flow, pytest.raises(NotEnoughData, match="call the very module"):
        _ = flow.layers
    assert flow.n_examples == 0


def test_names_that_cannot_be() -> None:
    model = Plain()
    for options, error in (
        ({"metrics": ["nrm"]}, UnknownName),
        ({"tokens": ["most"]}, UnknownName),
        ({"sites": []}, BadSetting),
    ):
        arguments: dict[str, Any] = {"sites": TAPS} | options
        with pytest.raises(error), repflow.watch(model, **arguments):
            pass
    assert hooks(model) == 0


def test_a_mask_that_fits_no_state_is_refused() -> None:
    subject = load(SPECS[0])
    mask, before = torch.ones(2, 1, 20, 20), hooks(subject.model)
    with pytest.raises(BadSetting, match=r"attention_mask of shape \[2, 20\]"), repflow.watch(subject.model):
        subject.model(input_ids=texts(subject, 2, 20), attention_mask=mask)
    assert hooks(subject.model) == before


class Checkpointed(Plain):
    def forward(self, x: Tensor) -> Tensor:
        for block in (self.first, self.second):
            x = x + checkpoint(block, x, use_reentrant=False)
        return x


def test_a_checkpointed_block_is_measured_once() -> None:
    model, x = Checkpointed(), torch.randn(2, 6, 8)
    with repflow.watch(model, sites=TAPS, metrics=["norm"]) as flow:
        for _ in range(2):
            model(x).sum().backward()
        assert flow.n_examples == 4
    assert set(flow.layers["n_examples"]) == {4}


def test_sites_out_of_order_or_out_of_reach_are_refused() -> None:
    model, x = Plain(), torch.randn(2, 6, 8)
    model.spare = nn.Linear(8, 8)
    swapped = (TAPS[1], TAPS[0])
    with (
        pytest.raises(ModelProblem, match="reached the site in where middle was due"),
        repflow.watch(model, sites=swapped),
    ):
        model(x)
    idle = (*TAPS[:2], Tap(Site("spare", 2, 1.0), "spare"))
    with pytest.raises(ModelProblem, match="without reaching the site spare"), repflow.watch(model, sites=idle):
        model(x)


def test_autocast_does_not_reach_the_metrics() -> None:
    subject = load(SPECS[0])
    ids = texts(subject, 2)
    with torch.no_grad(), repflow.watch(subject.model) as plain:
        subject.model(ids)
    with torch.no_grad(), repflow.watch(subject.model) as cast, torch.autocast("cpu", dtype=torch.bfloat16):
        subject.model(ids)
    gap = (plain.layers["value"] - cast.layers["value"]).abs() / plain.layers["value"].abs().clip(lower=1.0)
    assert gap.max() < 0.05


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("zoo:pythia-tiny", r"got the string 'zoo:pythia-tiny'; open it with repflow\.models\.load"),
        (Plain, "got the class Plain; give an instance"),
        (None, "got a NoneType"),
        (partial(Plain().forward), "got a partial"),
        (SimpleNamespace(model=Plain()), r"got a SimpleNamespace; give the module in it, its \.model"),
    ],
)
def test_what_is_no_model_is_refused(given: Any, says: str) -> None:
    with pytest.raises(BadSetting, match=f"watch needs a torch module, {says}"), repflow.watch(given):
        pass


def test_a_model_on_several_devices_is_refused() -> None:
    model = nn.DataParallel(Plain())
    model.device_ids = [0, 1]
    with pytest.raises(ModelProblem, match="watch cannot follow DataParallel on 2 devices"), repflow.watch(model):
        pass
