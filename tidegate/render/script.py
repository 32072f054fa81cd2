"""A table as an nft(8) script: what `tidegate render` prints, for reading, comparing and loading by hand.

The agent does not load it: it sends differences, and writes queue rules by netlink where the kernel has no `queue`
expression. Deterministic: sets, maps and chains by name, base chains first, in the order in which packets meet them.
"""

from collections.abc import Iterable, Iterator, Sequence
from operator import itemgetter

from nft import expr, text
from nft.model import Chain, Key, Rule, Set, Table, VerdictMapping

_INDENT = "    "
_HOOKS = ("prerouting", "input", "forward", "output", "postrouting")


def script(table: Table) -> str:
    """The whole table. Learned sets are empty in it."""
    blocks = [
        *(_set(table.sets[name], table.elements.get(name, frozenset())) for name in sorted(table.sets)),
        *(_map(table.maps[name], table) for name in sorted(table.maps)),
        *(_block("chain", chain.name, _chain(chain)) for chain in sorted(table.chains.values(), key=_order)),
    ]
    body = "\n\n".join("\n".join(_INDENT + line if line else "" for line in block) for block in blocks)
    return f"table inet {table.name} {{\n{body}\n}}\n"


def _set(item: Set, elements: Iterable[Key]) -> list[str]:
    ordered = [text.key(key, item.key) for key in sorted(elements)]
    return _block("set", item.name, [*text.set_body(item), *_elements(ordered)])


def _map(item: VerdictMapping, table: Table) -> list[str]:
    entries = sorted(table.verdicts.get(item.name, {}).items(), key=itemgetter(0))
    lines = [f"{text.key(key, item.key)} : {text.verdict(verdict)}" for key, verdict in entries]
    return _block("map", item.name, [*text.map_body(item), *_elements(lines)])


def _elements(lines: Sequence[str]) -> Iterator[str]:
    if lines:
        yield "elements = {"
        yield from (f"{_INDENT}{line}," for line in lines)
        yield "}"


def _chain(chain: Chain) -> Iterator[str]:
    if chain.hook is not None:
        hook = chain.hook
        yield f"type {hook.type} hook {hook.hook} priority {hook.priority}; policy {hook.policy};"
    for rule in chain.rules:
        yield _rule(rule)


def _rule(rule: Rule) -> str:
    last = rule.statements[-1]
    if isinstance(last, expr.Queue):
        return f"queue flags bypass to {last.number}" if last.bypass else f"queue to {last.number}"
    return text.rule(rule)


def _block(kind: str, name: str, lines: Iterable[str]) -> list[str]:
    return [f"{kind} {name} {{", *(_INDENT + line for line in lines), "}"]


def _order(chain: Chain) -> tuple[int, int, str]:
    if chain.hook is None:
        return (len(_HOOKS), 0, chain.name)
    return (_HOOKS.index(chain.hook.hook), chain.hook.priority, chain.name)
