"""watch counts the tokens of the model's users, however they call it."""

from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BatchEncoding, T5Config, T5ForConditionalGeneration
from watch_kit import LENGTHS, PAD, VOCAB, cosines, doubts, gpt2, hooks, ids_of, mamba, padded, plain, watched

from repflow.core import BadSetting, ModelProblem, NotEnoughData


def sequences(lengths: tuple[int, ...] = LENGTHS, side: str = "right") -> list[tuple[int, range]]:
    width = max(lengths)
    return [(row, range(n) if side == "right" else range(width - n, width)) for row, n in enumerate(lengths)]


def expected(model: Any, run: Any, where: Any = None) -> list[float]:
    trunk = model.base_model
    blocks, norm = (trunk.h, trunk.ln_f) if hasattr(trunk, "h") else (trunk.layers, trunk.norm_f)
    return plain([(run, where or sequences())], blocks, norm)


class ByPosition(nn.Module):
    """A wrapper of the user's own, with names of its own."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Tensor, keep: Tensor) -> Any:
        return self.inner(input_ids=tokens, attention_mask=keep)


class TakesBatch(ByPosition):
    def forward(self, batch: Any) -> Any:
        return self.inner(**batch)


def _by_mamba_position() -> tuple[Any, Any, Any]:
    model, (ids, mask) = mamba(), padded(LENGTHS)
    return model, model, lambda: model(ids, mask)


def _called(how: str) -> tuple[Any, Any, Any]:
    """What is watched, the Hugging Face model inside, and how it is run."""
    ids, mask = padded(LENGTHS)
    model = gpt2()
    batch = BatchEncoding({"input_ids": ids, "attention_mask": mask})
    match how:
        case "by position":
            return _by_mamba_position()
        case "by name":
            return model, model, lambda: model(attention_mask=mask, input_ids=ids)
        case "batch encoding":
            return model, model, lambda: model(**batch)
        case "bool mask":
            return model, model, lambda: model(input_ids=ids, attention_mask=mask.bool())
        case "embeddings":
            return model, model, lambda: model(inputs_embeds=model.transformer.wte(ids), attention_mask=mask)
        case "wrapper":
            outer = ByPosition(model)
            return outer, model, lambda: outer(ids, mask)
        case "a batch whole":
            outer = TakesBatch(model)
            return outer, model, lambda: outer(batch)
        case "partial":
            call = partial(model, use_cache=False)
            return call, model, lambda: call(input_ids=ids, attention_mask=mask)
        case "forward given a default":
            model.forward = partial(model.forward, attention_mask=mask)
            return model, model, lambda: model(input_ids=ids)
        case "data parallel":
            outer = nn.DataParallel(model)
            return outer, model, lambda: outer(input_ids=ids, attention_mask=mask)
        case "the trunk":
            return model, model, lambda: model.transformer(ids, attention_mask=mask)
        case "forward itself":
            return model, model, lambda: model.forward(input_ids=ids, attention_mask=mask)
    raise AssertionError(how)


WAYS = [
    "by position", "by name", "batch encoding", "bool mask", "embeddings", "wrapper", "a batch whole", "partial",
    "forward given a default", "data parallel", "the trunk", "forward itself",
]  # fmt: skip


@pytest.mark.parametrize("how", WAYS)
def test_padding_never_counts_whatever_the_call(how: str) -> None:
    called, inner, run = _called(how)
    flow = watched(called, run)
    assert set(flow.layers["n_tokens"]) == {sum(LENGTHS)}
    assert cosines(flow) == pytest.approx(expected(inner, run), abs=1e-5)
    assert doubts(flow) == ()


@pytest.mark.parametrize("form", ["additive", "bool", "numbers"])
@pytest.mark.parametrize("side", ["right", "left"])
def test_square_masks_tell_padding(form: str, side: str) -> None:
    model, (ids, mask) = gpt2(), padded(LENGTHS, side)
    sees = torch.ones(9, 9, dtype=torch.bool).tril() & mask[:, None, None, :].bool()
    square = {"bool": sees, "numbers": sees.long(), "additive": torch.zeros(sees.shape).masked_fill(~sees, -1e30)}[form]
    given = square if form != "numbers" else square.bool()

    def run() -> None:
        model(input_ids=ids, attention_mask=given)

    flow = watched(model, run)
    assert set(flow.layers["n_tokens"]) == {sum(LENGTHS)}
    assert cosines(flow) == pytest.approx(expected(model, run, sequences(side=side)), abs=1e-5)


def test_left_padding_without_positions_counts_what_the_model_made() -> None:
    model, (ids, mask) = gpt2(), padded(LENGTHS, "left")

    def run() -> None:
        model(input_ids=ids, attention_mask=mask)

    assert cosines(watched(model, run)) == pytest.approx(expected(model, run, sequences(side="left")), abs=1e-5)


def test_a_mask_of_ones_counts_everything_as_none_does() -> None:
    model, ids = gpt2(), ids_of()
    with_mask = watched(model, lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids)))
    without = watched(model, lambda: model(input_ids=ids))
    assert cosines(with_mask) == cosines(without)
    assert doubts(with_mask) == doubts(without) == ()


def test_without_a_mask_an_id_that_is_only_padding_does_not_count() -> None:
    model, (ids, _) = gpt2(pad_token_id=PAD), padded(LENGTHS)
    flow = watched(model, lambda: model(input_ids=ids))
    assert set(flow.layers["n_tokens"]) == {sum(LENGTHS)}
    ones = watched(model, lambda: model(input_ids=ids, attention_mask=torch.ones_like(ids)))
    assert set(ones.layers["n_tokens"]) == {27}
    assert "attention_mask is 1 at the padding id 59" in ones.warnings[0]


def test_without_a_mask_an_id_that_may_be_a_token_is_said_to_be_doubtful() -> None:
    model, (ids, _) = gpt2(pad_token_id=PAD, eos_token_id=PAD), padded(LENGTHS)
    flow = watched(model, lambda: model(input_ids=ids))
    assert set(flow.layers["n_tokens"]) == {27}
    assert "runs of the token id 59, which may be padding, and no attention_mask says" in flow.warnings[0]
    ended = ids_of()
    ended[:, -1] = PAD
    assert doubts(watched(model, lambda: model(input_ids=ended))) == ()


class Keeps(nn.Module):
    """A model of nobody's family, whose mask has a name of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(VOCAB, 8)
        self.layers = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
        self.norm = nn.LayerNorm(8)

    def forward(self, tokens: Tensor, mask: Tensor | None = None, src_key_padding_mask: Tensor | None = None) -> Tensor:
        del mask, src_key_padding_mask
        x = self.embed(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.norm(x)


def test_a_mask_of_unknown_meaning_is_asked_for() -> None:
    model, (ids, mask) = Keeps(), padded(LENGTHS)
    with pytest.raises(BadSetting, match=r"cannot tell whether 'mask' masks padding: mask='mask' if it is 1 at tokens"):
        watched(model, lambda: model(ids, mask))
    assert set(watched(model, lambda: model(ids, mask), mask="mask").layers["n_tokens"]) == {sum(LENGTHS)}
    assert set(watched(model, lambda: model(ids, mask), mask=None).layers["n_tokens"]) == {27}
    torchs = watched(model, lambda: model(ids, src_key_padding_mask=mask == 0))
    assert set(torchs.layers["n_tokens"]) == {sum(LENGTHS)}


def _blocks(lengths: list[list[int]]) -> Tensor:
    rows = [torch.block_diag(*(torch.ones(n, n).tril() for n in row)) for row in lengths]
    return torch.stack(rows)[:, None].bool()


PACKED = {
    "positions": {"position_ids": torch.tensor([[0, 1, 2, 3, 0, 1, 2, 3, 4], [0, 1, 2, 3, 4, 5, 0, 1, 2]])},
    "numbered mask": {"attention_mask": torch.tensor([[1, 1, 1, 1, 2, 2, 2, 2, 2], [1, 1, 1, 1, 1, 1, 2, 2, 2]])},
    "square mask": {"attention_mask": _blocks([[4, 5], [6, 3]])},
}


@pytest.mark.parametrize("how", PACKED)
def test_packed_rows_are_taken_apart(how: str) -> None:
    model, ids = gpt2(), ids_of()
    options = PACKED[how]

    def run() -> None:
        model(input_ids=ids, **options)

    parts = [(0, range(4)), (0, range(4, 9)), (1, range(6)), (1, range(6, 9))]
    flow = watched(model, run)
    assert flow.n_examples == 4
    assert set(flow.layers["n_tokens"]) == {18}
    assert cosines(flow) == pytest.approx(expected(model, run, parts), abs=1e-5)


def test_positions_that_do_not_pack_leave_rows_whole() -> None:
    model, (ids, mask) = gpt2(), padded(LENGTHS, "left")
    rising = (mask.cumsum(1) - 1).clamp(min=0)
    flow = watched(model, lambda: model(input_ids=ids, attention_mask=mask, position_ids=rising))
    assert flow.n_examples == 3
    flat = watched(model, lambda: model(input_ids=ids, attention_mask=mask, position_ids=torch.zeros_like(ids)))
    assert flat.n_examples == 3


class Appends(nn.Module):
    """Virtual tokens behind the user's, where nobody expects them."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = gpt2()

    def forward(self, input_ids: Tensor) -> Any:
        embeds = self.inner.transformer.wte(input_ids)
        return self.inner(inputs_embeds=torch.cat([embeds, embeds[:, :3]], 1))


def test_virtual_tokens_elsewhere_are_refused_and_the_inner_model_takes_them() -> None:
    model, ids = Appends(), ids_of()
    before = hooks(model)
    with pytest.raises(BadSetting, match="holds 12 states a row for 9 tokens, and which of them are virtual"):
        watched(model, lambda: model(ids))
    assert hooks(model) == before
    assert set(watched(model.inner, lambda: model(ids)).layers["n_tokens"]) == {24}


def test_special_ids_need_the_ids() -> None:
    model, ids = gpt2(), ids_of()
    ids[:, 0] = 1
    flow = watched(model, lambda: model(ids), special_ids=[1], tokens=["all", "no_special"])
    assert flow.layers.groupby("tokens")["n_tokens"].max().to_dict() == {"all": 18, "no_special": 16}
    with pytest.raises(BadSetting, match="watch tells special tokens by input_ids, got None"):
        watched(model, lambda: model(inputs_embeds=torch.randn(2, 4, 16)), special_ids=[1])


def test_a_decoder_is_not_read_by_the_encoders_mask() -> None:
    sizes = {"d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 2}
    model = T5ForConditionalGeneration(T5Config(vocab_size=VOCAB, pad_token_id=0, decoder_start_token_id=0, **sizes))
    (ids, mask), said = padded((7, 3)), ids_of(2, 7, seed=5)
    names = {"blocks": "decoder.block", "final_norm": "decoder.final_layer_norm"}
    flow = watched(model.eval(), lambda: model(input_ids=ids, attention_mask=mask, decoder_input_ids=said), **names)
    assert set(flow.layers["n_tokens"]) == {14}


def test_blocks_and_final_norm_by_name() -> None:
    model, ids = Keeps(), ids_of()
    flow = watched(model, lambda: model(ids), blocks="layers", final_norm="norm")
    assert [site.name for site in flow.sites] == ["embed", "block.0", "block.1", "final_norm"]
    bare = watched(model, lambda: model(ids), blocks="layers", final_norm="none")
    assert [site.name for site in bare.sites] == ["embed", "block.0", "block.1"]
    assert cosines(bare) == cosines(flow)[:3]
    assert "final_norm" not in set(bare.pairs["site_b"])
    model.extra = nn.ModuleList(nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2))
    with pytest.raises(ModelProblem, match=r"lists of blocks: layers.*blocks= and final_norm= in Python"):
        watched(model, lambda: model(ids))


def test_padding_that_nothing_tells_is_doubtful() -> None:
    model, (ids, mask) = gpt2(), padded(LENGTHS)
    said = "which may be padding, and no attention_mask says"
    as_end = ids.masked_fill(mask == 0, model.config.eos_token_id)
    assert said in watched(model, lambda: model(as_end)).warnings[0]
    embeds = model.transformer.wte(ids)
    assert said in watched(model, lambda: model(inputs_embeds=embeds)).warnings[0]
    assert doubts(watched(model, lambda: model(inputs_embeds=embeds, attention_mask=mask))) == ()
    unknown = Keeps()
    assert said in watched(unknown, lambda: unknown(ids)).warnings[0]
    assert doubts(watched(unknown, lambda: unknown(ids), mask=None)) == ()


def test_rows_of_padding_are_no_examples() -> None:
    model, (ids, mask) = gpt2(), padded((5, 0, 3))
    flow = watched(model, lambda: model(input_ids=ids, attention_mask=mask))
    assert flow.n_examples == 2
    assert set(flow.layers["n_tokens"]) == {8}
    assert watched(model, lambda: model(input_ids=ids, attention_mask=mask * 0)).n_examples == 0


@pytest.mark.parametrize("mode", ["two rows", "no rows", "no tokens", "one token"])
def test_edges_of_a_batch(mode: str) -> None:
    model = Keeps()
    shape = {"two rows": (2, 9), "no rows": (0, 9), "no tokens": (2, 0), "one token": (2, 1)}[mode]
    ids = ids_of(*shape)
    flow = watched(model, lambda: model(ids))
    if mode in ("no rows", "no tokens"):
        assert flow.n_examples == 0
        with pytest.raises(NotEnoughData, match="nothing was measured"):
            _ = flow.layers
    else:
        assert flow.n_examples == 2
