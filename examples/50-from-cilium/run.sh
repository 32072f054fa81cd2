#!/bin/sh
# Imports Cilium's policy (what differs goes to standard error), then prints the verdict of each question.
set -eu
cd "$(dirname "$0")"
tidegate=../../.venv/bin/tidegate
[ -x "$tidegate" ] || tidegate=tidegate

"$tidegate" import cilium.yaml --cluster-network 10.0.0.0/8 | diff - resources/policy.yaml
"$tidegate" eval --resources resources --names names.jsonl --oracle both < probes.jsonl |
  sed -E 's/^\{"id": "([^"]*)", "verdict": "([a-z]*)".*/\1: \2/'
