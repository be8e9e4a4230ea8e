"""GGUF files: dequantised once by transformers, then kept as safetensors in a cache."""

import contextlib
import hashlib
import importlib.util
import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from repflow.core import BadFile, CallerError, ModelProblem
from repflow.core.boundary import one_line
from repflow.models.sources.directory import open_directory, pretrained_model
from repflow.models.sources.gguf_cache import cached_folder, store
from repflow.models.sources.opened import Opened, Request
from repflow.models.sources.tokenizer import directory_tokenizer


def open_gguf(file: Path, request: Request) -> Opened:
    """The dequantised model. About half a minute for 100 MB the first time, then as fast as a directory.

    Raises BadFile for a broken file, ModelProblem for an architecture that transformers cannot read from GGUF or for
    missing packages. A cache that cannot be written is a warning, not an error.
    """
    digest = _checked_digest(file)
    if (folder := cached_folder(digest)) is not None:
        return open_directory(folder, request)
    model, tokenizer = _convert(file)
    trouble = store(digest, model, tokenizer)
    if trouble is None and (folder := cached_folder(digest)) is not None:
        return open_directory(folder, request)
    if request.dtype != "auto":
        model = model.to(request.dtype)
    return Opened(model, tokenizer, warnings=(trouble,) if trouble else ())


def gguf_tokenizer(file: Path) -> Any:
    """The tokenizer inside a GGUF file. Raises BadFile."""
    if (folder := cached_folder(_checked_digest(file))) is not None:
        return directory_tokenizer(folder)
    _need_packages()
    return _read_tokenizer(file)


def _checked_digest(file: Path) -> str:
    try:
        with file.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise BadFile(f"{file} is not a GGUF file")
            stream.seek(0)
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise BadFile(f"cannot read {file}: {one_line(error)}") from error


def _need_packages() -> None:
    missing = [name for name in ("gguf", "accelerate") if importlib.util.find_spec(name) is None]
    if missing:
        raise ModelProblem(f"reading GGUF files needs {' and '.join(missing)}: pip install 'repflow[gguf]'")


def _convert(file: Path) -> tuple[Any, Any]:
    import torch

    _need_packages()
    options: dict[str, Any] = {"gguf_file": file.name, "dtype": torch.float32, "local_files_only": True}
    tokenizer = _read_tokenizer(file)
    try:
        with _silent():
            model, _ = pretrained_model(str(file.parent), options)
    except (OSError, ImportError, CallerError) as error:
        raise _trouble(file, error) from error
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model, tokenizer


@contextmanager
def _silent() -> Iterator[None]:
    """No warnings, and no progress bar of the conversion, which transformers cannot be asked to leave out."""
    with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def _read_tokenizer(file: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        with _silent():
            return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name, local_files_only=True)
    except Exception as error:
        raise _trouble(file, error) from error


def _trouble(file: Path, error: BaseException) -> CallerError:
    root = error.__cause__ or error
    if "not supported" in str(root):
        return ModelProblem(f"transformers cannot read this kind of GGUF file, {file}: {one_line(root)}")
    return BadFile(f"cannot read {file}: {one_line(root)}; is the file complete?")
