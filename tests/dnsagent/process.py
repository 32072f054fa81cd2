"""A packet process whose kernel is fake: loop, desk and journal as they are, queues and sets in memory."""

from dnsagent.desk import Desk
from dnsagent.grace import GraceKeeper
from dnsagent.journal import Journal
from dnsagent.kernel_sets import KernelSets
from dnsagent.learn import Learner
from dnsagent.packet_loop import PacketLoop, Readers
from dnsagent.plan import make_plan
from dnsagent.poller import Poller
from dnsagent.snapshot_file import write_snapshot
from nfq.fake import FakeKernel, FakeQueue
from nfq.fake_log import FakeLog
from nfq.held import ACCEPT, DROP
from nfq.nflog import LogSettings
from nfq.queue import QueueSettings
from nfq.supervise import SupervisedLog, SupervisedQueue
from nft.elements import Element, Operation
from nft.errors import ElementError
from reconcile.clock import ManualClock
from tests.dnsagent.stage import snapshot


class FakeSets:
    """The kernel's sets as a dictionary; deleting what is not there is refused, as the kernel does."""

    def __init__(self) -> None:
        self.elements: dict[tuple[str, bytes], int] = {}
        self.transactions = 0

    def generation(self) -> int:
        return self.transactions + 7

    def write(self, changes):
        self.transactions += 1
        after = dict(self.elements)
        for position, change in enumerate(changes):
            key = change.set_name, change.key
            if change.operation is not Operation.DELETE:
                after[key] = change.timeout_ms
            elif after.pop(key, None) is None:
                raise ElementError(2, "table t", {position: 2})
        self.elements = after

    def read(self, set_name):
        return [Element(key, left, left) for (name, key), left in self.elements.items() if name == set_name]


class Process:
    """Everything between the sockets of the kernel and the socket of the control process."""

    def __init__(self, state, *rules, **options) -> None:
        self.state = state
        self.clock = ManualClock()
        self.kernel, self.sets, self.logs = FakeKernel(), FakeSets(), []
        now = self.clock.now()
        learner = Learner(make_plan(snapshot(*rules, **options)))
        answers = QueueSettings(number=101, default=ACCEPT, max_length=5000)
        denied = QueueSettings(number=100, default=DROP)
        readers = Readers(
            answers=SupervisedQueue(101, lambda counters: FakeQueue(self.kernel, answers, counters), now),
            denied=SupervisedQueue(100, lambda counters: FakeQueue(self.kernel, denied, counters), now),
            log=SupervisedLog(3, self.open_log, now),
        )
        self.poller = Poller()
        self.loop = PacketLoop(
            learner=learner,
            sets=KernelSets(self.sets, learner.counters),
            readers=readers,
            journal=Journal(state / "names.journal"),
            clock=self.clock,
            poller=self.poller,
            read_queues=self.kernel.table,
        )
        self.grace = GraceKeeper(learner, self.sets, self.loop.sets.delete, self.clock, state / "grace.times")
        self.loop.services.append(self.grace)
        self.desk = Desk(self.loop, "1.0", grace=self.grace)
        self.memory: dict = {}

    @property
    def learner(self):
        return self.loop.learner

    @property
    def log(self) -> FakeLog:
        return self.logs[-1]

    def open_log(self, counters):
        self.logs.append(FakeLog(LogSettings(group=3), counters))
        return self.logs[-1]

    def turn(self, times: int = 1) -> None:
        for _ in range(times):
            # The clock stands, so a turn would wait for its deadline in real time.
            self.clock.advance(max(0.0, self.loop._next_deadline() - self.clock.now()))
            self.loop.turn()

    def ask(self, command, **fields):
        return self.desk.handle({"command": command, **fields}, self.memory)

    def load(self, *rules, **options):
        path = self.state / "snapshot.json"
        write_snapshot(path, snapshot(*rules, **options))
        return self.ask("load", path=str(path))

    def passed(self) -> list[bytes]:
        return [packet.payload for packet in self.kernel.passed]

    def close(self) -> None:
        self.loop.stop()
        self.loop.run()
        self.poller.close()
