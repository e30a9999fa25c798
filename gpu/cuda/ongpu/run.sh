#!/usr/bin/env bash
# run.sh test|bench [ARGUMENT…]: builds here what a machine with a GPU needs, which has no Go, into bin/ongpu, and runs test.sh or
# bench.sh on it: here if there is a GPU, else on CUDA_HOST (user@machine, reached by ssh and rsync). Without either it says
# what to copy. Building needs Go, a C compiler and cuda.h (see .ci/cuda-header).
set -euo pipefail
what=${1:?test or bench}
shift
cd "$(dirname "$0")/../../.."
out=$PWD/bin/ongpu
header=$(.ci/cuda-header) || {
	echo "no cuda.h of CUDA 11 or 12: set CGO_CFLAGS=-I…, or CUDA_HOME" >&2
	exit 1
}
export CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS:-} -I$header"

mkdir -p "$out"
go build -tags cuda -o "$out/engine" ./engine
go build -tags cuda -o "$out/gpubench" ./steps/internal/gpubench
go test -tags cuda -c -o "$out/cuda.test" ./gpu/cuda
go test -tags cuda -c -o "$out/train.test" ./steps/internal/train
cp gpu/cuda/ongpu/test.sh gpu/cuda/ongpu/bench.sh steps/internal/gpubench/peers.py "$out/"

# The quickstart reads the Go toolchain and runs one Go program. The machine gets the sources, that program, and a `go` that
# answers for both.
if [ "$what" = test ]; then
	root=$(go env GOROOT)
	mkdir -p "$out/pipelines" "$out/bin"
	cp -r pipelines/. "$out/pipelines/"
	rm -rf "$out/pipelines/.engine"
	go build -o "$out/bin/godoc" ./pipelines/godoc
	(cd "$root" && find . \( -name '*.go' -o -name '*.md' -o -name 'Isaac.Newton-Opticks.txt' \) -not -name '*_test.go' -print0 |
		tar --null -T - -cf "$out/goroot.tar")
	cat >"$out/bin/go" <<'GO'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
case "$1 $2" in
"env GOROOT") echo "$here/../goroot" ;;
"run ./godoc/main.go") shift 2 && exec "$here/godoc" "$@" ;;
*) echo "this go only answers the quickstart: $*" >&2 && exit 1 ;;
esac
GO
	chmod +x "$out/bin/go"
fi

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
	exec "$out/$what.sh" "$@"
elif [ -n "${CUDA_HOST:-}" ]; then
	rsync -a --delete "$out/" "$CUDA_HOST:athanor-ongpu/"
	exec ssh "$CUDA_HOST" athanor-ongpu/"$what.sh" "$@"
fi
echo "No GPU here and no CUDA_HOST: copy $out to a machine with a GPU and run $what.sh there." >&2
