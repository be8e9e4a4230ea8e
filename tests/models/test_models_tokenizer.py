"""The token ids are those of the folder's own tokenizer.json, whatever transformers' class would make of it."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tiny_models import model_of, save, saved
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from repflow.core import BadFile, ModelProblem
from repflow.models import load
from repflow.models.byte_tokenizer import byte_tokenizer
from repflow.models.generation import greedy

TEXTS = (
    "In 1969 there were 12,345 of them, 3.14 each",
    "D\u00e9j\u00e0 na\u00efve \u4e2d\u6587  two  spaces\n\tand a tab",
    "<s> said the <pad>: it's <unk> </s><|im_start|>",
)


def bytes_with(change: Callable[[Tokenizer], None]) -> Tokenizer:
    """A byte-level BPE without merges but of two digits, changed."""
    tokenizer: Tokenizer = byte_tokenizer().backend_tokenizer
    vocabulary = tokenizer.get_vocab()
    pairs = [(a, b) for a in "0123456789" for b in "0123456789"]
    more = {a + b: 300 + i for i, (a, b) in enumerate(pairs)}
    built = Tokenizer(models.BPE(vocab={k: v for k, v in vocabulary.items() if v < 256} | more, merges=pairs))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    built.decoder = decoders.ByteLevel()
    change(built)
    return built


def nothing(_: Tokenizer) -> None: ...


def splits(tokenizer: Tokenizer) -> None:
    single = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([single, tokenizer.pre_tokenizer])


def normalises(tokenizer: Tokenizer) -> None:
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )


def adds(tokenizer: Tokenizer) -> None:
    tokenizer.add_tokens([AddedToken("there", single_word=True), AddedToken("  ", normalized=False)])
    tokenizer.add_special_tokens([AddedToken("<|im_start|>", special=True)])


def frames(tokenizer: Tokenizer) -> None:
    tokenizer.add_special_tokens([AddedToken("<s>", special=True), AddedToken("</s>", special=True)])
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=ids)


def spaces(tokenizer: Tokenizer) -> None:
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="_", prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(replacement="_", prepend_scheme="always")


def cuts(tokenizer: Tokenizer) -> None:
    tokenizer.enable_truncation(7)
    tokenizer.enable_padding(length=60)


@pytest.mark.parametrize("change", [nothing, splits, normalises, adds, frames, spaces])
@pytest.mark.parametrize("family", ["qwen2", "llama", "gpt2", "gemma"])
def test_the_files_own_ids(tmp_path: Path, family: str, change: Callable[[Tokenizer], None]) -> None:
    written = bytes_with(change)
    written.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": family}))
    check(tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps(
            {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "bos_token": "<s>", "pad_token": "<pad>"}
        )
    )
    check(tmp_path)


def check(folder: Path) -> None:
    from repflow.models.sources.tokenizer import tokenizer_and_warnings

    own = Tokenizer.from_file(str(folder / "tokenizer.json"))
    found, _ = tokenizer_and_warnings(folder)
    for text in TEXTS:
        for special in (True, False):
            assert found.encode(text, add_special_tokens=special) == own.encode(text, add_special_tokens=special).ids
        assert found(text, return_offsets_mapping=True)["offset_mapping"] == own.encode(text).offsets
    assert None not in found.all_special_ids
    assert {token.content for token in own.get_added_tokens_decoder().values() if token.special} <= {
        *found.all_special_tokens
    }


def test_a_qwen2_folder_whose_file_does_not_split_digits(tmp_path: Path) -> None:
    saved(tmp_path, "qwen2", vocab_size=400)
    written = bytes_with(nothing)
    written.save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "tokenizer_config.json").unlink()
    subject = load(str(tmp_path))
    assert subject.tokenizer.encode(TEXTS[0]) == written.encode(TEXTS[0]).ids
    assert len(subject.tokenizer.encode("1969")) == 2
    assert subject.facts.warnings == (
        "tokenizer.json gives other token ids than transformers' Qwen2Tokenizer; those of the file are used",
    )


def test_truncation_and_padding_of_the_file_do_not_cut_texts(tmp_path: Path) -> None:
    from repflow.models.sources.tokenizer import directory_tokenizer

    bytes_with(cuts).save(str(tmp_path / "tokenizer.json"))
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "qwen2"}))
    plain = bytes_with(nothing)
    assert directory_tokenizer(tmp_path).encode(TEXTS[0]) == plain.encode(TEXTS[0]).ids


def test_a_saved_tokenizer_is_itself(tmp_path: Path) -> None:
    subject = load(saved(tmp_path, "llama"))
    assert subject.facts.warnings == ()
    assert (subject.tokenizer.bos_token_id, subject.tokenizer.eos_token_id, subject.tokenizer.pad_token_id) == (
        256,
        257,
        258,
    )


def with_one_more(folder: Path) -> str:
    """A Llama with 259 embeddings and a tokenizer with the id 259, which the text `!!` gets."""
    tokenizer = byte_tokenizer()
    tokenizer.add_tokens(["!!"])
    return save(folder, model_of("llama"), tokenizer)


def test_an_id_that_never_occurs_refuses_nothing(tmp_path: Path) -> None:
    subject = load(with_one_more(tmp_path))
    assert (len(subject.tokenizer), subject.facts.n_embeddings) == (260, 259)
    assert subject.forward(torch.tensor([subject.tokenizer.encode("no mark")])).last_hidden_state.isfinite().all()


def test_an_id_that_occurs_is_refused_before_anything_is_measured(tmp_path: Path) -> None:
    import repflow

    spec = with_one_more(tmp_path / "model")
    settings = {"context": 32, "examples": 4, "calibration": 0, "metrics": ["norm"], "pack": False}
    text = tmp_path / "text.jsonl"
    lines = [json.dumps({"text": f"{i} is a line that is long enough to be read"}) for i in range(6)]
    text.write_text("\n".join(lines))
    assert len(repflow.flow(spec, text=str(text), out=tmp_path / "good", **settings).layers)
    text.write_text("\n".join([*lines[:2], json.dumps({"text": "!! and this begins with two of them"}), *lines[2:]]))
    with pytest.raises(ModelProblem, match=r"the token id 259 \('!!'\), and the model has embeddings for 259 tokens"):
        repflow.flow(spec, text=str(text), out=tmp_path / "bad", **settings)
    assert not (tmp_path / "bad" / "layers.parquet").exists()


def test_a_padding_token_without_an_embedding_is_never_read(tmp_path: Path) -> None:
    tokenizer = byte_tokenizer()
    tokenizer.add_special_tokens({"pad_token": "<|more|>"})
    subject = load(save(tmp_path, model_of("llama"), tokenizer))
    assert subject.tokenizer.pad_token_id == 259
    prompts = [subject.tokenizer.encode(text) for text in ("one", "two", "six")]
    together = greedy(subject, prompts, new_tokens=6)
    assert together == [greedy(subject, [prompt], new_tokens=6)[0] for prompt in prompts]


def test_a_vocabulary_without_a_token_for_the_unknown(tmp_path: Path) -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    spec = save(tmp_path, model_of("llama"), PreTrainedTokenizerFast(tokenizer_object=tokenizer))
    assert load(spec).tokenizer.encode("a b a") == [0, 1, 0]
    import repflow

    with pytest.raises(ModelProblem, match=r"the tokenizer cannot encode .*UNK"):
        repflow.flow(spec, context=8, examples=4, out=tmp_path / "run")


@pytest.mark.parametrize(
    "content", ["", "{", "[]", "{}", '{"model": {}}', '{"model": {"type": "BPE", "vocab": 3}}', "\x00"]
)
def test_a_broken_file_is_one_line(tmp_path: Path, content: str) -> None:
    saved(tmp_path, "llama")
    (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(BadFile, match=r"cannot read the tokenizer in") as caught:
        load(str(tmp_path))
    assert "\n" not in str(caught.value)
