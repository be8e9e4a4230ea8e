"""What is wrong with a spec, as far as it shows without opening the model."""

from pathlib import Path

from repflow.core import BadFile
from repflow.models.families import config_settings, family
from repflow.models.interventions.grammar import read_order
from repflow.models.spec import SubjectSpec, parse_config_source, source_kind
from repflow.models.zoo import zoo_source


def check_source(spec: SubjectSpec) -> None:
    """Looks the source up: a path must be there, a zoo or family name be known, a random model's sizes be sizes.

    Interventions must be known and their arguments read; whether the model has the parts is for `load` to see.
    Raises BadFile, BadSetting, BadSpec or UnknownName. Files are not opened, the hub is not asked.
    """
    for ablation in spec.ablations:
        read_order(ablation)
    if spec.adapter is not None and not Path(spec.adapter).expanduser().is_dir():
        raise BadFile(f"@adapter={spec.adapter}: no such directory")
    kind = source_kind(spec.source)
    if kind == "zoo":
        zoo_source(spec.source.removeprefix("zoo:"))
    elif kind == "config":
        name, options = parse_config_source(spec.source)
        config_settings(family(name), {key: value for key, value in options.items() if key != "tokenizer"})
