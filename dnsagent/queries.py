"""Questions that wait for their answer: an answer teaches only if the endpoint asked for it, once, a moment ago.

Bounded in time by `LIFE_SECONDS` and in number by `max_pending`; at the bound the oldest conversation is forgotten,
and an answer to it, should it come, is delivered unlearned. Conversations are in the order of their latest question,
and so are the questions of each, so both bounds pop from one end.
"""

from collections import OrderedDict
from enum import StrEnum
from typing import Final

from reconcile.instant import Instant

LIFE_SECONDS: Final = 10.0
"""Resolvers give up after 5 s and ask again under another number; a later answer is nobody's."""
MAX_PENDING: Final = 65_536
"""At 3,000 questions a second this is more than two lives; each takes about 400 bytes."""
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
    """One question of a conversation; `is_answered` is all that ever changes, and `at` when it is asked again."""

    __slots__ = ("asked", "at", "is_answered")

    def __init__(self, asked: bytes, at: Instant) -> None:
        self.asked = asked
        self.at = at
        self.is_answered = False


class PendingQueries:
    """Every question of the last two lives. Holds state; the caller tells the time.

    A *conversation* is any bytes that say who asked whom under which number; *asked* any bytes that say what, folded.
    Answered questions stay until they are old, so that a second answer is told from one that nobody asked for.
    """

    def __init__(self, max_pending: int = MAX_PENDING) -> None:
        self._max = max_pending
        self._conversations: OrderedDict[bytes, list[_Question]] = OrderedDict()
        self.forgotten = 0
        """Questions dropped at a bound before their answer came."""

    def __len__(self) -> int:
        return len(self._conversations)

    def add(self, conversation: bytes, asked: bytes, now: Instant) -> None:
        """Notes a question. Asked again, its life begins again."""
        questions = self._conversations.get(conversation)
        if questions is None:
            if len(self._conversations) >= self._max:
                self._forget_oldest()
            self._conversations[conversation] = [_Question(asked, now)]
            return
        self._conversations.move_to_end(conversation)
        for number, question in enumerate(questions):
            if question.asked == asked:
                del questions[number]
                break
        else:
            if len(questions) >= MAX_PER_CONVERSATION:
                self.forgotten += not questions[0].is_answered
                del questions[0]
        questions.append(_Question(asked, now))

    def take(self, conversation: bytes, asked: bytes, now: Instant) -> Mismatch | None:
        """Consumes the question that this answers; otherwise says why there is none."""
        questions = self._conversations.get(conversation)
        if questions is None:
            return Mismatch.UNSOLICITED
        for question in questions:
            if question.asked == asked:
                if question.is_answered:
                    return Mismatch.REPLAY
                question.is_answered = True
                return Mismatch.LATE if now - question.at > LIFE_SECONDS else None
        return Mismatch.WRONG_NAME

    def expire(self, now: Instant) -> None:
        """Forgets conversations of more than two lives ago: a late answer is called late for one life more."""
        conversations = self._conversations
        while conversations:
            conversation = next(iter(conversations))
            if now - conversations[conversation][-1].at <= 2 * LIFE_SECONDS:
                return
            del conversations[conversation]

    def _forget_oldest(self) -> None:
        _, questions = self._conversations.popitem(last=False)
        self.forgotten += sum(not question.is_answered for question in questions)
