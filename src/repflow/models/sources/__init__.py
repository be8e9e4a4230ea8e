"""Where weights come from: each source turns a spec into a model and its tokenizer."""

from repflow.models.sources._open import open_source, open_tokenizer
from repflow.models.sources.opened import Opened, Request

__all__ = ["Opened", "Request", "open_source", "open_tokenizer"]
