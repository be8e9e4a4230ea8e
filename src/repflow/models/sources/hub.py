"""A model on the Hugging Face hub: the local cache first, then the network; then a folder like any other."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from repflow.core import ModelProblem
from repflow.core.boundary import one_line
from repflow.models.sources.checkpoint import ADAPTER_CONFIG, CONFIG, PICKLED, PICKLED_INDEX, SAFE, SAFE_INDEX, Absent
from repflow.models.sources.directory import open_directory
from repflow.models.sources.opened import Opened, Request
from repflow.models.sources.tokenizer import directory_tokenizer

T = TypeVar("T")

_SMALL = (".json", ".txt", ".model", ".tiktoken", ".py")
"""Endings of the files beside the weights that a config, a tokenizer or a family's own code may need."""


def open_hub(name: str, request: Request) -> Opened:
    """Raises ModelProblem when the id is unknown, private or out of reach."""
    return _opened(name, request.revision, True, lambda folder: open_directory(folder, request))


def hub_tokenizer(name: str) -> Any:
    """The tokenizer of a hub id. Raises ModelProblem."""
    return _opened(name, None, False, directory_tokenizer)


def _opened(name: str, revision: str | None, weights: bool, read: Callable[[Path], T]) -> T:
    """What `read` makes of the folder, fetched where the cache holds a part only. A part that is broken is an error."""
    missing: Absent | None = None
    if (folder := _cached(name, revision)) is not None:
        try:
            return read(folder)
        except Absent as error:
            missing = error
    try:
        fetched = _fetched(name, revision, weights)
    except Exception as error:
        raise _trouble(name, revision, error, missing) from error
    return read(fetched)


def _cached(name: str, revision: str | None) -> Path | None:
    """The snapshot in the local cache, which may hold a part only."""
    from huggingface_hub import try_to_load_from_cache

    kept = (try_to_load_from_cache(name, file, revision=revision) for file in (CONFIG, ADAPTER_CONFIG))
    return next((Path(file).parent for file in kept if isinstance(file, str)), None)


def _fetched(name: str, revision: str | None, weights: bool) -> Path:
    """The snapshot after a download. One question without retries first: a download retries for most of a minute."""
    from huggingface_hub import HfApi, hf_hub_download, snapshot_download

    info = HfApi().model_info(name, revision=revision, timeout=20)
    there = {sibling.rfilename for sibling in info.siblings or ()}
    wanted = [file for file in there if "/" not in file and file.endswith(_SMALL)]
    if weights:
        wanted += _weights(there, lambda file: hf_hub_download(name, file, revision=info.sha))
    return Path(snapshot_download(name, revision=info.sha, allow_patterns=wanted))


def _weights(there: Iterable[str], fetch: Callable[[str], str]) -> list[str]:
    """The files of the weights that are read of all there are, an adapter's included."""
    found = [file for file in there if file.startswith("adapter_model.")]
    for whole, index in ((SAFE, SAFE_INDEX), (PICKLED, PICKLED_INDEX)):
        if whole in there:
            return [*found, whole]
        if index in there:
            content = json.loads(Path(fetch(index)).read_text(encoding="utf-8"))
            return [*found, index, *sorted(set(content["weight_map"].values()))]
    return found


def _trouble(name: str, revision: str | None, error: BaseException, missing: Absent | None) -> ModelProblem:
    """One line for whatever went wrong between here and the hub."""
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    causes = list(_causes(error))
    if any(isinstance(cause, GatedRepoError) for cause in causes):
        return ModelProblem(f"{name} is gated on the Hugging Face hub; accept its terms there and run `hf auth login`")
    if any(isinstance(cause, RevisionNotFoundError) for cause in causes):
        return ModelProblem(f"{name} has no revision {revision!r} on the Hugging Face hub")
    if any(isinstance(cause, RepositoryNotFoundError) for cause in causes):
        return ModelProblem(f"no model {name} on the Hugging Face hub, or it is private, and no such local directory")
    if _is_connection(causes):
        cache = "not in the local cache" if missing is None else f"not complete in the local cache ({missing})"
        return ModelProblem(
            f"{name} is {cache} and the Hugging Face hub cannot be reached; connect, or download the model elsewhere "
            "and give its directory instead of the id"
        )
    return ModelProblem(f"cannot load {name} from the Hugging Face hub: {one_line(error)}")


def _causes(error: BaseException | None) -> "list[BaseException]":
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    return chain


def _is_connection(causes: list[BaseException]) -> bool:
    from huggingface_hub.errors import LocalEntryNotFoundError, OfflineModeIsEnabled

    kinds = (LocalEntryNotFoundError, OfflineModeIsEnabled, ConnectionError, TimeoutError)
    words = ("couldn't connect", "could not connect", "offline", "name resolution")
    return any(
        isinstance(cause, kinds)
        or any(kind.__name__ == "TransportError" for kind in type(cause).__mro__)
        or any(word in str(cause).lower() for word in words)
        for cause in causes
    )
