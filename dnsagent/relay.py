"""One DNS conversation over TCP, between a client and its server, message by message. Pure: bytes in, bytes out.

    client --> questions --> server       a question is noted before it goes on
    client <-- answers  <--- server       an answer goes on when what it teaches is in the kernel

The shell reads while `reads_client` and `reads_server` say so: what is read is then bounded by one message and one
piece each way, whatever the other side does. Only whole messages prolong the conversation: whoever sends a byte now and
then is as idle as one who sends nothing (RFC 7766 6.2.3).
"""

from dnsagent.framing import Deframer, frame
from reconcile.instant import Instant

IDLE_SECONDS = 10.0
"""Without a whole message either way; also all the time a connection to the server may take."""
MAX_OPEN_QUESTIONS = 64
"""Sent and not answered. Stub resolvers have two; more of them wait unread, which slows down that client alone."""
MAX_UNSENT_BYTES = 1 << 17
"""To one side, which does not read: then the other is not read either. Two messages of the largest size fit."""


class Relay:
    """The state of the conversation; the shell owns the sockets."""

    def __init__(self, now: Instant) -> None:
        self.to_client = bytearray()
        self.to_server = bytearray()
        self.open_questions = 0
        self.client_is_done = False
        """It will ask nothing more."""
        self.server_is_done = False
        self._from_client = Deframer()
        self._from_server = Deframer()
        self._last_message_at = now

    @property
    def reads_client(self) -> bool:
        """Whether there is room for more questions."""
        return (
            not self.client_is_done
            and self.open_questions < MAX_OPEN_QUESTIONS
            and len(self.to_server) <= MAX_UNSENT_BYTES
        )

    @property
    def reads_server(self) -> bool:
        """Whether there is room for more answers."""
        return not self.server_is_done and len(self.to_client) <= MAX_UNSENT_BYTES

    @property
    def is_over(self) -> bool:
        """Nothing is left to be said to the client. Its half close is not passed on: some servers take it for all."""
        is_answered = self.client_is_done and not self.open_questions and not self.to_server
        return (self.server_is_done or is_answered) and not self.to_client

    @property
    def deadline(self) -> Instant:
        """When it has been idle too long."""
        return Instant(self._last_message_at + IDLE_SECONDS)

    def hear_client(self, data: bytes, now: Instant) -> list[bytes]:
        """Questions that have come in whole and may be asked now; call it with nothing after answers, for the rest.

        Raises:
            FramingError: the client does not speak DNS.
        """
        self._from_client.feed(data)
        questions = self._from_client.take(MAX_OPEN_QUESTIONS - self.open_questions)
        if questions:
            self._last_message_at = now
            self.open_questions += len(questions)
        return questions

    def hear_server(self, data: bytes, now: Instant) -> list[bytes]:
        """Answers that have come in whole.

        Raises:
            FramingError: the server does not speak DNS.
        """
        self._from_server.feed(data)
        answers = self._from_server.take(len(data))
        if answers:
            self._last_message_at = now
            # A zone transfer answers one question with many messages.
            self.open_questions = max(0, self.open_questions - len(answers))
        return answers

    def ask(self, question: bytes) -> None:
        """Sends a question on."""
        self.to_server += frame(question)

    def tell(self, answer: bytes) -> None:
        """Sends an answer on."""
        self.to_client += frame(answer)

    def reply(self, answer: bytes, now: Instant) -> None:
        """Answers a question ourselves, in no server's name."""
        self.open_questions = max(0, self.open_questions - 1)
        self._last_message_at = now
        self.tell(answer)
