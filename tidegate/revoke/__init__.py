"""Which open connections policy no longer allows: pure judgement over a node's state, nothing of sockets or clocks.

    state before, state now -> scope: whose connections may have lost their permission
    conntrack entry         -> way: what the packet that opened it looked like, and which chains it would meet now
    way                     -> judge: the rules that are in the kernel, run in Python, with the names learned so far

Nobody guesses from the difference between two policies: the difference says where to look, the rules say what to end.
"""
