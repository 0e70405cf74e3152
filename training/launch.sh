#!/bin/sh
# A training stage on every GPU of this machine: training/launch.sh training.vae --minutes 6 --folder .train/run
# Each process sees one GPU as number 0, so that all share the compiler's cache.
# FIRST_GPU and GPUS choose some of them, so that two runs share a machine.
exec torchrun --standalone --nproc-per-node "${GPUS:-$(nvidia-smi -L | wc -l)}" --no-python \
    sh -c 'export CUDA_VISIBLE_DEVICES="$((LOCAL_RANK + ${FIRST_GPU:-0}))"; exec python3 -m "$@"' sh "$@"
