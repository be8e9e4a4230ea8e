"""Fixtures of the training tests."""

from typing import Any

import pytest


@pytest.fixture(scope="session")
def zoo_tokenizer() -> Any:
    """The zoo's tokenizer, made from a little prose."""
    from zoo_kit import prose

    from repflow.training.zoo.vocabulary import make_tokenizer

    return make_tokenizer(prose()[:40_000].split("\n\n"), seed=0)
