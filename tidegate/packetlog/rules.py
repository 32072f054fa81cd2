"""Which rule a tag stands for, and whose interface is whose. Pure."""

from typing import final

from policy.rules import Action, Direction, NodeState, RuleID
from tidegate.packetlog.record import Place
from tidegate.render import log

FORMER_LIMIT = 4096
"""Tags of rules that are gone and may still have packets on their way; at the limit the oldest is forgotten."""


@final
class LogRules:
    """Holds state: the Log rules in force, and those that were lately."""

    def __init__(self, template: str) -> None:
        """`template` is the configuration's logPrefix."""
        self._template = template
        self._rules: dict[str, RuleID] = {}
        self._former: dict[str, RuleID] = {}
        self._workloads: dict[str, str] = {}
        self._hosts: dict[str, str] = {}

    def learn(self, state: NodeState) -> None:
        """Takes over what is in force now."""
        found = {
            log.tag(rule.id): rule.id
            for policy in state.policies.values()
            for rule in (*policy.ingress, *policy.egress)
            if rule.action is Action.LOG
        }
        self._former |= {tag: rule for tag, rule in self._rules.items() if tag not in found}
        for tag in list(self._former)[: max(0, len(self._former) - FORMER_LIMIT)]:
            del self._former[tag]
        self._rules = found
        self._workloads = {
            item.endpoint.interface_name: str(identity)
            for identity, item in state.endpoints.items()
            if item.endpoint.interface_name
        }
        self._hosts = {
            interface: str(identity)
            for identity, host in state.host_endpoints.items()
            for interface in (*host.endpoint.interfaces, host.endpoint.interface_name)
            if interface
        }

    def is_known(self, tag: str) -> bool:
        """Whether a rule is known by it."""
        return tag in self._rules or tag in self._former

    def place(self, tag: str, in_interface: str, out_interface: str) -> Place:
        """Whose rule wrote the tag on a packet between these interfaces ("" where there is none).

        A workload sends by the interface that packets come in by, a host by the one they go out by.
        """
        rule = self._rules.get(tag) or self._former.get(tag)
        is_egress = rule is None or rule.direction is Direction.EGRESS
        workload, host = (in_interface, out_interface) if is_egress else (out_interface, in_interface)
        if workload in self._workloads:
            endpoint, interface = self._workloads[workload], workload
        else:
            endpoint, interface = self._hosts.get(host, ""), host
        prefix = "" if rule is None else log.prefix(rule, self._template).removesuffix(": ")
        return Place(tag=tag, prefix=prefix, rule=rule, endpoint=endpoint, interface=interface)
