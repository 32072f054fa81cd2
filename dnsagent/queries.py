"""Questions that wait for their answer: an answer teaches only if the endpoint asked for it, once, a moment ago.

Bounded in time by `LIFE_SECONDS` and in number by `max_pending`; at the bound the oldest conversation is forgotten,
and an answer to it, should it come, is delivered unlearned. Conversations are in the order of their latest question,
so both bounds pop from one end.
"""

from collections import OrderedDict
from enum import StrEnum
from typing import Final

from reconcile.instant import Instant

LIFE_SECONDS: Final = 10.0
"""Resolvers give up after 5 s and ask again under another number; a later answer is nobody's."""
MAX_PENDING: Final = 65_536
"""At 3,000 questions a second this is more than two lives; each takes about 330 bytes."""
MAX_PER_CONVERSATION: Final = 8
"""Different questions under one number from one port: two are usual (A and AAAA), more are somebody's experiment."""


class Mismatch(StrEnum):
    """Why an answer answers nothing."""

    UNSOLICITED = "unsolicited"
    """Nothing was asked from that port under that number."""
    WRONG_NAME = "wrong-name"
    """Something else was asked."""
    LATE = "late"
    """It was asked too long ago."""
    REPLAY = "replay"
    """It has been answered."""


class _Question:
    """One question of a conversation; `is_answered` is all that ever changes but for `earlier`."""

    __slots__ = ("asked", "at", "earlier", "is_answered")

    def __init__(self, asked: bytes, at: Instant, earlier: "_Question | None" = None) -> None:
        self.asked = asked
        self.at = at
        self.is_answered = False
        self.earlier = earlier
        """Another question of the same conversation; mostly there is none."""


class PendingQueries:
    """Every question of the last two lives. Holds state; the caller tells the time.

    A *conversation* is any bytes that say who asked whom under which number; *asked* any bytes that say what, folded.
    Answered questions stay until they are old, so that a second answer is told from one that nobody asked for.
    """

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self._max = max_pending
        self._conversations: OrderedDict[bytes, _Question] = OrderedDict()
        """The latest question of each."""
        self.forgotten = 0
        """Questions dropped at a bound before their answer came."""

    def __len__(self) -> int:
        return len(self._conversations)

    def add(self, conversation: bytes, asked: bytes, now: Instant) -> None:
        """Notes a question. Asked again, its life begins again."""
        latest = self._conversations.get(conversation)
        if latest is None:
            if len(self._conversations) >= self._max:
                self._forget_oldest()
            self._conversations[conversation] = _Question(asked, now)
            return
        others = [each for each in _all(latest) if each.asked != asked]
        if len(others) >= MAX_PER_CONVERSATION:
            self.forgotten += not others.pop().is_answered
        for number, question in enumerate(others):
            question.earlier = others[number + 1] if number + 1 < len(others) else None
        self._conversations.move_to_end(conversation)
        self._conversations[conversation] = _Question(asked, now, others[0] if others else None)

    def take(self, conversation: bytes, asked: bytes, now: Instant) -> Mismatch | None:
        """Consumes the question that this answers; otherwise says why there is none."""
        question = self._conversations.get(conversation)
        if question is None:
            return Mismatch.UNSOLICITED
        while question is not None:
            if question.asked == asked:
                if question.is_answered:
                    return Mismatch.REPLAY
                question.is_answered = True
                return Mismatch.LATE if now - question.at > LIFE_SECONDS else None
            question = question.earlier
        return Mismatch.WRONG_NAME

    def expire(self, now: Instant) -> None:
        """Forgets conversations of more than two lives ago: a late answer is called late for one life more."""
        conversations = self._conversations
        while conversations:
            conversation = next(iter(conversations))
            if now - conversations[conversation].at <= 2 * LIFE_SECONDS:
                return
            del conversations[conversation]

    def _forget_oldest(self) -> None:
        _, latest = self._conversations.popitem(last=False)
        self.forgotten += sum(not question.is_answered for question in _all(latest))


def _all(latest: _Question) -> list[_Question]:
    """The questions of a conversation, the latest first."""
    found = [latest]
    while (earlier := found[-1].earlier) is not None:
        found.append(earlier)
    return found
