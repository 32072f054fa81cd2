"""Which questions may be asked; deny lists; tunnels; local zones."""

import random

import dnslib
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dnsagent.answers import zone_records
from dnsagent.forward.lists import Denial, DenyList
from dnsagent.forward.messages import Rcode
from dnsagent.forward.questions import QuestionRules, Refusal, judge
from dnsagent.forward.tunnels import MAX_NAMES, WINDOW_SECONDS, TunnelWatch, split
from dnsagent.forward.zones import LocalZones
from dnsagent.match import PatternIndex
from dnsagent.plan import make_plan
from policy.domains import DomainPattern
from reconcile.instant import Instant
from tests.dnsagent.forward_stage import asked
from tests.dnsagent.stage import CLIENT, key, packed, rule, snapshot

PLAN = make_plan(snapshot(rule("r", "a.test", "*.b.test")))
ENDPOINT = PLAN.endpoints[packed(CLIENT)]


def deny(text: str) -> DenyList:
    lists = DenyList()
    for _ in lists.read(text.splitlines(keepends=True)):
        pass
    return lists


def reason(name: str, qtype: int = 1, **rules) -> tuple[str, int] | None:
    found = judge(asked(name, qtype), ENDPOINT, PLAN, QuestionRules(**rules))
    return None if found is None else (found.reason, found.reply[3] & 15)


def test_without_rules_only_canaries_are_refused():
    assert reason("anything.test") is None
    assert reason("use-application-dns.net") == (Refusal.CANARY, Rcode.NXDOMAIN)
    assert reason("_dns.resolver.arpa", 64) == (Refusal.CANARY, Rcode.NOERROR)
    assert reason("use-application-dns.net", hides_resolvers=False) is None
    assert reason("www.use-application-dns.net") is None


def test_only_selected_and_admitted_names_pass():
    admitted = PatternIndex({0: [DomainPattern.parse("*.all.test")]})
    rules = {"only_selected_names": True, "admitted": admitted}
    for name in ("a.test", "x.b.test", "x.all.test"):
        assert reason(name, **rules) is None
    for name in ("b.test", "x.a.test", "evil.test"):
        assert reason(name, **rules) == (Refusal.NOT_ADMITTED, Rcode.NXDOMAIN)
    assert reason("evil.test", **rules, refuses=True) == (Refusal.NOT_ADMITTED, Rcode.REFUSED)


def test_types_are_refused_as_absent():
    assert reason("a.test", 16, denied_types=frozenset({16})) == (Refusal.TYPE, Rcode.NOERROR)
    assert reason("a.test", 65, filters_services=True) == (Refusal.TYPE, Rcode.NOERROR)
    assert reason("a.test", 1, filters_services=True) is None


# --- deny lists ---

HOSTS = "# comment\n127.0.0.1 localhost\n0.0.0.0 ads.test tracker.test # both\n::1 six.test\n10.0.0.1 other.test\nplain.test\n"
RPZ = """$TTL 60
$ORIGIN rpz.example.
@ SOA ns.example. root.example. 1 2 3 4 5
  NS ns.example.
bad.test CNAME .
*.bad.test 300 IN CNAME .
empty.test.rpz.example. CNAME *.
fine.bad.test CNAME rpz-passthru.
32.1.2.0.192.rpz-ip CNAME .
data.test A 192.0.2.1
"""


def test_hosts_files_name_names():
    lists = deny(HOSTS)
    found = {
        name: lists.find(key(name)) for name in ("ads.test", "tracker.test", "six.test", "plain.test", "other.test")
    }
    assert found == dict.fromkeys(("ads.test", "tracker.test", "six.test", "plain.test"), Denial.NXDOMAIN) | {
        "other.test": None
    }
    assert lists.find(key("localhost")) is None
    assert lists.find(key("sub.ads.test")) is None
    assert sum(lists.ignored.values()) == 1


def test_response_policy_zones_name_names_and_what_is_below_them():
    lists = deny(RPZ)
    assert lists.find(key("bad.test")) is Denial.NXDOMAIN
    assert lists.find(key("a.b.bad.test")) is Denial.NXDOMAIN
    assert lists.find(key("empty.test")) is Denial.NODATA
    assert lists.find(key("fine.bad.test")) is Denial.PASS
    assert lists.find(key("good.test")) is None
    assert sum(lists.ignored.values()) == 2  # the trigger by address, and local data


def test_an_exception_stands_whatever_another_list_says():
    lists = deny("fine.test CNAME rpz-passthru.\n0.0.0.0 fine.test\n")
    assert lists.find(key("fine.test")) is Denial.PASS
    assert reason("fine.test", lists=lists) is None


def test_a_long_list_lets_others_work_between():
    assert sum(1 for _ in DenyList().read(f"0.0.0.0 n{number}.test" for number in range(5000))) == 4


@given(st.text(max_size=200))
def test_any_text_is_a_list(text):
    lists = deny(text)
    assert all(0 < len(name) <= 254 for name in (*lists.exact, *lists.below))


# --- tunnels ---


def test_parents_are_what_somebody_has_registered():
    assert split(key("a.b.example.test")) == (key("a.b"), key("example.test"))
    assert split(key("a.example.co.uk")) == (key("a"), key("example.co.uk"))
    assert split(key("example.test")) == (b"", key("example.test"))
    assert split(key("co.uk")) == (b"", key("co.uk"))


def score(watch: TunnelWatch, names, qtype: int = 1, now: float = 0.0) -> int:
    return max(watch.note("ep1", key(name), qtype, Instant(now)) for name in names)


def encoded(dice: random.Random, count: int, length: int = 50):
    return ["".join(dice.choices("abcdefghijklmnopqrstuvwxyz234567", k=length)) + ".tunnel.test" for _ in range(count)]


def test_encoded_data_scores_high_and_ordinary_names_low():
    dice = random.Random(1)
    assert score(TunnelWatch(), encoded(dice, 80), 16) >= 80
    assert score(TunnelWatch(), encoded(dice, 80), 1) >= 60
    ordinary = [f"{word}{number}.cdn.test" for word in ("www", "img", "static", "api") for number in range(20)]
    assert score(TunnelWatch(), ordinary) < 50
    assert score(TunnelWatch(), ["www.a.test"] * 1000) == 0
    assert score(TunnelWatch(), encoded(dice, 9), 16) == 0


def test_a_window_ends_and_is_bounded():
    watch, dice = TunnelWatch(), random.Random(2)
    assert score(watch, encoded(dice, 3 * MAX_NAMES)) > 0
    assert len(next(iter(watch._windows.values())).names) == MAX_NAMES
    assert [each[:2] for each in watch.scores(Instant(0.0))] == [("ep1", key("tunnel.test"))]
    assert watch.scores(Instant(WINDOW_SECONDS)) == []
    assert watch.note("ep1", key("x.tunnel.test"), 1, Instant(WINDOW_SECONDS)) == 0


def test_a_quarantine_is_for_one_endpoint_and_one_domain_and_ends():
    watch = TunnelWatch()
    watch.quarantine("ep1", key("x.tunnel.test"), Instant(10.0))
    assert watch.is_quarantined("ep1", key("y.tunnel.test"), Instant(9.0))
    assert not watch.is_quarantined("ep2", key("y.tunnel.test"), Instant(9.0))
    assert not watch.is_quarantined("ep1", key("y.other.test"), Instant(9.0))
    assert not watch.is_quarantined("ep1", key("y.tunnel.test"), Instant(10.0))


# --- local zones ---

ZONE = """$ORIGIN corp.test.
@ 300 IN SOA ns.corp.test. root.corp.test. 1 2 3 4 60
@ 300 IN MX 10 mail.corp.test.
www 60 IN A 192.0.2.1
www 60 IN AAAA 2001:db8::1
alias 60 IN CNAME www
out 60 IN CNAME elsewhere.test.
loop 60 IN CNAME loop
*.wild 60 IN A 192.0.2.9
a.b.deep 60 IN A 192.0.2.5
"""
LOCAL = LocalZones(zone_records(ZONE))


def told(name: str, qtype: str = "A", edns: int | None = None):
    said = LOCAL.answer(asked(name, getattr(dnslib.QTYPE, qtype), edns=edns))
    return None if said is None else dnslib.DNSRecord.parse(said)


@pytest.mark.parametrize(
    ("name", "qtype", "rdata"),
    [
        ("www.corp.test", "A", ["192.0.2.1"]),
        ("WWW.corp.test", "AAAA", ["2001:db8::1"]),
        ("alias.corp.test", "A", ["www.corp.test.", "192.0.2.1"]),
        ("out.corp.test", "A", ["elsewhere.test."]),
        ("x.y.wild.corp.test", "A", ["192.0.2.9"]),
        ("corp.test", "MX", ["10 mail.corp.test."]),
        ("corp.test", "SOA", ["ns.corp.test. root.corp.test. 1 2 3 4 60"]),
    ],
)
def test_a_zone_answers(name, qtype, rdata):
    assert [str(each.rdata) for each in told(name, qtype, edns=1232).rr] == rdata


@pytest.mark.parametrize(
    ("name", "qtype", "rcode"),
    [
        ("none.corp.test", "A", "NXDOMAIN"),
        ("www.corp.test", "TXT", "NOERROR"),
        ("b.deep.corp.test", "A", "NOERROR"),  # exists because a name below it does
        ("wild.corp.test", "A", "NOERROR"),
    ],
)
def test_a_zone_denies_with_its_soa(name, qtype, rcode):
    said = told(name, qtype)
    assert (dnslib.RCODE[said.header.rcode], said.rr, said.auth[0].rtype, said.auth[0].ttl) == (rcode, [], 6, 60)


def test_names_of_others_are_left_to_the_servers():
    assert told("www.other.test") is None
    assert told("loop.corp.test").header.rcode == 0
    without = LocalZones(zone_records("only.test. 60 IN A 192.0.2.1\n"))
    assert without.answer(asked("only.test")) is not None
    assert without.answer(asked("sub.only.test")) is None


@pytest.mark.parametrize("text", ["a b c", "x 60 IN A not-an-address", "$INCLUDE /etc/passwd"])
def test_what_is_no_zone_says_so(text):
    with pytest.raises(ValueError, match="cannot read the zone"):
        zone_records(text)
