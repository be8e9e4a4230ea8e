"""Settings for every test: no hub, no progress bars, few threads when run side by side."""

import gc
import os

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers run side by side
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

pytest_plugins = ["finished_runs"]


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is imported by now stays: the garbage collector, which every Trainer calls, need not look at it again."""
    del session
    gc.collect()
    gc.freeze()
