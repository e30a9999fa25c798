#!/usr/bin/env bash
# Everything that must hold on a GPU, run from the folder that run.sh made, what tells most first. With LIMIT=540 it ends
# after so many seconds, and the next call goes on with what has not passed. results/ holds summary.txt, logs/ and both in
# logs.tar.gz. Exits 1 if anything failed or is left.
set -uo pipefail
cd "$(dirname "$0")"
mkdir -p results/logs goroot states
built=$(cat engine gpubench ./*.test | sha256sum)
[ "$built" = "$(cat results/built.test 2>/dev/null)" ] || rm -f results/passed # what other programs passed tells nothing
echo "$built" >results/built.test
touch results/passed
[ ! -f goroot.tar.gz ] || [ -d goroot/src ] || tar -xzf goroot.tar.gz -C goroot
export PATH=$PWD/bin:$PATH
# PyTorch's cuBLASLt if there is one, wherever it may be installed.
blas=$("${PYTHON:-python3}" -c 'import glob, importlib.util as u, os
packages = os.path.dirname(os.path.dirname(u.find_spec("torch").origin))
print(*glob.glob(os.path.join(packages, "nvidia/*/lib/libcublasLt.so.*"))[:1])' 2>/dev/null)
[ -z "$blas" ] || export ATHANOR_CUBLASLT=${ATHANOR_CUBLASLT:-$blas}

# left is how many seconds there are.
left() { echo $((${LIMIT:-86400} - SECONDS)); }

# check NAME COMMAND…: runs a command with its output in a log, unless it has passed in an earlier call.
check() {
	local name=$1 log began=$SECONDS verdict=ok code
	shift
	log=results/logs/${name//[^A-Za-z0-9]/-}.txt
	if grep -qxF -- "$name" results/passed; then
		row "$name" - "passed before"
		return
	fi
	if [ "$(left)" -lt 20 ]; then
		row "$name" - "left for the next call"
		return 1
	fi
	timeout --kill-after=10 "$(left)" "$@" >"$log" 2>&1
	code=$?
	if [ $code -ge 124 ] && [ "$(left)" -lt 5 ]; then
		verdict="CUT OFF by LIMIT"
	elif [ $code != 0 ] || grep -q '"problem":' "$log"; then
		verdict="FAILED"
	elif grep -qE -- '--- SKIP: Test(Conformance|GPU)' "$log"; then
		verdict="SKIPPED"
	else
		echo "$name" >>results/passed
	fi
	row "$name" $((SECONDS - began)) "$verdict$(grep -o '"rate":[0-9.e+]*' "$log" | tail -n 1 | sed 's/.*:/, at /;s/[.][0-9]*$//;s/$/ per second/')"
	[ "$verdict" = ok ] && return
	grep -E 'FAIL|panic|rror|differ|cuda:|want|problem' "$log" | grep -v '^=== ' | head -n 12 | cut -c 1-300 | sed 's/^/    /'
	return 1
}

# row is a line of the table.
row() { printf '%-56s %5ss  %s\n' "$@" | tee -a results/summary.txt; }

# finish prints the table again, below what failed.
finish() {
	tar -czf results/logs.tar.gz -C results summary.txt logs
	echo
	cat results/summary.txt
	! grep -qE 'FAILED|SKIPPED|CUT OFF|left for' results/summary.txt
}

# whole runs the quickstart twice, the second time from what the first has made.
whole() {
	./engine run --device cuda --state states/whole pipelines/quickstart.hcl &&
		./engine run --device cuda --state states/whole pipelines/quickstart.hcl | grep 'pretrain.base: cached' &&
		rm -rf states/whole-model &&
		./engine export --device cuda --state states/whole pretrain.base.model states/whole-model pipelines/quickstart.hcl
}

# killed runs the quickstart with a checkpoint after every step, kills engine and worker three times as they train, and
# lets the last run finish. Two figures of the setting are free: the key and the bytes must be those of an undisturbed run.
killed() {
	rm -rf states/killed states/killed-model
	sed 's/^pretrain "base" {/&\n  checkpoint_every = 0/' pipelines/quickstart.hcl >pipelines/killed.hcl
	local turn pid before
	for turn in 1 2 3; do
		before=$(newest)
		./engine run --device cuda --state states/killed pipelines/killed.hcl &
		pid=$!
		for _ in $(seq 2400); do
			sleep 0.1
			[ "$(newest)" = "$before" ] || break
			kill -0 "$pid" 2>/dev/null || break
		done
		[ "$(newest)" != "$before" ] || return 1 # it ended, or trains no step
		sleep 0.$((turn * 3))
		pkill -KILL -P "$pid"
		kill -KILL "$pid"
		wait "$pid"
		echo "killed at checkpoint $(newest)"
	done
	./engine run --device cuda --state states/killed pipelines/killed.hcl &&
		./engine export --device cuda --state states/killed pretrain.base.model states/killed-model pipelines/killed.hcl &&
		cmp states/killed-model/model.safetensors states/whole-model/model.safetensors
}

# newest is the number of the last checkpoint.
newest() { compgen -G 'states/killed/work/*/checkpoints/*[0-9]' | sed 's|.*/||' | sort -n | tail -n 1; }

case ${1:-} in
whole | killed)
	"$1"
	exit
	;;
esac

nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1 | tee results/summary.txt
conforms=(./cuda.test -test.timeout 30m -test.v -test.run)
check "a product of 8192³ in bfloat16" ./gpubench peak
if ! check "conformance with the specification, both formats" "${conforms[@]}" '^TestConformance$' && [ "$(left)" -gt 60 ]; then
	# After a fault a GPU fails at everything: each operator again by itself, and an error that names its kernel.
	for operator in Memory Precisions Embed RMSNorm Linear Rope SwiGLU Attention LMHead LMHeadLoss AdamW SumSquares DecodeAttention Sample DecodeEqualsAttention; do
		check "of these, $operator" env CUDA_LAUNCH_BLOCKING=1 "${conforms[@]}" "^TestConformance\$/^$operator\$"
	done
fi
check "ten training steps like the CPU" ./train.test -test.run '^TestGPU' -test.v
check "steps of the 124 M model, context 1024" ./gpubench step --model 124m --tokens 32768
check "decoding with the 124 M model, 32 texts" ./gpubench decode --model 124m --batch 32 --count 128
check "quickstart --device cuda, and cached" "$BASH" "$PWD/test.sh" whole
check "kill -9 three times and resume: the same bits" "$BASH" "$PWD/test.sh" killed
if command -v compute-sanitizer >/dev/null; then
	small='^TestConformance$/^(Embed|RMSNorm|Rope|SwiGLU|Attention|LMHead|LMHeadLoss|AdamW|SumSquares|DecodeAttention|Sample)$/^(V257|V513|ties|N65|heads4|N33|H4|H6|N17|one|\[17|H6)'
	for tool in memcheck racecheck synccheck; do
		check "compute-sanitizer $tool" env ATHANOR_CUDA_ALONE=1 compute-sanitizer --tool $tool --error-exitcode 9 ./cuda.test -test.run "$small"
	done
else
	row "compute-sanitizer" - "not installed"
fi
finish
