"""The servers of the trusted Services, as documents last told: a run begins with them (docs/adr/0026)."""

import json
from pathlib import Path

from dnsagent.snapshot import TrustedServer
from tidegate.config.servers import parse_server, show_server
from tidegate.sync.service_servers import Known

_NAME = "servers.json"


def read(state: Path | None) -> dict[str, tuple[TrustedServer, ...]]:
    """What was stored; nothing where there is nothing that can be read: the documents will say it anew."""
    if state is None:
        return {}
    try:
        stored = json.loads((state / _NAME).read_text())
        return {str(name): tuple(_server(text) for text in servers) for name, servers in stored.items()}
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def write(state: Path, known: Known) -> None:
    """Replaces what is stored.

    Raises:
        OSError: it cannot be written.
    """
    state.mkdir(parents=True, exist_ok=True)
    scratch = state / f"{_NAME}.new"
    scratch.write_text(json.dumps({name: [show_server(server) for server in found] for name, found in known.items()}))
    scratch.rename(state / _NAME)


def _server(text: object) -> TrustedServer:
    found = parse_server(text)
    if not isinstance(found, TrustedServer):
        raise TypeError("no address")
    return found
