#!/bin/sh
# Sets up a bare Debian 12 or Ubuntu 24.04: distribution packages, then the locked Python environment.
# Runs in a fraction of a second when nothing is missing; each failure says which step needs what.
set -eu
cd "$(dirname "$0")/.."

# nftables: nft(8) and libnftables; iproute2: ip(8) for the labs; conntrack: conntrack(8) for a test; wireguard-go: WireGuard
# where the kernel has none, and for tests; the rest builds netfilterqueue.
PACKAGES="nftables libnftables1 iproute2 conntrack wireguard-go gcc libc6-dev python3-dev libnetfilter-queue-dev ca-certificates"

# What the tools say goes to a file: when something is out of reach they say it in pages, and one line is enough.
log=$(mktemp) && trap 'rm -f "$log"' EXIT
fail() { trap - EXIT; echo "setup: $1 (what was said is in $log)" >&2; exit 1; }
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi; }

# The distribution's own interpreter where it is new enough: its headers are the ones installed above, and it is built
# with profiles, which makes the packet path a quarter faster than a plain build.
python=/usr/bin/python3
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || python=python3

missing=""
for package in $PACKAGES; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing="$missing $package"
done
if [ -n "$missing" ]; then
  echo "setup: installing$missing" >&2
  as_root apt-get update -qq >"$log" 2>&1 || fail "cannot read the package lists: this step needs the distribution's package archive"
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing \
    >"$log" 2>&1 || fail "cannot install$missing: this step needs the distribution's package archive"
fi

stamp=".venv/tidegate-locked"
if [ ! -e "$stamp" ] || [ uv.lock -nt "$stamp" ] || [ pyproject.toml -nt "$stamp" ]; then
  echo "setup: syncing the locked Python environment" >&2
  UV_COMPILE_BYTECODE=1 uv sync -q --python "$python" >"$log" 2>&1 || fail "cannot sync the Python environment: this step needs PyPI"
  touch "$stamp"
fi

# Byte code before the first start: many environments forbid programs to write it, and without it each command pays for
# compiling every module, which doubles its start.
.venv/bin/python -m compileall -q dnsagent l7 netlink nfq nft policy reconcile tidegate wg bench tests >"$log" 2>&1 ||
  fail "cannot compile the sources: a module has a syntax error"
