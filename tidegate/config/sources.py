"""Where settings come from: flags over environment over file over default.

All faults are found at once. An unknown name is an error with a suggestion, wherever it stands: a setting that is
spelled wrong is a setting that is not in force.
"""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from tidegate.config.contradictions import contradictions
from tidegate.config.kinds import Shown
from tidegate.config.knob import Knob
from tidegate.config.settings import Settings, knobs

PREFIX = "TIDEGATE_"


@dataclass(frozen=True, slots=True)
class ConfigFault:
    """One thing that is wrong: where (a file, `environment`, `flag`), which name, and what."""

    source: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.source}: {self.name}: {self.message}" if self.name else f"{self.source}: {self.message}"


class ConfigError(Exception):
    """The configuration cannot be used; `faults` has all that is wrong with it."""

    def __init__(self, faults: Iterable[ConfigFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Given:
    """Raw values of one source by the name that was written."""

    source: str
    values: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings in force and where each came from (by field name)."""

    settings: Settings = field(default_factory=Settings)
    origins: Mapping[str, str] = field(default_factory=dict)

    def shown(self) -> list[dict[str, Shown]]:
        """Every setting with value and source, for `--print-config`."""
        return [
            {
                "name": knob.name,
                "value": knob.kind.show(getattr(self.settings, attribute)),
                "source": self.origins.get(attribute, "default"),
            }
            for attribute, knob in knobs().items()
        ]


def from_document(source: str, text: str) -> Given:
    """Reads a YAML file: a flat map of settings, or a FelixConfiguration document with them in its `spec`.

    Raises:
        ConfigError: it is not YAML, or not a map.
    """
    try:
        document: Any = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([ConfigFault(source, "", f"cannot read YAML: {_one_line(error)}")]) from None
    if isinstance(document, dict) and document.get("kind") == "FelixConfiguration":
        document = document.get("spec")
    if document is None:
        return Given(source, {})
    if not isinstance(document, dict):
        raise ConfigError([ConfigFault(source, "", "cannot use it: a map of settings is expected")])
    return Given(source, {str(name): value for name, value in document.items()})


def from_environment(environment: Mapping[str, str]) -> Given:
    """The variables that begin with `TIDEGATE_`."""
    values = {name: value for name, value in environment.items() if name.startswith(PREFIX)}
    return Given("environment", values)


def from_flags(assignments: Iterable[str]) -> Given:
    """Words like `dnsExtraTTL=30s`.

    Raises:
        ConfigError: one has no `=`.
    """
    words = [assignment.partition("=") for assignment in assignments]
    faults = [ConfigFault("flag", name, "cannot use it: name=value is expected") for name, mark, _ in words if not mark]
    if faults:
        raise ConfigError(faults)
    return Given("flag", {name.strip(): value for name, _, value in words})


def configure(sources: Iterable[Given]) -> Configuration:
    """Merges sources, the weakest first.

    Raises:
        ConfigError: with every fault of every source.
    """
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    faults: list[ConfigFault] = []
    for given in sources:
        seen: dict[str, str] = {}
        for name, raw in given.values.items():
            try:
                attribute, knob = _named(name)
                if attribute in seen:
                    raise ValueError(f"cannot be given together with {seen[attribute]}: both name one setting")  # noqa: TRY301
                seen[attribute] = name
                values[attribute] = knob.kind.parse(raw)
                origins[attribute] = given.source
            except ValueError as error:
                faults.append(ConfigFault(given.source, name, str(error)))
    settings = Settings(**values)
    by_name = {knob.name: attribute for attribute, knob in knobs().items()}
    faults += [
        ConfigFault(origins.get(by_name[name], "default"), name, message) for name, message in contradictions(settings)
    ]
    if faults:
        raise ConfigError(faults)
    return Configuration(settings, origins)


def _named(name: str) -> tuple[str, Knob]:
    """The setting of that name. Environment variables are upper case, and case is forgiven nowhere else."""
    is_variable = name.startswith(PREFIX)
    for attribute, knob in knobs().items():
        if name in (_variables(knob) if is_variable else knob.names):
            return attribute, knob
    raise ValueError(f"cannot find a setting of that name{_suggestion(name, is_variable=is_variable)}")


def _variables(knob: Knob) -> list[str]:
    return [PREFIX + name.upper() for name in knob.names]


def _suggestion(name: str, *, is_variable: bool) -> str:
    known = [word for knob in knobs().values() for word in (_variables(knob) if is_variable else knob.names)]
    folded = {word.lower(): word for word in known}
    nearest = difflib.get_close_matches(name.lower(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[nearest[0]]}?" if nearest else ""


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
