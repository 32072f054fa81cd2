"""What the generation's number says about who committed, whatever comes between the looks."""

from hypothesis import given
from hypothesis import strategies as st

from nft.generation import Account, Finding, Look

MODULUS = 1 << 32

counts = st.integers(0, 20)
numbers = st.integers(0, MODULUS - 1)


def look(generation: int, own: int, between: int = 0) -> Look:
    """A look during which `between` commits of ours were made, all behind the count."""
    return Look(generation % MODULUS, own, (generation + between) % MODULUS)


def test_an_account_is_opened_only_where_nothing_happened_meanwhile():
    assert Account.opened(look(7, 3)) == Account(7, 3)
    assert Account.opened(look(7, 3, between=1)) is None


@given(start=numbers, own=counts, ours=counts, before=counts, after=counts, foreign=counts)
def test_a_finding_is_never_wrong(start, own, ours, before, after, foreign):
    account = Account(start, own)
    # `before` of our commits were made between the first number and the count, `after` behind the count.
    generation = start + ours + foreign
    seen = Look(generation % MODULUS, own + ours + before, (generation + before + after) % MODULUS)
    finding = account.judge(seen)
    if finding is Finding.OURS:
        assert foreign == 0
    if finding is Finding.FOREIGN:
        assert foreign > 0


@given(start=numbers, own=counts, ours=counts, foreign=st.integers(0, 1000))
def test_a_look_in_a_quiet_moment_is_sure(start, own, ours, foreign):
    finding = Account(start, own).judge(look(start + ours + foreign, own + ours))
    assert finding is (Finding.FOREIGN if foreign else Finding.OURS)


def test_a_count_that_began_anew_is_nobodys():
    assert Account(100, 50).judge(look(100, 3)) is Finding.FOREIGN
