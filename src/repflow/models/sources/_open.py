"""Chooses the source by the form of the spec."""

from pathlib import Path
from typing import Any

from repflow.core import BadSetting
from repflow.models.sources.adapter import adapted
from repflow.models.sources.config import open_config
from repflow.models.sources.directory import open_directory
from repflow.models.sources.gguf import gguf_tokenizer, open_gguf
from repflow.models.sources.hub import hub_tokenizer, open_hub
from repflow.models.sources.opened import Opened, Request
from repflow.models.sources.tokenizer import directory_tokenizer
from repflow.models.spec import SourceKind, parse_config_source, source_kind
from repflow.models.zoo import zoo_source


def open_source(source: str, request: Request) -> Opened:
    """The model of a source on the CPU, the request's adapter in it, and its tokenizer. Raises CallerError."""
    opened = _open(source, request)
    return opened if request.adapter is None else adapted(opened, request.adapter)


def _open(source: str, request: Request) -> Opened:
    kind, source = _resolve(source)
    if request.revision is not None and kind != "hub":
        raise BadSetting(f"@revision={request.revision} needs a hub id; {source} has no revisions")
    if kind == "config":
        family, options = parse_config_source(source)
        return open_config(family, options, request, open_tokenizer)
    if kind == "gguf":
        return open_gguf(Path(source).expanduser(), request)
    if kind == "directory":
        return open_directory(Path(source).expanduser(), request)
    return open_hub(source, request)


def open_tokenizer(source: str) -> Any:
    """The tokenizer of any source that has files. Raises CallerError."""
    kind, source = _resolve(source)
    if kind == "config":
        raise BadSetting(f"tokenizer={source}: a config: model has no tokenizer of its own; leave the key out")
    if kind == "gguf":
        return gguf_tokenizer(Path(source).expanduser())
    if kind == "directory":
        return directory_tokenizer(Path(source).expanduser())
    return hub_tokenizer(source)


def _resolve(source: str) -> tuple[SourceKind, str]:
    kind = source_kind(source)
    if kind != "zoo":
        return kind, source
    target = zoo_source(source.removeprefix("zoo:"))
    return source_kind(target), target
