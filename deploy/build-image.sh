#!/bin/sh
# What the container image is built by, in a checkout: the locked environment without what only development needs, and
# the compiled packet path. Needs python3, its headers, gcc and libnetfilter-queue-dev.
set -eu
cd "$(dirname "$0")/.."
export UV_PYTHON_DOWNLOADS=never UV_LOCKED=1 UV_COMPILE_BYTECODE=1

version=$(sed -n 's/^UV_VERSION=//p' justw)
tools=$(mktemp -d) && trap 'rm -rf "$tools"' EXIT
python3 -m venv "$tools"
"$tools/bin/pip" install -q --disable-pip-version-check "uv==$version"

# The compiler is one of the tools for lint: it goes again once the packet path is compiled.
"$tools/bin/uv" sync -q --python /usr/bin/python3 --no-default-groups --group lint --extra kube
deploy/native.sh
"$tools/bin/uv" sync -q --python /usr/bin/python3 --no-default-groups --extra kube
.venv/bin/python -m compileall -q dnsagent l7 netlink nfq nft policy reconcile tidegate wg
rm -rf .git tests bench examples docs .mypy_cache .ruff_cache
