#!/bin/sh
# Builds etcd, kube-apiserver and kubectl as the tests want them, at the versions of go.mod, and prints where they are.
# About five minutes on two cores and 2.4 GB of Go's build cache; once, because they are kept outside the tree in a
# directory that is named after go.mod and go.sum. Needs Go 1.24 to 1.26 and a module proxy.
#   tests/tools/build.sh           builds what is missing
#   tests/tools/build.sh --where   only prints the directory
set -eu
cd "$(dirname "$0")"

VERSION=$(sed -n 's/^require k8s.io\/kubernetes //p' go.mod)
key=$(cat go.mod go.sum | sha256sum | cut -c1-16)
directory="${TIDEGATE_KUBE_TOOLS:-${XDG_CACHE_HOME:-$HOME/.cache}/tidegate/kube-tools}/$key"
[ "${1:-}" = --where ] && { echo "$directory"; exit 0; }

fail() { echo "build.sh: $1" >&2; exit 1; }
scratch="$directory.building"
trap 'rm -rf "$scratch"' EXIT
for tool in etcd:go.etcd.io/etcd/server/v3 kubectl:k8s.io/kubernetes/cmd/kubectl kube-apiserver:k8s.io/kubernetes/cmd/kube-apiserver; do
  name=${tool%%:*} package=${tool#*:}
  [ -x "$directory/$name" ] && continue
  command -v go >/dev/null || fail "cannot build $name without Go 1.24 to 1.26"
  echo "build.sh: building $name" >&2
  mkdir -p "$scratch" "$directory"
  # Without its version kubectl and the feature gates take the server for v0.0.0.
  minor=$(echo "$VERSION" | cut -d. -f2)
  set -- "k8s.io/component-base/version.gitVersion=$VERSION" "k8s.io/component-base/version.gitMajor=1" \
    "k8s.io/component-base/version.gitMinor=$minor"
  CGO_ENABLED=0 nice -n 19 go build -trimpath -ldflags "-s -w -X $1 -X $2 -X $3" -o "$scratch/$name" "$package" \
    || fail "cannot build $name: this step needs a Go module proxy"
  mv "$scratch/$name" "$directory/$name"
done
echo "$directory"
