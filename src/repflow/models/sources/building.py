"""Builds a model without its weights first: whether this transformers can, and whether the machine can hold it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from repflow.core import ModelProblem
from repflow.core.boundary import one_line_errors
from repflow.models.kernels import machine_memory

_TENSORS = 1_000
"""Parameters any model may have; a larger checkpoint's may have `_PER_TENSOR` for each of its tensors."""
_PER_TENSOR = 20
_PER_BYTE = 8
"""Parameters a byte of a checkpoint can stand for: four at two bits each, and twice that with tied ones."""
_SLACK = 1_000_000


def causal_class(config: Any, where: str) -> Any:
    """transformers' causal language model for a config. Raises ModelProblem where there is none."""
    from transformers import AutoModelForCausalLM

    mapping: Mapping[type, Any] = AutoModelForCausalLM._model_mapping
    coupled = getattr(config, "is_encoder_decoder", False) is True
    if type(config) in mapping and not coupled:
        return mapping[type(config)]
    what = "an encoder-decoder" if coupled else "no causal language model"
    raise ModelProblem(
        f"{where}: {config.model_type} is {what} in transformers; repflow measures causal, decoder-only language models"
    )


def check_buildable(
    config: Any, where: str, *, tensors: int = 0, stored: int | None = None
) -> dict[str, tuple[int, ...]]:
    """Builds the model of a config without memory for its weights; the shapes of its parameters.

    `tensors` is how many its checkpoint holds, `stored` how many bytes. Raises ModelProblem for what cannot be built,
    needs more memory than the machine has, or is many times larger than its checkpoint: before anything is allocated.
    """
    import torch

    chosen = causal_class(config, where)
    quantised = getattr(config, "quantization_config", None) is not None
    counted = _counted(where, max(_TENSORS, _PER_TENSOR * tensors))
    with one_line_errors(f"cannot build the model of {where}"), counted as found, torch.device("meta"):
        shapes = {name: tuple(tensor.shape) for name, tensor in chosen(config).named_parameters()}
    least = sum(found.values()) * (0.25 if quantised else 2)
    have = machine_memory()
    if have is not None and least > have:
        raise ModelProblem(f"{where} needs at least {_told(least)} of memory, this machine has {_told(have)}")
    if stored is not None and found["parameters"] > _PER_BYTE * stored + _SLACK:
        raise ModelProblem(
            f"{where} describes {found['parameters']:.3g} parameters, its weights are {stored:,} bytes; they do not "
            "belong together"
        )
    return shapes


@contextmanager
def _counted(where: str, most: int) -> Iterator[dict[str, float]]:
    """Elements of the parameters and buffers registered within. Raises ModelProblem beyond `most` parameters."""
    from torch.nn.modules import module as registry

    found = {"parameters": 0.0, "buffers": 0.0}
    count = 0

    def parameter(_module: Any, _name: str, given: Any) -> None:
        nonlocal count
        count += 1
        if count > most:
            raise ModelProblem(
                f"{where} describes a model of more than {most:,} parts, and its checkpoint has no such number"
            )
        found["parameters"] += 0 if given is None else given.numel()

    def buffer(_module: Any, _name: str, given: Any) -> None:
        found["buffers"] += 0 if given is None else given.numel()

    handles = (
        registry.register_module_parameter_registration_hook(parameter),
        registry.register_module_buffer_registration_hook(buffer),
    )
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def _told(size: float) -> str:
    return f"{size / 2**30:,.0f} GiB" if size >= 2**30 else f"{size / 2**20:,.0f} MiB"
