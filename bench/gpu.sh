#!/bin/sh
# What needs a GPU, one measurement a name, on the first GPU that CUDA_VISIBLE_DEVICES shows: bench/gpu.sh longlive a14b
# Checkpoints of random weights and exported graphs lie in $WORK (24 GB and 14 GB). JSON goes to bench/results.
# Whatever else runs on that GPU meanwhile is counted into peaks and times.
set -eu
cd "$(dirname "$0")/.."
work=${WORK:-/tmp/wan} python=${PYTHON:-python3}
model=$work/ti2v-5b
tuned="--compile --channels-last --merged-upsampling --fp8-error 0.04"
gpu=$(nvidia-smi --query-gpu=name --format=csv,noheader | awk 'NR == 1 {print tolower($2)}') # h100
turns="text_encoder transformer vae_first vae_next"

true_size() { name=$1; shift; $python -m bench.true_size --model "$name" --random-weights $tuned "$@"; }
quality() { name=$1; shift; $python -m bench.quality --long 0 --only scores --cache "$work/quality" --sheets "$work/$name" --save "quality_$name" "$@"; }
graphs() { $python -m engines.build --model "$model" --size 1280x704 --graphs "$work/graphs" --export "$@"; }

for name in "$@"; do
    case $name in
    checkpoint) $python -m bench.random_checkpoint --model ti2v-5b --out "$model" ;;
    longlive)
        true_size longlive-5b --seconds 6 --runs 3 --fp8-attention --fp8-cache --text-waits --vae-frames 2 --minute \
            --differences --save true_size_longlive-5b
        ;;
    ti2v) true_size ti2v-5b --seconds 4 --steps 3 --runs 3 --fp8-attention --text-waits --vae-frames 2 --save true_size_ti2v-5b ;;
    a14b) true_size a14b --size 768x432 --seconds 2 --steps 4 --runs 2 --experts-wait --skip-diffusers --save true_size_a14b ;;
    graphs) # on the CPU: two at a time
        graphs text_encoder & pid=$!
        graphs layer_before layer_after vae_first vae_next
        wait "$pid" # by itself: only so a failure is told
        ;;
    plans) $python -m engines.build --model "$model" --size 1280x704 --profiles each --graphs "$work/graphs" ;;
    tensorrt-5b)
        $python -m bench.engines --model "$model" --backends eager tensorrt diffusers --profiles each --size 1280x704 \
            --seconds 4 --steps 4 --runs 5 --taking-turns $turns --save "engines_ti2v-5b_$gpu"
        ;;
    tensorrt) OMP_NUM_THREADS=8 $python -m bench.engines --backends eager compiled tensorrt --reference --rebuild --save "engines_$gpu" ;;
    tensorrt-bf16) OMP_NUM_THREADS=8 $python -m bench.engines --backends eager tensorrt --reference --precision bf16 --save "engines_${gpu}_bf16" ;;
    quality) # all at once: a GPU is idle for most of each; FP8's by four clips of each prompt, one of 171 is 0.6 point
        { quality torch; quality torch_seeds --seeds 4; } & pids=$!
        quality fp8 --fp8-error 0.04 --seeds 4 & pids="$pids $!"
        quality tensorrt --backend tensorrt --batch 0
        for pid in $pids; do wait "$pid"; done
        ;;
    memory-fit) # held: measured by itself, because a fit cannot tell it from the VAE's
        $python -m bench.memory_fit --model "$model" "" --backend torch --sizes 768x432 1280x720 --seconds 2 --steps 4 --write \
            --held transformer_activations=2.46 --save memory_fit_gpu
        ;;
    memory-check)
        $python -m bench.memory_fit --model "$model" --backend torch --check 3 --save memory_check_5b_gpu
        $python -m bench.memory_fit --backend torch --check --save memory_check_gpu
        ;;
    tests) # of many cores few: the reference on the CPU is slower on all of a busy machine's
        # shellcheck disable=SC2046 # file names, and no others: the page's tests need packages that a GPU machine may lack
        OMP_NUM_THREADS=8 $python -m pytest -q -m gpu -rs --tb=short $(grep -rl "mark.gpu" tests)
        ;;
    *) echo "bench/gpu.sh: $name: no such measurement" >&2; exit 2 ;;
    esac
done
