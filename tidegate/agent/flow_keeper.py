"""Keeps flow records going where they are asked for: tells the collector what holds, and status how it goes."""

import asyncio
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import final

from dnsagent.link import LinkError
from policy.domains import DomainError, DomainName
from policy.evaluate import LearnedName
from policy.resources.metadata import Resource, ResourceKey
from policy.rules import EndpointID, NodeState
from reconcile.clock import Clock
from tidegate.agent.packet_client import PacketClient
from tidegate.agent.situation import Situation as Surroundings
from tidegate.api.question import QuestionError, SilenceError
from tidegate.api.server import Document, Query
from tidegate.config.settings import Settings
from tidegate.config.watching import PolicyEvaluation
from tidegate.flows import store
from tidegate.flows.collector import FlowCollector, FlowSettings, Situation
from tidegate.flows.question import FlowQuestionError, read_question
from tidegate.flows.record import Level
from tidegate.flows.store import Retention, StoreError
from tidegate.flows.tracer import Known
from tidegate.judge.configured import frame_of
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop

LOOK_SECONDS = 0.5
"""Between looks at whether anything changed."""
FILE = "flows.sqlite"


def flow_settings(settings: Settings, surroundings: Surroundings) -> FlowSettings:
    """What the configuration asks for."""
    return FlowSettings(
        path=surroundings.state / FILE,
        interval_seconds=settings.flow_logs_flush_interval_seconds,
        allowed_level=Level(settings.flow_logs_aggregation_allowed),
        denied_level=Level(settings.flow_logs_aggregation_denied),
        hold_seconds=settings.dns_policy_nfqueue_max_hold_seconds,
        retention=Retention(seconds=settings.flow_logs_retention_seconds, max_bytes=settings.flow_logs_max_bytes),
    )


@final
class FlowKeeper:
    """Owns the collector, if there is one."""

    def __init__(
        self,
        surroundings: Surroundings,
        desired: Desired,
        loop: ApplyLoop,
        packets: PacketClient,
        conditions: Conditions,
        clock: Clock,
    ) -> None:
        self._surroundings = surroundings
        self._desired = desired
        self._loop = loop
        self._packets = packets
        self._conditions = conditions
        self._clock = clock
        self._updates = 0
        self._told: tuple[object, ...] = ()
        """What the collector's knowledge was made of."""
        self._known = Known()
        self._path = surroundings.state / FILE
        self._collector: FlowCollector | None = None
        if surroundings.settings.flow_logs_file_enabled:
            wanted = flow_settings(surroundings.settings, surroundings)
            self._collector = FlowCollector(wanted, self._names, clock)

    @property
    def queries(self) -> Mapping[str, Query]:
        """By the name in the path."""
        return {"flows": self._flows}

    @property
    def counters(self) -> Mapping[str, int]:
        """For status and metrics."""
        if self._collector is None:
            return {}
        standing = self._collector.standing
        return {
            "flow_records": standing.records,
            "flow_event_overruns": standing.loss.overruns,
            "flow_denied_packets_lost": standing.loss.copies,
            "flows_without_room": standing.loss.totals,
            "flow_windows_lost": standing.loss.windows,
            "flow_records_without_trace": standing.loss.unjudged,
        }

    def on_update(self, key: ResourceKey, resource: Resource | None) -> None:  # noqa: ARG002 - any change is one
        """A document came, changed or went."""
        self._updates += 1

    async def run(self) -> None:
        """Until cancelled.

        Raises:
            RuntimeError: a thread of the collector died of a bug.
        """
        collector = self._collector
        if collector is None:
            return
        self._tell(collector)
        collector.start()
        try:
            while True:
                self._tell(collector)
                self._report(collector.standing.error)
                if not collector.is_alive:
                    raise RuntimeError("the collector of flows ended by itself: its error is in the log")
                await asyncio.sleep(LOOK_SECONDS)
        finally:
            await asyncio.to_thread(collector.close)

    def _tell(self, collector: FlowCollector) -> None:
        links = self._desired.links.addresses
        about = (self._updates, links)
        if about != self._told:
            settings, render = self._surroundings.settings, self._surroundings.render
            self._told = about
            self._known = Known(
                resources=tuple(self._desired.resources.values()),
                frame=frame_of(settings, render.tunnels),
                links={self._surroundings.node: links},
                tells_pending=settings.flow_logs_policy_evaluation_mode is PolicyEvaluation.CONTINUOUS,
            )
        local = _local(self._loop.progress.in_force)
        if self._loop.progress.in_force.host_endpoints:
            local |= {address.packed for own in links.values() for address in own}
        if collector.situation.known is not self._known or collector.situation.local != local:
            collector.situation = Situation(known=self._known, local=frozenset(local))

    def _report(self, error: str) -> None:
        condition = Condition(
            type=ConditionType.FLOW_LOGS,
            is_true=not error,
            reason="CannotRecord" if error else "Recording",
            message=error,
        )
        self._conditions.put(condition, self._clock.wall())

    def _names(self) -> Sequence[LearnedName]:
        """In the recorder's thread: it may wait for the answer. Without one, records are without names."""
        if not self._loop.progress.in_force.domain_sets:
            return ()
        try:
            return [name for entry in self._packets.names() if (name := _learned(entry)) is not None]
        except LinkError:
            return ()

    async def _flows(self, parameters: Mapping[str, str]) -> Document:
        if self._collector is None and not self._path.exists():
            raise QuestionError("cannot tell of flows: set flowLogsFileEnabled to have them recorded")
        try:
            question = read_question(parameters)
            return list(await asyncio.to_thread(store.ask, self._path, question))
        except FlowQuestionError as error:
            raise QuestionError(str(error)) from error
        except StoreError as error:
            raise SilenceError(str(error)) from error


def _local(state: NodeState) -> set[bytes]:
    return {address.packed for known in state.endpoints.values() for address in known.endpoint.addresses}


def _learned(entry: Mapping[str, object]) -> LearnedName | None:
    try:
        name = DomainName.parse(str(entry["name"]))
        return LearnedName(EndpointID(str(entry["endpoint"])), name, ip_address(str(entry["ip"])))
    except (DomainError, KeyError, ValueError):
        return None
