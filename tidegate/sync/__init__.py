"""The apply loop: from the calculated policy to the kernel, and back when the kernel disagrees.

`desired` (pure) turns documents and routes into steps; `loop` puts steps in force, in an order that a failure at any
point leaves safe; `parts` are the seams that tests fill with fakes. Promises: docs/design/agent.md.
"""
