#!/usr/bin/env bash
# Athanor beside PyTorch and transformers on one GPU, cell by cell in turn, run from the folder that run.sh made. Prints a table
# last; every figure is a line of results.jsonl. PYTHON names an interpreter that has torch and transformers, MODELS,
# CONTEXTS and BATCHES what to measure.
set -uo pipefail
cd "$(dirname "$0")"
python=${PYTHON:-python3}
models=${MODELS:-124m 350m 1.2b}
contexts=${CONTEXTS:-1024 2048 8192}
batches=${BATCHES:-1 32 256}
results=results.jsonl
: >$results

# one COMMAND…: measures one figure, which the table shows as a problem if the command fails.
one() {
	echo "$*" >&2
	"$@" 2>>bench.log | tail -n 1 | tee -a $results
}

one ./gpubench peak
for model in $models; do
	for context in $contexts; do
		one ./gpubench step --model "$model" --context "$context"
		one "$python" peers.py step --model "$model" --context "$context"
		one "$python" peers.py step --model "$model" --context "$context" --compile
	done
done
for model in $models; do
	for batch in $batches; do
		one ./gpubench decode --model "$model" --batch "$batch" --count 256
		one "$python" peers.py decode --model "$model" --batch "$batch" --count 256
	done
done
one ./gpubench peak

echo
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader | head -n 1
"$python" -c 'import torch, transformers; print("torch", torch.__version__, "transformers", transformers.__version__)'
./gpubench table $results
