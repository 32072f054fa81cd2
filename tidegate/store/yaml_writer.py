"""Documents as people read them."""

from collections.abc import Iterable

import yaml

_WIDTH = 120


def write_yaml(documents: Iterable[object]) -> str:
    """One YAML stream of the documents; fields stay in their order."""
    return yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, allow_unicode=True, width=_WIDTH)


class _Plain(yaml.SafeDumper):
    """Writes a value again instead of an anchor where it stands twice."""

    def ignore_aliases(self, data: object) -> bool:
        """Always."""
        del data
        return True
