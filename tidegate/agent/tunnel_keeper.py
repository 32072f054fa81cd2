"""One WireGuard device of this node as the documents want it: its key, its mesh, its routes. Blocks."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import final

from policy.resources.metadata import Resource
from reconcile.instant import WallInstant
from tidegate.agent.tunnels_left import routing
from tidegate.api.tunnels import TunnelFacts, tunnel_document
from tidegate.config.wireguard import TunnelSettings
from tidegate.sync import tunnels
from tidegate.sync.conditions import Condition, ConditionType
from tidegate.sync.links import Links
from wg.errors import KeyDecodeError, WireGuardError
from wg.health import overdue
from wg.host import Host
from wg.key_file import KeyFile
from wg.keys import PrivateKey, PublicKey
from wg.mesh import Mesh, Node, Wants, mesh
from wg.model import Device, DeviceState, IPAddress
from wg.routing import Routing, mtu
from wg.tunnel import Tunnel

_UNDERLAY_MTU = 1500
"""Of Ethernet: where no interface has the node's address."""
_KEY_FILES = {4: "wireguard.key", 6: "wireguard-v6.key"}
"""A device each, so a key each (Calico: wg-v6.cali)."""


@final
class TunnelKeeper:
    """Holds state: how far this run has come with the device, and what was wrong at the last try."""

    def __init__(self, settings: TunnelSettings, host: Host, state: Path, node: str) -> None:
        self.settings = settings
        self.error = ""
        """Why it is not as it should be; empty if it is."""
        self._host = host
        self._node = node
        self._key_file = KeyFile(state / _KEY_FILES[settings.version])
        self._tunnel = Tunnel(host)
        self._key: PrivateKey | None = None
        self._nodes = tunnels.NodeReader(settings.version)
        self._own = Node(name=node)
        self._mesh: Mesh | None = None
        self._mtu = 0
        self._looked: DeviceState | None = None
        """The device at the last look."""
        self._links: Links | None = None
        """At the last round."""
        self._addresses: frozenset[IPAddress] = frozenset()
        """The node's own, at the last round."""
        self._silent: tuple[PublicKey, ...] = ()
        """Who did not answer between the last two looks."""

    @property
    def public_key(self) -> PublicKey | None:
        """The device's; None before there is one, or where it was refused."""
        return None if self._key is None else self._key.public

    @property
    def is_published(self) -> bool:
        """Whether the node's document says it."""
        return self._key is not None and self._own.public_key == self._key.public

    def key_age(self, wall: WallInstant) -> float:
        """Seconds since the key was made; 0 where there is none."""
        made = self._key_made_at()
        return 0.0 if made is None else wall - made

    def apply(self, resources: Sequence[Resource], links: Links, wall: WallInstant, *, looks: bool) -> None:
        """Brings the device to what the documents want; what goes wrong is in `error`."""
        try:
            self._apply(resources, links, wall, looks=looks)
        except (WireGuardError, KeyDecodeError, OSError) as error:
            self.error = str(error)
        else:
            self.error = ""

    def conditions(self) -> Iterator[Condition]:
        """How the device is, and what is not encrypted although it should be."""
        yield Condition(
            type=ConditionType.ENCRYPTION,
            is_true=not self.error,
            reason="Refused" if self.error else "AsConfigured",
            message=self.error,
            subject=self.settings.interface,
        )
        if self._mesh is None or self._key is None:
            return
        yield from tunnels.faults(self._mesh, self.settings)
        yield from tunnels.own_key_faults(self._own, self._key.public, self.settings)
        names = [self._mesh.names[key] for key in self._silent if key in self._mesh.names]
        yield from (tunnels.silence(name, self.settings) for name in names)

    def document(self, wall: WallInstant) -> Mapping[str, object]:
        """What `tidegate wireguard` shows, read from the device now."""
        facts = TunnelFacts(
            settings=self.settings,
            mesh=self._mesh,
            state=self._tunnel.state(self.settings.interface),
            public_key=self.public_key,
            is_published=self.is_published,
            key_made_at=self._key_made_at(),
            transport=self._tunnel.kind,
            mtu=self._mtu,
            made=self._tunnel.made,
            error=self.error,
        )
        return tunnel_document(facts, wall)

    def rotate(self) -> None:
        """Makes a new key; the next `apply` puts it into the device, before anybody else knows it.

        Others learn it from this node's document. Told before, they would wait five seconds for a handshake.

        Raises:
            OSError: it cannot be written; the old key stays.
        """
        made, former = PrivateKey.generate(), self._key
        self._key_file.store(made)
        self._key = made
        if former is not None:
            former.wipe()

    def close(self) -> None:
        """Lets go of the device, which stays."""
        self._tunnel.close()
        if self._key is not None:
            self._key.wipe()

    def _apply(self, resources: Sequence[Resource], links: Links, wall: WallInstant, *, looks: bool) -> None:
        if self._key is None:
            self._key = self._key_file.load_or_make()
        settings, known = self.settings, self._nodes.read(resources)
        self._own = tunnels.own_node(known, self._node)
        wants = Wants(
            version=settings.version,
            own_key=self._key.public,
            port=settings.listen_port,
            keepalive_seconds=settings.keepalive_seconds,
            is_strict=settings.is_strict,
        )
        self._mesh = mesh(self._own, known, wants)
        self._mtu = mtu(self._underlay_mtu(links), settings.version, settings.mtu)
        device = Device(
            name=settings.interface,
            private_key=self._key,
            listen_port=settings.listen_port,
            fwmark=settings.mark,
            peers=self._mesh.peers,
        )
        # Who takes a device down, or a route out, makes the kernel say so: links are read anew, and then routes are.
        trusts_routes = links is self._links
        self._links = links
        self._tunnel.apply(device, self._routing(self._mesh), wall, looks=looks, trusts_routes=trusts_routes)
        self._note_addresses(links)
        if looks:
            self._look(wall)

    def _note_addresses(self, links: Links) -> None:
        own = (address for addresses in links.addresses.values() for address in addresses)
        version = self.settings.version
        found = frozenset(each for each in own if each.version == version and not each.is_link_local)
        if self._addresses - found:
            self._tunnel.forget_source(self.settings.interface)
        self._addresses = found

    def _look(self, wall: WallInstant) -> None:
        state = self._tunnel.state(self.settings.interface)
        self._silent = () if state is None else overdue(self._looked, state, wall)
        self._looked = state

    def _routing(self, found: Mesh) -> Routing:
        return routing(self.settings, mtu=self._mtu, address=self._own.tunnel_address, routes=found.routes)

    def _underlay_mtu(self, links: Links) -> int:
        own = self._own.address
        interface = next((name for name, addresses in links.addresses.items() if own in addresses), None)
        link = None if interface is None else self._host.link(interface)
        return _UNDERLAY_MTU if link is None else link.mtu

    def _key_made_at(self) -> WallInstant | None:
        try:
            return WallInstant(self._key_file.path.stat().st_mtime)
        except OSError:
            return None
