"""What is wrong with a spec, as far as it shows without opening the model."""

from repflow.core import CallerError
from repflow.models.families import config_settings, family
from repflow.models.spec import SubjectSpec, parse_config_source, source_kind
from repflow.models.zoo import zoo_source


def check_source(spec: SubjectSpec) -> None:
    """Looks the source up: a path must be there, a zoo or family name be known, a random model's sizes be sizes.

    Raises BadFile, BadSetting, BadSpec or UnknownName. Files are not opened, the hub is not asked.
    """
    if spec.ablations:
        raise CallerError(f"{spec}: interventions (@ablate=) are not in this version of repflow; drop @ablate")
    kind = source_kind(spec.source)
    if kind == "zoo":
        zoo_source(spec.source.removeprefix("zoo:"))
    elif kind == "config":
        name, options = parse_config_source(spec.source)
        config_settings(family(name), {key: value for key, value in options.items() if key != "tokenizer"})
