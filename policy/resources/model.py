"""The base of all resources: frozen pydantic models, snake_case in Python and camelCase in documents."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

from policy.resources.fields import unlike

_UPPER = {
    "bgp": "BGP", "cidrs": "CIDRs", "dnat": "DNAT", "dns": "DNS", "icmp": "ICMP", "id": "ID", "ip": "IP",
    "ipip": "IPIP", "ips": "IPs", "mtu": "MTU", "nats": "NATs", "ttl": "TTL", "vxlan": "VXLAN",
}  # fmt: skip
"""Words that documents write otherwise than with one capital."""


def camel(name: str) -> str:
    """The document's spelling of an attribute: `not_icmp` is `notICMP`, `ip_version` is `ipVersion`."""
    first, *rest = name.split("_")
    return first + "".join(_UPPER.get(word, word.capitalize()) for word in rest)


@lru_cache(maxsize=4096)
def _shared(given: frozenset[str]) -> set[str]:
    """The one set for all parts in which the same fields are given; pydantic copies it before it changes a copy."""
    return set(given)


class Model(BaseModel):
    """A part of a resource.

    In Python it is built by attribute names; documents are read by their own spelling only (see `decode`). A field
    that is null in a document is as good as left out, as it is for the Kubernetes API server.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=camel,
        validate_by_name=True,
        validate_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _read(cls, value: Any) -> Any:  # noqa: ANN401 - pydantic gives whatever the document holds
        return value if isinstance(value, cls) else cls.prepared(fields_of(value))

    def model_post_init(self, context: Any, /) -> None:  # noqa: ANN401, ARG002 - pydantic's signature
        """Shares the record of which fields were given: a set for each part is half of a document."""
        object.__setattr__(self, "__pydantic_fields_set__", _shared(frozenset(self.__pydantic_fields_set__)))

    @classmethod
    def prepared(cls, given: dict[str, object]) -> dict[str, object]:
        """The fields with those filled in that the API server would fill in; `given` is the caller's own."""
        return given


def fields_of(value: object) -> dict[str, object]:
    """The fields that are given.

    Raises:
        ValueError: The value is no mapping, or a key is no text.
    """
    if not isinstance(value, Mapping):
        raise unlike("a mapping of fields", value)
    for key in value:
        if not isinstance(key, str):
            raise unlike("a mapping whose keys are text", key)
    return {key: field for key, field in value.items() if field is not None}
