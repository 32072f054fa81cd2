#!/bin/sh
# Validates the dump, prints the verdict of each question, and how node-1 denies.
set -eu
cd "$(dirname "$0")"
tidegate=../../.venv/bin/tidegate
[ -x "$tidegate" ] || tidegate=tidegate

"$tidegate" validate resources >&2
"$tidegate" eval --resources resources --oracle both < probes.jsonl |
  sed -E 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*/\1: \2/'
for node in node-1 node-2; do
  "$tidegate" render --resources resources --node "$node" | grep -q "reject" && echo "$node rejects" || echo "$node drops"
done
