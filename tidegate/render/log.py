"""What a Log rule writes: a line in the kernel log (Calico: FelixConfiguration.logPrefix), or a copy with a tag."""

import re

from nft import expr
from policy.rules import RuleID
from tidegate.render import names
from tidegate.render.settings import RenderSettings

MAX_PREFIX_BYTES = 127
"""The kernel's NF_LOG_PREFIXLEN without the final NUL; nft refuses more."""

SNAP_BYTES = 256
"""Of each packet that is copied: the largest IPv4 header or a few extension headers of IPv6, and the transport's."""

_DEFAULT = "calico-packet"
_SPECIFIER = re.compile("%[tknp]")


def statements(rule: RuleID, settings: RenderSettings) -> tuple[expr.Statement, ...]:
    """What the rule does with a packet; evaluation goes on at the next rule."""
    if settings.log_group is None:
        return (expr.LogToKernel(prefix(rule, settings.log_prefix)),)
    copy = expr.LogToGroup(settings.log_group, prefix=tag(rule), snap_bytes=SNAP_BYTES)
    if not settings.holds_logged:
        return (copy,)
    return (copy, expr.SetMark(settings.logged_mark, settings.logged_mark))


def tag(rule: RuleID) -> str:
    """Says which rule copied a packet. The rule's comment, which is shorter than the kernel's longest prefix."""
    return names.comment(rule)


def prefix(rule: RuleID, template: str) -> str:
    """The template with %t tier, %k kind, %n name, %p namespace/name, then ": ".

    One pass from left to right: what was put in is not expanded again, any other percent sign stays. An empty template
    is Calico's default. Names are ASCII (DNS names), so characters are bytes.
    """
    policy = rule.policy
    values = {
        "%t": rule.tier,
        "%k": names.short_kind(policy.kind),
        "%n": policy.name,
        "%p": f"{policy.namespace}/{policy.name}" if policy.namespace else policy.name,
    }
    text = _SPECIFIER.sub(lambda found: values[found.group()], template or _DEFAULT)
    return f"{text[: MAX_PREFIX_BYTES - 2]}: "
