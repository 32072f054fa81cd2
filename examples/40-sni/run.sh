#!/bin/sh
# Validates the example's files, then prints each question with its verdict and the condition on it.
set -eu
cd "$(dirname "$0")"
tidegate=../../.venv/bin/tidegate
[ -x "$tidegate" ] || tidegate=tidegate

"$tidegate" validate resources >&2
"$tidegate" eval --resources resources --names names.jsonl --oracle both < probes.jsonl |
  sed -E -e 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*"must_name": true.*/\1: \2 if it names itself/' \
    -e 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*/\1: \2/'
