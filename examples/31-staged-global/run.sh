#!/bin/sh
# Validates the example's files, then prints each question with the verdict that is and the one that would be.
set -eu
cd "$(dirname "$0")"
tidegate=../../.venv/bin/tidegate
[ -x "$tidegate" ] || tidegate=tidegate

"$tidegate" validate resources >&2
"$tidegate" eval --resources resources --oracle both < probes.jsonl |
  sed -E 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*"pending": \{"verdict": "([a-z]*)".*/\1: \2, would \3/'
