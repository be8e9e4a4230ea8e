"""A model on the Hugging Face hub: the local cache first, then the network."""

from typing import Any

from repflow.core import ModelProblem
from repflow.models.sources._directory import one_line, pretrained_model
from repflow.models.sources._opened import Opened, Request


def open_hub(name: str, request: Request) -> Opened:
    """Raises ModelProblem when the id is unknown, private or out of reach."""
    local = _is_cached(name, request)
    options = {
        "dtype": request.dtype,
        "revision": request.revision,
        "trust_remote_code": request.trust_remote_code,
    }
    try:
        tokenizer = hub_tokenizer(name, request.revision, request.trust_remote_code, local)
        model, warnings = pretrained_model(name, {**options, "local_files_only": local})
    except OSError as error:
        if not local:
            raise _trouble(name, request.revision, error) from error
        try:
            tokenizer = hub_tokenizer(name, request.revision, request.trust_remote_code)
            model, warnings = pretrained_model(name, options)
        except OSError as second:
            raise _trouble(name, request.revision, second) from second
    return Opened(model, tokenizer, warnings=warnings)


def hub_tokenizer(name: str, revision: str | None = None, trust_remote_code: bool = False, local: bool = False) -> Any:
    """The tokenizer of a hub id. Raises ModelProblem."""
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(
            name, revision=revision, trust_remote_code=trust_remote_code, local_files_only=local, use_fast=True
        )
    except OSError as error:
        if local:
            raise
        raise _trouble(name, revision, error) from error
    except Exception as error:
        raise ModelProblem(f"cannot load the tokenizer of {name}: {one_line(error)}") from error


def _is_cached(name: str, request: Request) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json", revision=request.revision), str)


def _trouble(name: str, revision: str | None, error: BaseException) -> ModelProblem:
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
        return ModelProblem(
            f"{name} is not in the local cache and the Hugging Face hub cannot be reached; connect, or download the "
            "model elsewhere and give its directory instead of the id"
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
    words = ("couldn't connect", "could not connect", "offline", "connection", "timed out", "name resolution")
    return any(isinstance(c, kinds) or any(word in str(c).lower() for word in words) for c in causes)
