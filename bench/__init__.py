"""Measurements with budgets: each module is a command, measures its rivals in the same run, and prints ratios."""
