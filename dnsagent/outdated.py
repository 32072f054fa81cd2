"""Elements of sets that have lost patterns: a network set names fewer domains, and the learned set is the same one.

What a name has opened that belongs there no more must close at once, not when its time is over. Elements do not say
which name they are of, so the names that are remembered tell what may stay. Reads no clock, opens nothing.
"""

from collections.abc import Iterator

from dnsagent.element_table import ElementKey
from dnsagent.learn import Learner
from dnsagent.plan import EndpointPlan
from reconcile.instant import Instant


def outdated(learner: Learner, narrowed: frozenset[int], now: Instant) -> Iterator[list[ElementKey]]:
    """The elements of these rules' sets that no remembered name opens, endpoint by endpoint.

    What no name is known of goes, too: nobody can say that it still belongs there. Each piece is to be deleted before
    the next is asked for; packets may be judged between them.
    """
    plan = learner.plan
    sets = {name for number in narrowed for name in (plan.rules[number].set4, plan.rules[number].set6)}
    users = {endpoint.id: endpoint for endpoint in plan.endpoints.values() if endpoint.rules & narrowed}
    is_shared = any(plan.rules[number].shared_by is not None for number in narrowed)
    for group in [list(users.values())] if is_shared else [[endpoint] for endpoint in users.values()]:
        opened = {key for endpoint in group for key in _opened(learner, endpoint, narrowed, now)}
        owners = frozenset(address for endpoint in group for family in endpoint.addresses for address in family)
        yield [key for key in learner.elements.of_owners(owners) if key[0] in sets and key not in opened]


def _opened(learner: Learner, endpoint: EndpointPlan, rules: frozenset[int], now: Instant) -> Iterator[ElementKey]:
    """What the endpoint's remembered names open in the sets of these rules."""
    plan = learner.plan
    for _, _, address, known in learner.names.entries(endpoint.id):
        named = frozenset[int]().union(*(plan.index.find(name) for name in known.chain))
        for rule in (plan.rules[number] for number in named & endpoint.rules & rules):
            is_over = known.learned_at + rule.lifetime(known.ttl) <= now
            if not is_over and plan.guard.judge(address, allow_private=rule.allow_private) is None:
                is_six = len(address) == 16
                for source in (rule.shared_by or endpoint.addresses)[is_six]:
                    yield rule.set6 if is_six else rule.set4, source + address
