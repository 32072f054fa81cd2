"""Deny lists: names that nobody may ask for, from hosts files and response policy zones. Pure: text in, names out.

    0.0.0.0 ads.example            hosts: the name itself (0.0.0.0, 127.0.0.1, ::, ::1; other addresses are no denial)
    ads.example                    a line with a name alone: the same
    ads.example CNAME .            RPZ: there is no such name       *.ads.example CNAME .    nor any below it
    ads.example CNAME *.           RPZ: it has no records
    ok.example CNAME rpz-passthru. RPZ: allowed, whatever other lists say

RPZ as in draft-vixie-dnsop-dns-rpz; triggers by address or server and local data are not ours: they are counted, and
said.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

MAX_NAMES = 2_000_000
"""100 bytes each. The largest public lists have a million."""
STEP = 1024
"""Lines between two chances for other work: a millisecond or two."""
_NOWHERE = frozenset({"0.0.0.0", "127.0.0.1", "::", "::1", "0"})  # noqa: S104 - words in a file
_HOST_ITSELF = frozenset(
    {"localhost", "localhost.localdomain", "local", "broadcasthost", "ip6-localhost", "ip6-loopback", "0.0.0.0"}  # noqa: S104
)
_OTHER_TRIGGERS = ("rpz-ip", "rpz-nsip", "rpz-nsdname", "rpz-client-ip")


class Denial(StrEnum):
    """What a list says of a name."""

    NXDOMAIN = "nxdomain"
    NODATA = "nodata"
    PASS = "pass"


@dataclass(slots=True)
class DenyList:
    """Names by wire key. What cannot be used is counted by its reason, in `ignored`."""

    exact: dict[bytes, Denial] = field(default_factory=dict)
    below: dict[bytes, Denial] = field(default_factory=dict)
    """Of every name below the key."""
    ignored: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.exact) + len(self.below)

    def find(self, name: bytes) -> Denial | None:
        """What is said of a wire key: of itself before of what it is below, of the nearest before the rest."""
        said = self.exact.get(name)
        if said is not None or not self.below:
            return said
        at = name[0] + 1 if name else 1
        while at < len(name):
            said = self.below.get(name[at:])
            if said is not None:
                return said
            at += name[at] + 1
        return None

    def read(self, lines: Iterable[str]) -> Iterator[None]:
        """Takes the lines of a file, yielding now and then, so that other work can be done between."""
        origin = ""
        for number, line in enumerate(lines):
            if number % STEP == STEP - 1:
                yield
            words = line.split("#", 1)[0].split(";", 1)[0].split()
            if words and words[0].upper() == "$ORIGIN" and len(words) > 1:
                origin = words[1].rstrip(".").lower()
            elif words and not words[0].startswith("$"):
                self._take(words, line, origin)

    def _take(self, words: list[str], line: str, origin: str) -> None:
        upper = [word.upper() for word in words]
        if "SOA" in upper or "NS" in upper or line[:1] in " \t":
            # The zone's own records, and the SOA's further lines.
            if line[:1] in " \t" and len(words) >= 2 and words[0] in _NOWHERE:
                self._take(words, line.lstrip(), origin)
            return
        if words[0] in _NOWHERE:
            for name in words[1:]:
                self._put(name, Denial.NXDOMAIN)
        elif "CNAME" in upper:
            self._policy(words[0], words[upper.index("CNAME") + 1 :], origin)
        elif len(words) == 1:
            self._put(words[0], Denial.NXDOMAIN)
        else:
            self._ignore("neither a denied name nor a policy that is known")

    def _policy(self, owner: str, target: list[str], origin: str) -> None:
        """An RPZ rule; owners end in the zone's name."""
        name = owner.rstrip(".").lower()
        if origin and name.endswith(f".{origin}"):
            name = name[: -len(origin) - 1]
        said = {".": Denial.NXDOMAIN, "*.": Denial.NODATA, "rpz-passthru.": Denial.PASS}.get(
            target[0].lower() if target else ""
        )
        if said is None or name.split(".")[-1] in _OTHER_TRIGGERS:
            self._ignore("an RPZ trigger or action that is not supported")
        else:
            self._put(name, said)

    def _put(self, name: str, said: Denial) -> None:
        if name.lower() in _HOST_ITSELF:
            return
        is_below = name.startswith("*.")
        key = _key(name[2:] if is_below else name)
        if key is None:
            self._ignore("no name")
        elif len(self) >= MAX_NAMES:
            self._ignore(f"beyond {MAX_NAMES} names")
        else:
            known = self.below if is_below else self.exact
            # An exception stands whatever another list says.
            if known.get(key) is not Denial.PASS:
                known[key] = said

    def _ignore(self, reason: str) -> None:
        self.ignored[reason] = self.ignored.get(reason, 0) + 1


def _key(name: str) -> bytes | None:
    """The wire key of a name in a list; a list has millions, so this looks at the shape alone."""
    try:
        labels = name.rstrip(".").lower().encode("ascii").split(b".")
    except UnicodeEncodeError:
        return None
    if not all(0 < len(label) < 64 for label in labels):
        return None
    key = b"".join(bytes((len(label),)) + label for label in labels)
    return key if len(key) <= 254 else None
