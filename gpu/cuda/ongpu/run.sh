#!/usr/bin/env bash
# run.sh test|bench: builds here what a machine with a GPU needs, which has no Go, into bin/ongpu, and runs test.sh or bench.sh
# on it: here if there is a GPU, else on CUDA_HOST (user@machine, reached by ssh and rsync), and fetches the results.
# Without either it packs bin/ongpu.tar.gz and says what to do there. Building needs Go, a C compiler and cuda.h (see
# .ci/cuda-header).
set -euo pipefail
what=${1:?test or bench}
cd "$(dirname "$0")/../../.."
out=$PWD/bin/ongpu
header=$(.ci/cuda-header) || {
	echo "no cuda.h of CUDA 11 or 12: set CGO_CFLAGS=-I…, or CUDA_HOME" >&2
	exit 1
}
export CGO_ENABLED=1 CGO_CFLAGS="${CGO_CFLAGS:-} -I$header"

mkdir -p "$out/pipelines" "$out/bin"
strip=-ldflags='-s -w' # a third less to copy
go build -tags cuda "$strip" -o "$out/engine" ./engine
go build -tags cuda "$strip" -o "$out/gpubench" ./steps/internal/gpubench
go test -tags cuda "$strip" -c -o "$out/cuda.test" ./gpu/cuda
go test -tags cuda "$strip" -c -o "$out/train.test" ./steps/internal/train
cp gpu/cuda/ongpu/test.sh gpu/cuda/ongpu/bench.sh steps/internal/gpubench/peers.py "$out/"

# The quickstart reads the Go toolchain and runs one Go program. The machine gets the sources, that program, and a `go` that
# answers for both.
root=$(go env GOROOT)
cp -r pipelines/. "$out/pipelines/"
rm -rf "$out/pipelines/.engine"
CGO_ENABLED=0 go build "$strip" -o "$out/bin/godoc" ./pipelines/godoc
(cd "$root" && find . \( -name '*.go' -o -name '*.md' -o -name 'Isaac.Newton-Opticks.txt' \) -not -name '*_test.go' -print0 |
	tar --null -T - -czf "$out/goroot.tar.gz")
cat >"$out/bin/go" <<'GO'
#!/bin/sh
here=$(cd "$(dirname "$0")/.." && pwd)
case "$1 $2" in
"env GOROOT") echo "$here/goroot" ;;
"run ./godoc/main.go") shift 2 && exec "$here/bin/godoc" "$@" ;;
*) echo "this go only answers the quickstart: $*" >&2 && exit 1 ;;
esac
GO
chmod +x "$out/bin/go"

if command -v nvidia-smi >/dev/null && nvidia-smi -L >/dev/null 2>&1; then
	exec "$out/$what.sh"
elif [ -n "${CUDA_HOST:-}" ]; then
	rsync -a --delete --exclude results --exclude states --exclude inductor "$out/" "$CUDA_HOST:athanor-ongpu/"
	code=0
	# shellcheck disable=SC2029 # the settings are this side's
	ssh "$CUDA_HOST" "LIMIT='${LIMIT:-}' PYTHON='${PYTHON:-}' STEPS='${STEPS:-}' DECODES='${DECODES:-}' athanor-ongpu/$what.sh" || code=$?
	rsync -a "$CUDA_HOST:athanor-ongpu/results/" "$out/results/"
	exit $code
fi
tar -czf "$out.tar.gz" --exclude=results --exclude=states --exclude=inductor -C "$(dirname "$out")" ongpu
cat >&2 <<END
No GPU here and no CUDA_HOST. Copy $out.tar.gz ($(du -h "$out.tar.gz" | cut -f 1)) to a machine with a GPU and run there:
    tar -xzf ongpu.tar.gz && LIMIT=540 ongpu/$what.sh     (again until nothing is left)
What it finds is in ongpu/results.
END
