"""`docs/settings.md`, made from the settings: `python -m tidegate.config.reference > docs/settings.md`."""

import sys
from itertools import groupby

from tidegate.config.kinds import Shown
from tidegate.config.knob import Knob
from tidegate.config.settings import Settings, knobs

_HEAD = """# Settings

<!-- Made by `python -m tidegate.config.reference`; do not edit. -->

One YAML file (`tidegate run --config FILE`, flat, or a `FelixConfiguration` document), environment variables
(`TIDEGATE_` and the name in upper case), and flags (`--set name=value`). Flags win over the environment, the
environment over the file, the file over the default. `tidegate run --print-config` shows every value in force and where
it came from. A name that is not on this page is an error.

`FelixConfiguration` documents among the resources stand between the file and the default: `node.<node>` before those
whose `nodeSelector` matches the node, these before `default`. They are put in force while the agent runs. There a name
that is not on this page is accepted and told in status (`NotEnforced`), and what concerns the process itself
(`resources`, `kubeconfig`, `kubernetes...`, `state`, `socket`, `node`) has no effect.

Durations are written like `1m30s` or `50ms`.
"""


def reference() -> str:
    """The page."""
    parts = [_HEAD]
    for group, members in groupby(knobs().items(), key=lambda item: item[1].group):
        parts.append(f"\n## {group}\n")
        parts.extend(_entry(attribute, knob) for attribute, knob in members)
    return "".join(parts)


def _entry(attribute: str, knob: Knob) -> str:
    default = _text(knob.kind.show(getattr(Settings(), attribute)))
    also = f" Also `{'`, `'.join(knob.aliases)}`." if knob.aliases else ""
    head = f"{knob.kind.says[0].upper()}{knob.kind.says[1:]}; default {default}; `{knob.variable}`.{also}"
    return f"\n### `{knob.name}`\n{head}\n\n{knob.reason}\n"


def _text(value: Shown) -> str:
    if value is None or value in ("", []):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{', '.join(value)}`" if isinstance(value, list) else f"`{value}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
