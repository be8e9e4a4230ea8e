"""The zoo's tokenizer: the same for a seed, without loss, one special token."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from zoo_kit import prose

from repflow.models.sources.tokenizer import directory_tokenizer
from repflow.tasks.kvpr import KvprTask
from repflow.training.zoo.recipes import END_OF_TEXT, POSITIONS, VOCABULARY
from repflow.training.zoo.vocabulary import make_tokenizer

CALLIGRAPHY = "naïve café — «Ünïcödé» 日本語 🙂\r\n\t x  y \x00 it's 0f3a-99 don't"


def texts() -> list[str]:
    return prose()[:40_000].split("\n\n")


def test_it_is_the_same_each_time(zoo_tokenizer: Any) -> None:
    again = make_tokenizer(texts(), seed=0)
    assert again.backend_tokenizer.to_str() == zoo_tokenizer.backend_tokenizer.to_str()


def test_another_seed_or_text_makes_another(zoo_tokenizer: Any) -> None:
    for other in (make_tokenizer(texts(), seed=1), make_tokenizer(texts()[:-20], seed=0)):
        assert other.get_vocab() != zoo_tokenizer.get_vocab()


def ids_of(tokenizer: Any, text: str) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("text", [CALLIGRAPHY, prose()[60_000:63_000]])
def test_texts_come_back_whole(text: str, zoo_tokenizer: Any) -> None:
    assert zoo_tokenizer.decode(ids_of(zoo_tokenizer, text)) == text


@settings(deadline=None)
@given(text=st.text(max_size=40).filter(lambda text: END_OF_TEXT not in text))
def test_any_text_comes_back_whole(zoo_tokenizer: Any, text: str) -> None:
    assert zoo_tokenizer.decode(ids_of(zoo_tokenizer, text)) == text


def test_one_special_token_with_id_0(zoo_tokenizer: Any) -> None:
    assert zoo_tokenizer.all_special_tokens == [END_OF_TEXT]
    assert zoo_tokenizer.all_special_ids == [0]
    assert {zoo_tokenizer.bos_token_id, zoo_tokenizer.eos_token_id, zoo_tokenizer.pad_token_id} == {0}
    assert zoo_tokenizer("")["input_ids"] == []
    assert zoo_tokenizer("a")["input_ids"] == ids_of(zoo_tokenizer, "a"), "nothing is added at either end"


def test_it_has_as_many_tokens_as_the_models_have_rows(zoo_tokenizer: Any) -> None:
    assert len(zoo_tokenizer) == VOCABULARY
    assert sorted(zoo_tokenizer.get_vocab().values()) == list(range(VOCABULARY))
    assert zoo_tokenizer.model_max_length == POSITIONS


def test_a_digit_may_share_a_token_with_a_letter(zoo_tokenizer: Any) -> None:
    """A key of four digits takes fewer tokens than digits, or few of them fit a context."""
    (example,) = KvprTask(keys="hex4", items=32).build(zoo_tokenizer, n=1, context=POSITIONS, seed=5)
    assert len(example.ids) < 32 * 12 + 60


def test_saved_it_reads_the_same(zoo_tokenizer: Any, tmp_path: Path) -> None:
    zoo_tokenizer.save_pretrained(tmp_path)
    again = directory_tokenizer(tmp_path)
    assert ids_of(again, CALLIGRAPHY) == ids_of(zoo_tokenizer, CALLIGRAPHY)
    assert (again.eos_token_id, again.pad_token_id, again.all_special_ids) == (0, 0, [0])
