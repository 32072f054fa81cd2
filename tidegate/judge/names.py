"""Learned names, as lines of JSON: what a simulated or evaluated endpoint has been told by DNS.

{"endpoint": "prod/web", "name": "api.example.com", "ip": "192.0.2.1"}
{"endpoint": "prod/web", "name": "api.example.com", "ip": "192.0.2.2", "past": true}
{"endpoint": "host:node-1", "name": "time.example.com", "ip": "192.0.2.3"}

`host:` and a node's name are its own processes. What is past has been used while it lived, and may be used again under
rules that give grace.
"""

from policy.domains import DomainError, DomainName
from policy.evaluate import LearnedName
from policy.rules import EndpointID
from tidegate.judge.errors import ProbeError
from tidegate.judge.fields import Fields

_KEYS = frozenset(("endpoint", "name", "ip", "past"))


def parse_name(line: str) -> LearnedName:
    """Reads one line.

    Raises:
        ProbeError: something in it is wrong; the path says what.
    """
    fields = Fields.parse(line, _KEYS)
    endpoint, text, address = fields.required("endpoint"), fields.required("name"), fields.address("ip")
    if address is None:
        raise ProbeError("ip", "is missing")
    try:
        name = DomainName.parse(text)
    except DomainError as error:
        raise ProbeError("name", str(error)) from error
    return LearnedName(EndpointID(endpoint), name, address, is_past=fields.truth("past"))
