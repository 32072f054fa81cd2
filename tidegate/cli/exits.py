"""Exit codes, as the command contract has them."""

DONE = 0
NO = 1
"""The answer is no, or the input is invalid."""
USAGE = 2
DISAGREE = 3
"""Two oracles gave different verdicts."""
UNREACHABLE = 4
"""The agent does not answer on its socket."""
KERNEL = 5
"""The kernel refused."""
