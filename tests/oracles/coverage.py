"""Which criteria of rules decided something: where a rule missed a packet by one criterion alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from policy.evaluate import match, walk
from policy.evaluate.match import Question
from policy.resources.rule import Rule

SIDES = ("source", "destination")
CRITERIA = frozenset(
    {
        *("ipVersion", "protocol", "notProtocol", "icmp", "notICMP", "destination.domains"),
        *(
            f"{side}.{field}"
            for side in SIDES
            for field in (
                *("nets", "notNets", "selector", "notSelector", "namespaceSelector", "serviceAccounts"),
                *("ports", "notPorts", "services"),
            )
        ),
    }
)
"""Every field of a rule that can keep it from matching at this layer."""
MATCHED = "matched"


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Counts, while the reference semantics judge, by which criterion alone rules missed; and how many matched."""
    seen: Counter[str] = Counter()
    before = walk.why_not

    def counting(rule: Rule, question: Question) -> str | None:
        missed = {name for name, is_met in match._criteria(rule, question) if not is_met}
        if len(missed) < 2:
            seen[next(iter(missed), MATCHED)] += 1
        return before(rule, question)

    walk.why_not = counting
    try:
        yield seen
    finally:
        walk.why_not = before
