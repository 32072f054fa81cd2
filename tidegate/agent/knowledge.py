"""Answers the API's questions from what the parts of the agent know at the moment of asking.

Reading the kernel and asking the packet process block, so they run in threads of their own: a question must not delay
the apply loop, nor be delayed by it.
"""

import asyncio
import os
from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from dnsagent.link import LinkError
from netlink.transport import NetlinkSocket
from nft import counts
from nft.errors import NftError
from tidegate.agent.encryption_task import EncryptionTask
from tidegate.agent.machine import Machine
from tidegate.agent.packet_client import PacketClient
from tidegate.agent.packet_keeper import PacketKeeper
from tidegate.agent.revoker import Revoker
from tidegate.agent.situation import Situation
from tidegate.api import documents, explain, limits
from tidegate.api.metrics import metrics_text
from tidegate.api.question import QuestionError, SilenceError
from tidegate.api.rule_metrics import rule_counts, rule_metrics
from tidegate.api.server import Document, Query
from tidegate.api.views import ConnectionsView, GenerationView, ModeView, PacketsView, QueueView, StatusView
from tidegate.config.servers import show_server
from tidegate.judge.configured import frame_of
from tidegate.sync.conditions import Conditions, ConditionType
from tidegate.sync.desired import Desired
from tidegate.sync.loop import ApplyLoop
from tidegate.sync.mode import encodings


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """Everything that can be asked about."""

    situation: Situation
    desired: Desired
    loop: ApplyLoop
    conditions: Conditions
    keeper: PacketKeeper
    packets: PacketClient
    revoker: Revoker
    others: Mapping[str, Query] = field(default_factory=dict)
    """Questions that other parts of the agent answer."""
    encryption: EncryptionTask | None = None
    other_counters: Callable[[], Mapping[str, int]] = dict
    """What they count."""

    @property
    def queries(self) -> Mapping[str, Query]:
        """By the name in the path."""
        return {
            "status": self._status,
            "endpoints": self._endpoints,
            "policies": self._policies,
            "sets": self._sets,
            "names": self._names,
            "explain": self._explain,
            **self.others,
            "wireguard": self._wireguard,
        }

    async def metrics(self) -> str:
        """The page for Prometheus."""
        status, state, most = (
            await self.status(),
            self.loop.progress.in_force,
            self.situation.settings.metrics_max_rules,
        )
        if most == 0:
            return metrics_text(status)
        counted = await asyncio.to_thread(self._rule_counts)
        return metrics_text(status, rule_metrics(rule_counts(state, counted), most))

    async def status(self) -> StatusView:
        """How things stand."""
        state, render = self.loop.progress.in_force, self.situation.render
        counted = await asyncio.to_thread(self._rule_counts, tuple(limits.counting_chains(state, render)))
        progress = self.loop.progress
        return StatusView(
            ready=self._is_ready,
            in_sync=self.desired.is_in_sync,
            node=self.situation.node,
            version=self.situation.version,
            pid=os.getpid(),
            started_at=self.situation.started_at,
            generation=GenerationView(wanted=progress.wanted, applied=progress.applied, packets=progress.packets),
            last_apply=progress.last_apply,
            mode=ModeView(
                wanted=self.situation.mode.wanted,
                in_force=self.situation.mode.in_force,
                reason=self.situation.mode.reason,
            ),
            trusted_servers=[show_server(server) for server in self.situation.render.trusted_servers],
            features=asdict(self.situation.features),
            encodings=encodings(self.situation.features),
            packets=self._packets_view(),
            connections=self._connections_view(),
            counts=self._counts(),
            counters={
                **asdict(progress.counters),
                "packets_restarts": max(0, self.keeper.starts - 1),
                **self._revocation_counters(),
                **self.other_counters(),
            },
            conditions=self.conditions.all(),
            limits=tuple(limits.limits(state, render, counted)),
            full_sets=limits.full_sets(counted),
            tunnels=[] if self.encryption is None else await self.encryption.documents(),
        )

    @property
    def _is_ready(self) -> bool:
        """Policy is in force, in the kernel and in the packet process, and nothing is waiting to be."""
        progress = self.loop.progress
        return (
            self.desired.is_in_sync
            and not self.desired.has_news
            and progress.is_settled
            and self.revoker.is_done
            and self.conditions.is_true(ConditionType.APPLIED)
            and self.keeper.status is not None
            and (self.encryption is None or self.encryption.is_done)
        )

    def _packets_view(self) -> PacketsView:
        status = self.keeper.status
        if status is None:
            return PacketsView(state="starting" if self.keeper.starts else "absent")
        queues = Machine().queues() or {}
        render = self.situation.render
        ours = (render.answer_queue, render.denied_queue, render.named_queue, render.log_queue)
        return PacketsView(
            state="running",
            pid=status.pid,
            version=status.version,
            counters=status.counters,
            dns=status.dns,
            forwarder=status.forwarder,
            tunnels=status.tunnels,
            grace=status.grace,
            queues=[
                QueueView(
                    number=queue.number, waiting=queue.waiting, dropped=queue.dropped, undelivered=queue.undelivered
                )
                for queue in queues.values()
                if queue.number in ours
            ],
        )

    def _connections_view(self) -> ConnectionsView:
        progress = self.revoker.progress
        return ConnectionsView(
            on_policy_change=self.situation.settings.connections_on_policy_change,
            judged_by=progress.done,
            judged=progress.judged,
            ended=progress.ended,
            last_look_seconds=progress.last_seconds,
        )

    def _revocation_counters(self) -> dict[str, int | float]:
        progress = self.revoker.progress
        return {
            "connections_judged": progress.judged,
            "connections_ended": progress.ended,
            "connections_excused": progress.excused,
            "connections_unguarded": progress.unguarded,
            "revocation_looks": progress.looks,
            "revocation_failures": progress.failures,
            "revocation_widened": progress.widened,
            "revocation_seconds": progress.seconds,
        }

    def _counts(self) -> dict[str, int]:
        state, status = self.loop.progress.in_force, self.keeper.status
        return {
            "endpoints": len(state.endpoints),
            "host endpoints": len(state.host_endpoints),
            "policies": len(state.policies),
            "address sets": len(state.ip_sets),
            "domain sets": len(state.domain_sets),
            "learned addresses": 0 if status is None else status.elements,
            "DNS connections": 0 if status is None else status.tcp_connections,
            "resources": len(self.desired.resources),
        }

    # --- queries ---

    async def _status(self, _: Mapping[str, str]) -> Document:
        """With the packet process's counters of this moment, not of the last second."""
        await self.keeper.refresh()
        return (await self.status()).document()

    async def _endpoints(self, _: Mapping[str, str]) -> Document:
        state, render = self.loop.progress.in_force, self.situation.render
        counted = await asyncio.to_thread(self._rule_counts, tuple(limits.counting_chains(state, render)))
        return list(documents.endpoints(state, limits.limits(state, render, counted)))

    async def _policies(self, _: Mapping[str, str]) -> Document:
        state = self.loop.progress.in_force
        return list(documents.policies(state, await asyncio.to_thread(self._rule_counts)))

    async def _sets(self, _: Mapping[str, str]) -> Document:
        return list(documents.sets(self.loop.progress.in_force, self.situation.render))

    async def _names(self, _: Mapping[str, str]) -> Document:
        try:
            return list(await asyncio.to_thread(self.packets.names))
        except LinkError as error:
            raise SilenceError(f"cannot ask the packet process: {error}") from error

    async def rotate(self, _: Mapping[str, str]) -> Document:
        """A command: new keys for the node's WireGuard devices."""
        if self.encryption is None:
            raise QuestionError("cannot make new keys: this node has no WireGuard device")
        try:
            return await self.encryption.rotate()
        except OSError as error:
            raise SilenceError(f"cannot make new keys: {error}") from error

    async def _wireguard(self, _: Mapping[str, str]) -> Document:
        return [] if self.encryption is None else await self.encryption.documents()

    async def _explain(self, parameters: Mapping[str, str]) -> Document:
        if "from" not in parameters or "to" not in parameters:
            raise QuestionError("cannot explain without both sides: from and to are needed")
        facts = explain.Facts(
            resources=tuple(self.desired.resources.values()),
            state=self.loop.progress.in_force,
            frame=frame_of(self.situation.settings, self.situation.render.tunnels),
            links={self.situation.node: self.desired.links.addresses},
            ask=self.packets.explain,
            ended=self.revoker.ended,
        )
        return await asyncio.to_thread(explain.explain, parameters["from"], parameters["to"], facts)

    def _rule_counts(self, chains: Sequence[str] = ("",)) -> documents.Counts:
        """By comment, of these chains; of all, where none are named."""
        link, table = NetlinkSocket(), self.situation.render.table_name
        try:
            return ChainMap(*(counts.rule_counts(link, table, chain) for chain in chains))
        except NftError:
            return {}  # somebody deleted the table; it will be back in a moment, counting from zero
        finally:
            link.close()
