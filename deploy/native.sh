#!/bin/sh
# Compiles the packet path's modules with mypyc and puts the results beside their sources. They are ordinary Python and
# run as such where this was not done; compiled, an answer costs less than half. Does nothing while the sources are the
# ones that were compiled; where compiling fails it says so, and what was compiled before goes.
set -eu
cd "$(dirname "$0")/.."

ROOMS="dnsagent nfq nft netlink"
MODULES="
  dnsagent/aliases.py dnsagent/codec.py dnsagent/chain.py dnsagent/match.py dnsagent/queries.py dnsagent/tap.py dnsagent/histogram.py dnsagent/guard.py dnsagent/cache.py
  dnsagent/element_table.py dnsagent/left_out.py dnsagent/places.py dnsagent/learn.py dnsagent/plan.py dnsagent/hold.py dnsagent/denied.py
  dnsagent/kernel_sets.py dnsagent/journal.py dnsagent/poller.py dnsagent/packet_loop.py
  dnsagent/framing.py dnsagent/segments.py dnsagent/relay.py dnsagent/forward/messages.py dnsagent/forward/store.py
  dnsagent/forward/questions.py dnsagent/forward/lists.py dnsagent/forward/tunnels.py dnsagent/forward/zones.py
  dnsagent/forward/forwarder.py
  nfq/held.py nfq/holder.py nfq/packet.py nfq/queue_messages.py nfq/raw.py nfq/log_messages.py nfq/nflog.py
  nfq/binding.py nfq/supervise.py nfq/counters.py nft/elements.py nft/element_wire.py
"
stamp=.venv/tidegate-native
# shellcheck disable=SC2086 # a list of words
now=$(cat $MODULES uv.lock deploy/native.sh | sha256sum)
if [ "$(cat "$stamp" 2>/dev/null)" = "$now" ] && ls dnsagent/codec.*.so > /dev/null 2>&1; then
  # A checkout gives sources new times, not new contents; tests look at the times.
  touch -c dnsagent/*.so dnsagent/*/*.so nfq/*.so nft/*.so
  exit 0
fi

remove() { rm -f "$stamp" ./*__mypyc.*.so dnsagent/*.so dnsagent/*/*.so nfq/*.so nft/*.so netlink/*.so; }

echo "native: compiling the packet path" >&2
remove
# Elsewhere, because the compiler's build would take this directory for a package of its own.
work=.venv/native
rm -rf "$work" && mkdir -p "$work"
cp -r $ROOMS policy reconcile "$work"
# shellcheck disable=SC2086
if (cd "$work" && ../bin/mypyc $MODULES > build.log 2>&1); then
  (cd "$work" && find . -name '*.so' -not -path './build/*') | while read -r file; do cp "$work/$file" "$file"; done
  echo "$now" > "$stamp"
  rm -rf "$work"
else
  remove
  echo "native: cannot compile, so the packet path runs interpreted: see $work/build.log" >&2
fi
