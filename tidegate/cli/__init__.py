"""The command line: one module a command, tables for people and JSON for programs."""
