"""Every knob once: its name, type, unit, default and reason. Pure.

`settings` declares, `kinds` and `servers` read what people write, `sources` merges file, environment and flags,
`reference` writes the page for people. Promises: docs/design/agent.md.
"""
