"""Fuzzes one target, guided by coverage: `python -m tests.fuzz.one NAME CORPUS [libFuzzer's options]`.

Only this process imports atheris, and imports it first: what is imported before it is not instrumented.
"""

import sys
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, SourceFileLoader
from pathlib import Path

import atheris

ROOMS = ["dnsagent", "nfq", "policy", "tidegate"]
_ROOT = Path(__file__).parents[2]


def main(name: str, *arguments: str) -> None:
    """Runs until the options say stop; libFuzzer ends the process, with a status other than 0 for a finding."""
    sys.path_hooks.insert(0, _sources)
    sys.path_importer_cache.clear()
    with atheris.instrument_imports(include=ROOMS):
        from tests.fuzz.targets import TARGETS  # noqa: PLC0415 - this import is what is instrumented
    atheris.Setup([sys.argv[0], *arguments], TARGETS[name].run)
    atheris.Fuzz()


def _sources(path: str) -> FileFinder:
    """Finds the rooms' sources even where they are compiled: compiled code tells nothing of its coverage."""
    if Path(path).is_relative_to(_ROOT) and Path(path).relative_to(_ROOT).parts[:1] in {(room,) for room in ROOMS}:
        return FileFinder(path, (SourceFileLoader, SOURCE_SUFFIXES))
    raise ImportError


if __name__ == "__main__":
    main(*sys.argv[1:])
