"""The prefix of a Log rule's line in the kernel log (Calico: FelixConfiguration.logPrefix)."""

import re

from policy.rules import RuleID
from tidegate.render import names

MAX_PREFIX_BYTES = 127
"""The kernel's NF_LOG_PREFIXLEN without the final NUL; nft refuses more."""

_DEFAULT = "calico-packet"
_SPECIFIER = re.compile("%[tknp]")


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
