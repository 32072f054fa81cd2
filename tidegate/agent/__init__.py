"""The two processes, and the wiring that builds everything they need.

`wiring` draws the control process, `control` runs it, `packets` builds the packet process, `packet_keeper` keeps one
alive. Promises: docs/design/agent.md.
"""
