"""A model on the Hugging Face hub: the local cache first, then the network."""

from typing import Any

from repflow.core import ModelProblem
from repflow.models.sources._directory import one_line, pretrained_model
from repflow.models.sources._opened import Opened, Request


def open_hub(name: str, request: Request) -> Opened:
    """Raises ModelProblem when the id is unknown, private or out of reach."""
    if _is_cached(name, request.revision):
        try:
            return _open(name, request, local=True)
        except (OSError, ModelProblem):
            # The cache holds a part only; the rest has to come from the hub.
            pass
    _check_reachable(name, request.revision)
    try:
        return _open(name, request, local=False)
    except OSError as error:
        raise _trouble(name, request.revision, error) from error


def hub_tokenizer(name: str) -> Any:
    """The tokenizer of a hub id. Raises ModelProblem."""
    if _is_cached(name, None):
        try:
            return _tokenizer(name, {"local_files_only": True})
        except (OSError, ModelProblem):
            pass
    _check_reachable(name, None)
    try:
        return _tokenizer(name, {})
    except OSError as error:
        raise _trouble(name, None, error) from error


def _open(name: str, request: Request, *, local: bool) -> Opened:
    options: dict[str, Any] = {
        "revision": request.revision,
        "trust_remote_code": request.trust_remote_code,
        "local_files_only": local,
    }
    tokenizer = _tokenizer(name, options)
    model, warnings = pretrained_model(name, {**options, "dtype": request.dtype})
    return Opened(model, tokenizer, warnings=warnings)


def _tokenizer(name: str, options: dict[str, Any]) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(name, use_fast=True, **options)
    except OSError:
        raise
    except Exception as error:
        raise ModelProblem(f"cannot load the tokenizer of {name}: {one_line(error)}") from error


def _is_cached(name: str, revision: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return isinstance(try_to_load_from_cache(name, "config.json", revision=revision), str)


def _check_reachable(name: str, revision: str | None) -> None:
    """One question to the hub without retries; a download retries for most of a minute when there is no network."""
    from huggingface_hub import HfApi

    try:
        HfApi().model_info(name, revision=revision, timeout=20)
    except Exception as error:
        raise _trouble(name, revision, error) from error


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
            f"{name} is not complete in the local cache and the Hugging Face hub cannot be reached; connect, or "
            "download the model elsewhere and give its directory instead of the id"
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
