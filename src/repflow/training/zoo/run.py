"""train zoo: from a data folder to trained models, their cards, and how their flow came about."""

import importlib.util
import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from repflow.core import BadFile, BadSetting, Interrupted, local_path
from repflow.engines import Progress
from repflow.models import environment_facts
from repflow.models.compiled import available, compiled_scans
from repflow.models.kernels import parallel_scan
from repflow.models.quiet import quiet
from repflow.training.zoo.card import SPLIT, write_card
from repflow.training.zoo.corpus import HELD_OUT, Corpus, need_tokens, read_corpus, tokenizer_texts
from repflow.training.zoo.curriculum import Span, rate
from repflow.training.zoo.episodes import Episode, document_episode, prompt_episode
from repflow.training.zoo.evaluate import held_out_pieces
from repflow.training.zoo.folder import Training
from repflow.training.zoo.recipes import first_weights, recipe
from repflow.training.zoo.settings import LearningSettings, PlaceSettings, ZooSettings, filled, told
from repflow.training.zoo.stream import TextPieces, ZooStream
from repflow.training.zoo.trainer import Snapshots, StopAtNonFinite, Telling, TimeBudget, log_steps, train
from repflow.training.zoo.vocabulary import make_tokenizer

VOCABULARY_SEED = 0
"""Of the samples that the one tokenizer of all trainings is made from."""
_ON_GPU = 81_920
"""Tokens that a GPU computes at once."""
_LOGGED = ("step", "loss", "answers")


@dataclass(frozen=True, slots=True)
class _Course:
    """What the models of one call have in common."""

    place: PlaceSettings
    learning: LearningSettings
    corpus: Corpus
    tokenizer: Any
    stream: ZooStream
    cpu: bool
    deadline: float | None
    progress: Progress


def train_zoo(settings: ZooSettings, progress: Progress) -> list[Training]:
    """Trains the models one after the other and writes their cards; returns the folders of those that are done.

    Raises a CallerError for what the caller can mend, Diverged (exit code 1) where a loss or gradient is not finite;
    checkpoints stay, and `resume` goes on from them.
    """
    _need_accelerate()
    learning, place = filled(settings.learning), _absolute(settings.place)
    cpu = on_cpu(place.device)
    corpus = read_corpus(place.data)
    tokenizer = make_tokenizer(tokenizer_texts(corpus), VOCABULARY_SEED)
    stream = stream_of(corpus, text_ids(corpus, tokenizer), tokenizer, learning.plan, learning.seed)
    if (place.data / HELD_OUT).is_dir():
        # What is wrong with the text is said before the training, not after it.
        held_out_pieces(tokenizer, place.data, SPLIT)
    deadline = time.monotonic() + 60 * place.minutes if place.minutes else None
    course = _Course(place, learning, corpus, tokenizer, stream, cpu, deadline, progress)
    done: list[Training] = []
    for name in settings.models:
        training = Training(place.out / name)
        with _told_plainly(training.path):
            if not _claimed(course, name, training):
                break
            done.append(training)
    return done


def _absolute(place: PlaceSettings) -> PlaceSettings:
    return replace(place, data=local_path(place.data), out=local_path(place.out))


def _need_accelerate() -> None:
    if importlib.util.find_spec("accelerate") is None:
        raise BadSetting("training needs the package accelerate: pip install 'repflow[train]'")


def on_cpu(device: str) -> bool:
    """Whether to train on the CPU. Raises BadSetting where a GPU is asked for and there is none."""
    if device == "cuda" and not torch.cuda.is_available():
        raise BadSetting("--device cuda: no CUDA GPU is available to torch here; use --device cpu or auto")
    return device == "cpu" or not torch.cuda.is_available()


def text_ids(corpus: Corpus, tokenizer: Any) -> np.ndarray:
    """The corpus's texts as token ids, one after the other, an end of text behind each."""
    encoded = [tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] for text in corpus.texts]
    end = [tokenizer.eos_token_id]
    return np.concatenate([np.asarray(tokens + end, dtype=np.uint16) for tokens in encoded])


def stream_of(corpus: Corpus, ids: np.ndarray, tokenizer: Any, plan: Sequence[Span], seed: int) -> ZooStream:
    """The data of a training, in order; `ids` are the corpus's. Raises NotEnoughData for less than a batch of them."""
    need_tokens(len(ids), max(span.stage.batch_tokens for span in plan))
    documents = document_episode(corpus.questions) if corpus.questions else _prompt_instead
    return ZooStream(tokenizer, TextPieces(ids, seed), documents, plan=plan, seed=seed)


def _prompt_instead(rng: random.Random, tokens: int) -> Episode:
    """For a corpus without questions."""
    return prompt_episode(rng, tokens, most=16, divided=False, style="hex4")


def _claimed(course: _Course, name: str, training: Training) -> bool:
    """Whether the model is now trained to the end, and its card written."""
    config = recipe(name).config()
    facts = {
        "model": name,
        "settings": told(course.learning),
        "corpus": course.corpus.sha256,
        "config": config.to_dict(),
    }
    with training.claimed(facts, resume=course.place.resume, overwrite=course.place.overwrite) as state:
        if state == "finished":
            course.progress.note(f"{name} is trained already, in {training.model}")
        elif not _train_one(course, name, training, config, facts):
            return False
        write_card(training, course.place.data, course.progress)
    return True


def _train_one(course: _Course, name: str, training: Training, config: Any, facts: dict[str, Any]) -> bool:
    """Whether the model is now trained to the end."""
    begun = time.monotonic()
    with quiet():
        model = first_weights(config, course.learning.seed)
        trainer = _trained(course, name, training, model, training.newest_checkpoint())
        reached = trainer.state.global_step
        if reached == len(course.stream):
            # Trainer switches the cache off in the config; whoever generates from the model wants it.
            model.config.use_cache = True
            model.to(torch.bfloat16).save_pretrained(training.model)
            course.tokenizer.save_pretrained(training.model)
    if reached < len(course.stream):
        course.progress.note(f"{name}: time is up at step {reached} of {len(course.stream)}; go on with --resume")
        return False
    training.mark(
        facts,
        "finished",
        steps=reached,
        minutes=round((time.monotonic() - begun) / 60, 1),
        files=list(course.corpus.files),
        log=[{k: entry[k] for k in _LOGGED if k in entry} for entry in trainer.state.log_history if "loss" in entry],
        versions=environment_facts(),
    )
    return True


def _trained(course: _Course, name: str, training: Training, model: Any, checkpoint: Path | None) -> Any:
    learning, plan = course.learning, course.learning.plan
    steps = plan[-1].last
    callbacks = [
        StopAtNonFinite(),
        Snapshots(training.snapshots, log_steps(steps), course.tokenizer),
        Telling(course.progress, name, plan),
    ]
    if course.deadline is not None:
        callbacks.append(TimeBudget(course.deadline))
    with parallel_scan(model) as mixers, compiled_scans(model) as compiled:
        if not mixers and not compiled and model.config.model_type == "mamba":
            course.progress.note(
                "neither numba nor mambapy is installed: Mamba trains many times slower; pip install 'repflow[cpu]'"
            )
        return train(
            model,
            course.stream,
            training.checkpoints,
            steps=steps,
            micro_tokens=learning.micro_tokens or (_micro_tokens(model) if course.cpu else _ON_GPU),
            learning_rate=learning.learning_rate,
            rate=partial(rate, plan),
            seed=learning.seed,
            cpu=course.cpu,
            callbacks=callbacks,
            checkpoint=checkpoint,
        )


def _micro_tokens(model: Any) -> int:
    """Tokens that a CPU computes at once: mambapy's scan is fastest when what it holds fits the caches."""
    return 256 if model.config.model_type == "mamba" and not available() else 1024


@contextmanager
def _told_plainly(path: Path) -> Iterator[None]:
    """Turns Ctrl-C, and what a full or closed disk makes of a save, into one line."""
    from safetensors import SafetensorError

    try:
        yield
    except KeyboardInterrupt as stop:
        raise Interrupted(f"interrupted; the checkpoints stay in {path}", str(path.parent)) from stop
    except (OSError, SafetensorError, RuntimeError) as error:
        # torch.save has no error of its own for a write that failed.
        if isinstance(error, RuntimeError) and "inline_container" not in str(error):
            raise
        torn = "a checkpoint could not be written whole" if isinstance(error, RuntimeError) else str(error)
        raise BadFile(
            f"cannot save below {path}: {getattr(error, 'strerror', None) or torn}; what was saved before stays, free "
            "some space and use --resume"
        ) from error
