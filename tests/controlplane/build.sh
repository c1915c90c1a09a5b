#!/bin/sh
# Builds the control plane that tests run, and says where each of its binaries lies, as `name=path` lines on standard output.
# A binary is built once for a go.mod, go.sum and set of flags, and kept outside the tree. What lies in $KUBEBUILDER_ASSETS
# (setup-envtest puts etcd and kube-apiserver there) is used as it is. With --find nothing is built.
# Exit codes: 0 all there, 1 a build failed, 3 something is missing and cannot be, or is not to be, built; one line says what.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/berth/controlplane
go_oldest=1.26

kubernetes=$(awk '{ sub(/^require /, "") } $1 == "k8s.io/kubernetes" { print $2 }' "$here/go/kube/go.mod")
[ -n "$kubernetes" ] || { echo "berth: go/kube/go.mod does not say which Kubernetes" >&2; exit 1; }
minor=${kubernetes#v1.}
minor=${minor%%.*}
# Without these the server calls itself v0.0.0-master; with empty ones it does not start.
stamps="-X k8s.io/component-base/version.gitVersion=$kubernetes -X k8s.io/component-base/version.gitMajor=1"
stamps="$stamps -X k8s.io/component-base/version.gitMinor=$minor -X k8s.io/client-go/pkg/version.gitVersion=$kubernetes"

missing() { # what is wrong
  echo "berth: no control plane for tests, which are skipped, or fail where CI is set: $1" >&2
  exit 3
}

hash_of() {
  if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -c 1-16
}

need_go() {
  command -v go >/dev/null || missing "Go is missing; install Go $go_oldest or newer (see go.dev, Download)"
  # In the module's folder Go fetches a newer toolchain by itself where it may.
  have=$(cd "$here/go/kube" && go env GOVERSION 2>/dev/null) || have=$(GOTOOLCHAIN=local go env GOVERSION)
  printf '%s\n' "$go_oldest" "${have#go}" | sort -C -V || missing "$have is too old; install Go $go_oldest or newer"
}

binary() { # name, folder under go/, package
  if [ -n "${KUBEBUILDER_ASSETS:-}" ] && [ -x "$KUBEBUILDER_ASSETS/$1" ]; then
    echo "$1=$KUBEBUILDER_ASSETS/$1"
    return
  fi
  flags="-s -w"
  [ "$2" != kube ] || flags="$flags $stamps"
  key=$({ cat "$here/go/$2/go.mod" "$here/go/$2/go.sum"; echo "$flags" "$(uname -sm)"; } | hash_of)
  file=$cache/$2-$key/$1
  if [ ! -x "$file" ]; then
    [ "$only_find" = no ] || missing "$1 is not built; run: make controlplane"
    need_go
    mkdir -p "$cache/$2-$key"
    echo "berth: building $1 ..." >&2
    (cd "$here/go/$2" && CGO_ENABLED=0 GOWORK=off GOFLAGS=-mod=readonly \
      go build -trimpath -ldflags "$flags" -o "$file.$$" "$3") || { rm -f "$file.$$"; exit 1; }
    mv "$file.$$" "$file" # whole or not at all, whoever else builds it
  fi
  echo "$1=$file"
}

only_find=no
[ "${1:-}" != --find ] || only_find=yes
binary etcd etcd go.etcd.io/etcd/server/v3
binary kube-apiserver kube k8s.io/kubernetes/cmd/kube-apiserver
binary kube-controller-manager kube k8s.io/kubernetes/cmd/kube-controller-manager
binary kube-scheduler kube k8s.io/kubernetes/cmd/kube-scheduler
binary kwok kwok sigs.k8s.io/kwok/cmd/kwok
