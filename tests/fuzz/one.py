"""Fuzzes one target, guided by coverage: `python -m tests.fuzz.one NAME CORPUS [libFuzzer's options]`.

Only this process imports atheris, and imports it first: what is imported before it is not instrumented.
"""

import sys

import atheris

ROOMS = ["dnsagent", "nfq", "policy", "tidegate"]


def main(name: str, *arguments: str) -> None:
    """Runs until the options say stop; libFuzzer ends the process, with a status other than 0 for a finding."""
    with atheris.instrument_imports(include=ROOMS):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - this import is what is instrumented
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()


if __name__ == "__main__":
    main(*sys.argv[1:])
