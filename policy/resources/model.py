"""The base of all resources: frozen pydantic models, snake_case in Python and camelCase in documents."""

from pydantic import BaseModel, ConfigDict

_UPPER = {
    "icmp": "ICMP",
    "ip": "IP",
    "ips": "IPs",
    "id": "ID",
    "dnat": "DNAT",
    "nats": "NATs",
    "cidr": "CIDR",
    "cidrs": "CIDRs",
}


def camel(name: str) -> str:
    """The document's spelling of an attribute: `not_icmp` is `notICMP`, `ip_version` is `ipVersion`."""
    first, *rest = name.split("_")
    return first + "".join(_UPPER.get(word, word.capitalize()) for word in rest)


class Model(BaseModel):
    """A part of a resource. In Python it is built by attribute names; documents are read by their own spelling only."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
    )
