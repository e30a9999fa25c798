#!/usr/bin/env bash
# Everything that must hold on a GPU, run from the folder that run.sh made. Prints a table last; exits 1 if anything failed.
# Logs stay in logs/.
set -uo pipefail
cd "$(dirname "$0")"
mkdir -p logs goroot
[ ! -f goroot.tar ] || tar -xf goroot.tar -C goroot
export PATH=$PWD/bin:$PATH
failed=0
rows=()

# check NAME COMMAND…: runs a command with its output in a log.
check() {
	local name=$1 log began=$SECONDS verdict=ok
	shift
	log=logs/${name//[^a-z0-9]/-}.txt
	"$@" >"$log" 2>&1 || verdict="FAILED, see $log"
	if [ "$verdict" = ok ] && grep -qE -- '--- SKIP: Test(Conformance|GPU)' "$log"; then
		verdict="SKIPPED, see $log"
	fi
	[ "$verdict" = ok ] || failed=1
	rows+=("$(printf '%-52s %6ss  %s' "$name" $((SECONDS - began)) "$verdict")")
	printf '%s\n' "${rows[-1]}"
}

fresh() { rm -rf states && mkdir states; }

whole() {
	./engine run --device cuda --state states/whole pipelines/quickstart.hcl &&
		./engine run --device cuda --state states/whole pipelines/quickstart.hcl | grep -q 'pretrain.base: cached' &&
		./engine export --device cuda --state states/whole pretrain.base.model states/whole-model pipelines/quickstart.hcl
}

# killed runs the quickstart with a checkpoint after every step, kills engine and worker three times as they train, and
# lets the last run finish. Two figures of the setting are free: the key and the bytes must be those of an undisturbed run.
killed() {
	sed 's/^pretrain "base" {/&\n  checkpoint_every = 0/' pipelines/quickstart.hcl >pipelines/killed.hcl
	local turn pid
	for turn in 1 2 3; do
		./engine run --device cuda --state states/killed pipelines/killed.hcl &
		pid=$!
		for _ in $(seq 600); do
			sleep 0.1
			compgen -G "states/killed/work/*/checkpoints/*[1-9]" >/dev/null && break
		done
		sleep 0.$((turn * 3))
		pkill -KILL -P "$pid"
		kill -KILL "$pid"
		wait "$pid"
	done
	./engine run --device cuda --state states/killed pipelines/killed.hcl &&
		./engine export --device cuda --state states/killed pretrain.base.model states/killed-model pipelines/killed.hcl &&
		cmp states/killed-model/model.safetensors states/whole-model/model.safetensors
}

sanitized() {
	compute-sanitizer --tool "$1" --error-exitcode 9 ./cuda.test -test.run "$2"
}

fresh
check "conformance with the specification, both formats" ./cuda.test -test.run '^TestConformance$' -test.v -test.timeout 30m
check "ten training steps like the CPU" ./train.test -test.run '^TestGPU' -test.v
check "quickstart --device cuda, and cached" whole
check "kill -9 three times and resume: the same bits" killed
if command -v compute-sanitizer >/dev/null; then
	small='^TestConformance$/^(Embed|RMSNorm|Rope|SwiGLU|Attention|LMHead|AdamW|SumSquares|DecodeAttention)$/^(V257|N65|heads4|N33|H4|H6|N17|one|\[17|H6)'
	check "compute-sanitizer memcheck" sanitized memcheck "$small"
	check "compute-sanitizer racecheck" sanitized racecheck "$small"
	check "compute-sanitizer synccheck" sanitized synccheck "$small"
else
	rows+=("compute-sanitizer                                            -  not installed")
fi

printf '\n%s\n' "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1)"
printf '%s\n' "${rows[@]}"
exit $failed
