"""A long run of resolve-then-connect pairs under faults: `python -m tests.soak [--pairs N] [--seconds N]`."""
