"""What a run finds when it starts: the configuration, what the kernel can do, and what follows from both.

What is less than was asked for (a mode that the kernel cannot hold, a server that nobody knows) becomes a condition.
"""

import platform
from dataclasses import dataclass, replace
from pathlib import Path

from nft.features import Features
from reconcile.clock import Clock
from reconcile.instant import WallInstant
from tidegate.agent import stored_servers
from tidegate.agent.packets import program_version
from tidegate.config.settings import Settings
from tidegate.render import RenderSettings
from tidegate.render.settings import from_configuration
from tidegate.sync.conditions import Condition, Conditions, ConditionType
from tidegate.sync.mode import ModeChoice, choose_mode, without
from tidegate.sync.resolvers import TrustedServers, look_up


@dataclass(frozen=True, slots=True, kw_only=True)
class Situation:
    """Does not change during a run: another configuration is another run."""

    node: str
    version: str
    started_at: WallInstant
    state: Path
    socket: Path
    settings: Settings
    features: Features
    mode: ModeChoice
    render: RenderSettings


def look_around(settings: Settings, features: Features, conditions: Conditions, clock: Clock) -> Situation:
    """Looks up what the configuration names.

    Raises:
        ValueError: a setting without which there is nothing to run is missing.
    """
    state, socket = _places(settings)
    known = without(features, settings.debug_missing_features)
    mode = choose_mode(settings.dns_policy_mode, known)
    trusted = look_up(settings.dns_trusted_servers, stored_servers.read(state))
    render = replace(from_configuration(settings, trusted.servers), dns_mode=mode.in_force)
    render = replace(render, has_queue=known.queue, forwards=known.interception)
    render = replace(render, reads_tcp=render.reads_tcp and known.interception)
    for condition in (_mode_condition(mode), _servers_condition(trusted), _tcp_condition(settings, known)):
        conditions.put(condition, clock.wall())
    return Situation(
        node=settings.node or platform.node().lower(),
        version=program_version(),
        started_at=clock.wall(),
        state=state,
        socket=socket,
        settings=settings,
        features=known,
        mode=mode,
        render=render,
    )


def _places(settings: Settings) -> tuple[Path, Path]:
    is_told = settings.resources is not None or settings.kubeconfig is not None or settings.kubernetes
    state, socket = settings.state, settings.socket
    if not is_told or state is None or socket is None:
        raise ValueError(
            "cannot run without a directory of resources or an API server, a directory for state, and a socket: "
            "see --help"
        )
    return state.absolute(), socket.absolute()


def _mode_condition(mode: ModeChoice) -> Condition:
    reason = "AsConfigured" if mode.is_as_wanted else "KernelCannotHold"
    return Condition(type=ConditionType.DNS_POLICY_MODE, is_true=mode.is_as_wanted, reason=reason, message=mode.reason)


def _tcp_condition(settings: Settings, features: Features) -> Condition:
    """Whether answers too long for UDP are learned."""
    is_true, reason, message = True, "Read", ""
    if not settings.dns_read_tcp:
        reason, message = "Off", "dnsReadTCP is false: answers over TCP pass unread, and open nothing"
    elif not features.interception:
        is_true, reason = False, "KernelCannotIntercept"
        message = "this kernel has no tproxy: answers over TCP pass unread, and open nothing; no policy is proxied"
    return Condition(type=ConditionType.DNS_OVER_TCP, is_true=is_true, reason=reason, message=message)


def _servers_condition(trusted: TrustedServers) -> Condition:
    told = "; ".join(f"{name}: {reason}" for name, reason in trusted.unresolved)
    reason = "Unresolved" if trusted.unresolved else "Resolved" if trusted.servers else "NoServer"
    is_true = bool(trusted.servers) and not trusted.unresolved
    return Condition(type=ConditionType.TRUSTED_SERVERS, is_true=is_true, reason=reason, message=told)
