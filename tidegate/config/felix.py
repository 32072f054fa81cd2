"""Which documents configure this node, and what they say that is a setting here (Calico: FelixConfiguration). Pure.

    environment > file > node.<node> > those whose selector matches the node > default > built-in

Flags stand before all of it. Of several documents whose selectors match, the first by name counts.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence

from policy import selectors
from policy.resources.felix import CLUSTER, FelixConfiguration
from tidegate.config.knob import Knob
from tidegate.config.settings import knobs
from tidegate.config.sources import Given

_OWN_GROUPS = frozenset(("Where things are",))
"""Settings of the process itself: a document that it reads cannot say where it reads documents."""


def givens(
    configurations: Iterable[FelixConfiguration], node: str, node_labels: Mapping[str, str]
) -> tuple[Given, ...]:
    """What the documents say for the node, the weakest first."""
    chosen = [item for item in configurations if _is_for(item, node, node_labels)]
    return tuple(
        Given(f"FelixConfiguration {item.metadata.name}", _settings(item))
        for item in sorted(chosen, key=_strength, reverse=True)
    )


def without_effect(configuration: FelixConfiguration) -> tuple[str, ...]:
    """The fields that the document gives and that change nothing here, sorted."""
    known = _names()
    return tuple(sorted(name for name in configuration.spec.given if name not in known))


def stored(given: Sequence[Given]) -> str:
    """As text, to be read back by `restored`."""
    return json.dumps([[item.source, dict(item.values)] for item in given], sort_keys=True)


def restored(text: str) -> tuple[Given, ...]:
    """What `stored` was given.

    Raises:
        ValueError: the text is nothing that `stored` makes.
    """
    read = json.loads(text)
    if not isinstance(read, list):
        raise ValueError("cannot read stored configuration: it is no list")  # noqa: TRY004 - wrong text like any other
    return tuple(_restored(read))


def _restored(read: list[object]) -> Iterator[Given]:
    for item in read:
        match item:
            case [str(source), dict(values)]:
                yield Given(source, {str(name): value for name, value in values.items()})
            case _:
                raise ValueError("cannot read stored configuration: it is of another version")


def _is_for(configuration: FelixConfiguration, node: str, node_labels: Mapping[str, str]) -> bool:
    if configuration.metadata.name == CLUSTER:
        return True
    if configuration.node is not None:
        return configuration.node == node
    return selectors.parse(configuration.spec.node_selector or "").matches(node_labels)


def _strength(configuration: FelixConfiguration) -> tuple[int, str]:
    """Ascending: the strongest first."""
    if configuration.node is not None:
        return 0, ""
    return (2, "") if configuration.metadata.name == CLUSTER else (1, configuration.metadata.name)


def _settings(configuration: FelixConfiguration) -> Mapping[str, object]:
    known = _names()
    return {name: value for name, value in configuration.spec.given.items() if name in known}


def _names() -> Mapping[str, Knob]:
    return {name: knob for knob in knobs().values() if knob.group not in _OWN_GROUPS for name in knob.names}
