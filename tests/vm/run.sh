#!/usr/bin/env bash
# run.sh [PACKAGE]...: the kernel tests of the nft and wg rooms under Debian's own kernels, in emulated machines (root, a minute each).
#
# They differ from each other and from development machines where it matters: nftables' own `queue` expression, and
# whether adding an element again refreshes it; and they have WireGuard. One boot runs all tests. Timing tests are left
# out: emulation is slow.
set -euo pipefail
cd "$(dirname "$0")/../.."
KERNELS=${*:-linux-image-cloud-amd64 linux-image-6.12-cloud-amd64}

command -v qemu-system-x86_64 >/dev/null && command -v busybox >/dev/null || {
  echo "vm: installing qemu"
  apt-get -qq update && apt-get -qq install -y --no-install-recommends qemu-system-x86 busybox-static cpio kmod xz-utils zstd >/dev/null
} || { echo "vm: cannot install qemu: no Debian mirror within reach" >&2; exit 1; }

for package in $KERNELS; do
  kernel=.tools/kernels/$package
  tests/vm/get-kernel.sh "$kernel" "$package" || { echo "vm: cannot fetch $package: no Debian mirror within reach" >&2; exit 1; }
  echo "vm: $package"
  # nft_compat looks for the target's module only in the first namespace, so both are loaded before the tests
  tests/vm/run-in-vm.sh -k "$kernel" -t 900 -- bash -c '
    modprobe nft_compat; modprobe xt_NFQUEUE; modprobe wireguard; modprobe tun
    exec .venv/bin/python -m pytest -q -p no:cacheprovider -m kernel -k "not budget" tests/nft tests/wg'
done
