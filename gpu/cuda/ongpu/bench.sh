#!/usr/bin/env bash
# Athanor beside PyTorch and transformers on one GPU, cell by cell in turn, run from the folder that run.sh made, what tells
# most first. Prints a table last. With LIMIT=540 it ends after so many seconds, and the next call goes on with the figures that
# are missing; AGAIN=1 begins anew. results/ holds table.txt, results.jsonl with a line for each figure, and bench.log. PYTHON
# names an interpreter that has torch and transformers, STEPS (model:context) and DECODES (model:batch) what to measure.
set -uo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
# PyTorch's cuBLASLt if there is one: both sides multiply with the same.
blas=$("$python" -c 'import glob, importlib.util as u, os
packages = os.path.dirname(os.path.dirname(u.find_spec("torch").origin))
print(*glob.glob(os.path.join(packages, "nvidia/*/lib/libcublasLt.so.*"))[:1])' 2>/dev/null)
[ -z "$blas" ] || export ATHANOR_CUBLASLT=${ATHANOR_CUBLASLT:-$blas}
steps=${STEPS:-1.2b:2048 350m:1024 124m:1024 1.2b:8192 350m:2048 124m:2048 1.2b:1024 350m:8192 124m:8192}
decodes=${DECODES:-350m:32 350m:1 350m:256 124m:32 124m:1 124m:256 1.2b:32 1.2b:1 1.2b:256}
mkdir -p results
results=results/results.jsonl
[ -z "${AGAIN:-}" ] || rm -f $results results/measured
touch $results results/measured
built=$(sha256sum <gpubench)
if [ "$built" != "$(cat results/built.bench 2>/dev/null)" ]; then # the figures of another gpubench are not this one's
	sed -i '/"side":"Athanor"/d' $results
	sed -i '/^\.\/gpubench/d' results/measured
fi
echo "$built" >results/built.bench
# What torch.compile has built for one figure serves the next.
export TORCHINDUCTOR_CACHE_DIR=$PWD/inductor PYTHONUNBUFFERED=1

# one COMMAND…: measures one figure unless it is there. One that fails is in the table as a problem.
one() {
	local left=$((${LIMIT:-86400} - SECONDS)) line
	grep -qxF -- "$*" results/measured && return
	[ $left -ge 45 ] || return
	echo "$*" >&2
	line=$(timeout --kill-after=10 $((left < 300 ? left : 300)) "$@" 2>>results/bench.log | tail -n 1)
	if [ $((${LIMIT:-86400} - SECONDS)) -lt 2 ]; then
		echo "cut off by LIMIT: $*" >&2
		return
	fi
	[ -n "$line" ] || line="{$cell, \"side\":\"$*\", \"problem\":\"no figure: see bench.log\"}"
	echo "$*" >>results/measured
	echo "$line" | tee -a $results
}

step() {
	cell="\"job\":\"step\", \"model\":\"$1\", \"context\":$2"
	one ./gpubench step --model "$1" --context "$2"
	one "$python" peers.py step --model "$1" --context "$2" --compile
	one "$python" peers.py step --model "$1" --context "$2"
}
decode() {
	cell="\"job\":\"decode\", \"model\":\"$1\", \"batch\":$2"
	one ./gpubench decode --model "$1" --batch "$2" --count 256
	one "$python" peers.py decode --model "$1" --batch "$2" --count 256
}

cell='"job":"peak"'
one ./gpubench peak
read -ra todo <<<"$decodes"
for cell in $steps; do # in turn with decoding, as long as there is some
	step "${cell%:*}" "${cell#*:}"
	if [ ${#todo[@]} -gt 0 ]; then
		decode "${todo[0]%:*}" "${todo[0]#*:}"
		todo=("${todo[@]:1}")
	fi
done
for cell in "${todo[@]}"; do decode "${cell%:*}" "${cell#*:}"; done

{
	nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1
	"$python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
	./gpubench table $results
} 2>>results/bench.log | tee results/table.txt
