#!/bin/sh
# Validates the example's files, then prints the verdict of each question.
set -eu
cd "$(dirname "$0")"
tidegate=../../.venv/bin/tidegate
[ -x "$tidegate" ] || tidegate=tidegate

"$tidegate" validate resources >&2
"$tidegate" eval --resources resources --oracle both < probes.jsonl |
  sed -E 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*/\1: \2/'
