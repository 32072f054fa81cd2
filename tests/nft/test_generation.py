"""What the generation's number says about who committed."""

from hypothesis import given
from hypothesis import strategies as st

from nft.generation import Tally

MODULUS = 1 << 32


@given(
    start=st.integers(0, MODULUS - 1), own=st.integers(0, 1000), ours=st.integers(0, 1000), foreign=st.integers(0, 9)
)
def test_others_commits_are_what_is_not_ours(start, own, ours, foreign):
    later = Tally((start + ours + foreign) % MODULUS, own + ours)
    assert later.foreign_since(Tally(start, own)) == foreign


@given(own=st.integers(1, 1000), new=st.integers(0, 1000), unseen=st.integers(0, 1000))
def test_a_count_that_began_anew_never_looks_like_ours(own, new, unseen):
    # The former process made `unseen` more, the new one `new`, of which it alone knows.
    later = Tally((7 + unseen + new) % MODULUS, new)
    assert later.foreign_since(Tally(7, own)) > 0
