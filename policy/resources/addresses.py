"""Addresses, networks and domain names as documents write them.

Strictness differs by place: a rule's network must be written masked and with its length, a set's need not.
"""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Annotated

from pydantic import PlainValidator

from policy.domains import DomainError, DomainPattern
from policy.resources.fields import shown, unlike
from policy.rules import IPAddress, IPNetwork


def _network(value: object, *, is_strict: bool, is_prefix_needed: bool) -> IPNetwork:
    if isinstance(value, IPv4Network | IPv6Network):
        return value
    if not isinstance(value, str):
        raise unlike("a network such as '10.0.0.0/8'", value)
    address, slash, length = value.partition("/")
    if is_prefix_needed and not slash:
        raise ValueError(f"cannot be the plain address {shown(value)}: write its length too, as in '10.0.0.1/32'")
    # ipaddress also takes netmasks for lengths, and zones: the API server takes neither.
    if (slash and not (length.isascii() and length.isdigit())) or "%" in address:
        raise ValueError(f"cannot be {shown(value)}: must be a network such as '10.0.0.0/8' or '2001:db8::/32'")
    try:
        network = ip_network(value, strict=False)
    except ValueError as error:
        raise ValueError(f"cannot be {shown(value)}: must be a network such as '10.0.0.0/8' or 'fd00::/8'") from error
    if is_strict and ip_address(address) != network.network_address:
        raise ValueError(f"cannot have bits behind the prefix: write {network}")
    return network


def _rule_network(value: object) -> IPNetwork:
    return _network(value, is_strict=True, is_prefix_needed=True)


def loose_network(value: object) -> IPNetwork:
    """An address or a network; bits behind the prefix are dropped.

    Raises:
        ValueError: It is neither.
    """
    return _network(value, is_strict=False, is_prefix_needed=False)


def _prefix(value: object) -> IPNetwork:
    return _network(value, is_strict=False, is_prefix_needed=True)


def _host_network(value: object) -> IPNetwork:
    network = loose_network(value)
    if network.prefixlen != network.max_prefixlen:
        raise ValueError(f"cannot be {network}: an endpoint has addresses, so the length is {network.max_prefixlen}")
    return network


def _address(value: object) -> IPAddress:
    if isinstance(value, IPv4Address | IPv6Address):
        return value
    if not isinstance(value, str) or "%" in value:
        raise unlike("an address such as '10.0.0.1'", value)
    try:
        return ip_address(value)
    except ValueError as error:
        raise ValueError(f"cannot be {shown(value)}: must be an address such as '10.0.0.1' or 'fd00::1'") from error


def _domain(value: object) -> DomainPattern:
    if isinstance(value, DomainPattern):
        return value
    if not isinstance(value, str):
        raise unlike("a domain name such as 'example.com'", value)
    try:
        return DomainPattern.parse(value)
    except DomainError as error:
        raise ValueError(str(error)) from error


RuleNetwork = Annotated[IPNetwork, PlainValidator(_rule_network)]
"""With a length, and without bits behind it."""
Network = Annotated[IPNetwork, PlainValidator(loose_network)]
"""An address or a network; bits behind the prefix are dropped."""
Prefix = Annotated[IPNetwork, PlainValidator(_prefix)]
"""With a length; bits behind it are dropped."""
HostNetwork = Annotated[IPNetwork, PlainValidator(_host_network)]
"""One address, with or without its length."""
Address = Annotated[IPAddress, PlainValidator(_address)]
Domain = Annotated[DomainPattern, PlainValidator(_domain)]


def is_within(inner: IPNetwork, outer: IPNetwork) -> bool:
    """Whether every address of the one is in the other."""
    if inner.version == 4:
        return outer.version == 4 and inner.subnet_of(outer)
    return outer.version == 6 and inner.subnet_of(outer)
