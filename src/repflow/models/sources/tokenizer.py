"""The tokenizer of a model folder: that of tokenizer.json where there is one, whatever a class would make of it."""

from pathlib import Path
from typing import Any

from repflow.core import BadFile
from repflow.core.boundary import one_line_errors
from repflow.models.sources.checkpoint import Absent
from repflow.models.zoo import tokenizer_folder

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
_PROBE = "In 1969, 12,345 men\n\tsaid: \u201cna\u00efve d\u00e9j\u00e0\u201d \u4e2d\u6587 don't  x=3.14;"
_ROLES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def directory_tokenizer(folder: Path, *, trust_remote_code: bool = False) -> Any:
    """The tokenizer a folder holds. Raises BadFile."""
    return tokenizer_and_warnings(folder, trust_remote_code=trust_remote_code)[0]


def tokenizer_and_warnings(folder: Path, *, trust_remote_code: bool = False) -> tuple[Any, tuple[str, ...]]:
    """The tokenizer a folder holds, and whether transformers' class for it would give other ids. Raises BadFile.

    tokenizer.json decides: transformers 5 rebuilds some tokenizers from their class and drops what the file says of
    splitting, normalising or special tokens. Special tokens that the file does not have are left out.
    """
    folder = tokenizer_folder(folder)
    if not any((folder / name).is_file() for name in _FILES):
        raise Absent(f"no tokenizer in {folder}: expected tokenizer.json (save one with tokenizer.save_pretrained)")
    file = folder / "tokenizer.json"
    with one_line_errors(f"cannot read the tokenizer in {folder}", BadFile):
        if not file.is_file():
            return _by_class(folder, trust_remote_code), ()
        from tokenizers import Tokenizer

        own = Tokenizer.from_file(str(file))
        made = _by_class(folder, trust_remote_code)
        return _as_in_file(made, own)


def _by_class(folder: Path, trust_remote_code: bool) -> Any:
    """As transformers chooses the class; the plain one where it cannot tell but there is a tokenizer.json."""
    from transformers import AutoTokenizer, PreTrainedTokenizerFast

    options: dict[str, Any] = {"local_files_only": True, "trust_remote_code": trust_remote_code}
    try:
        return AutoTokenizer.from_pretrained(str(folder), use_fast=True, **options)
    except Exception:
        if not (folder / "tokenizer.json").is_file():
            raise
        return PreTrainedTokenizerFast.from_pretrained(str(folder), local_files_only=True)


def _as_in_file(made: Any, own: Any) -> tuple[Any, tuple[str, ...]]:
    from transformers import PreTrainedTokenizerFast

    name = type(made).__name__
    by_class = _ids(made)
    if not hasattr(made, "_tokenizer"):
        given = {role: str(token) for role in _ROLES if (token := getattr(made, role, None)) is not None}
        made = PreTrainedTokenizerFast(tokenizer_object=own, **given)
    # The class has no public way to exchange its backend, and building one anew adds tokens and a post-processor to it.
    made._tokenizer = own
    for role in _ROLES:
        token = getattr(made, role, None)
        if token is not None and own.token_to_id(str(token)) is None:
            setattr(made, role, None)
    named = {str(token) for token in made.all_special_tokens}
    extra = [t.content for t in own.get_added_tokens_decoder().values() if t.special and t.content not in named]
    made.extra_special_tokens = [*made.extra_special_tokens, *extra]
    if by_class == _ids(made):
        return made, ()
    return made, (f"tokenizer.json gives other token ids than transformers' {name}; those of the file are used",)


def _ids(tokenizer: Any) -> list[int] | None:
    try:
        return [int(i) for i in tokenizer.encode(_PROBE)]
    except Exception:
        return None
