"""The queue workshop: packets that the kernel holds for a verdict (NFQUEUE) or logs (NFLOG), and its connections.

What it is not: it knows no DNS and no policy, and decides nothing. `held` makes sure that every packet gets exactly one
verdict, `raw` and `library` are two readers of the kernel's queue behind the protocol of `queue`, `fake` is a third
without a kernel, `supervise` keeps a queue bound whatever happens to its socket, `nflog` reads copies of packets,
`packet` and `headers` read the packets themselves, `conntrack` finds and cuts established connections.
"""
