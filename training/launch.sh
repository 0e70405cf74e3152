#!/bin/sh
# A training stage on every GPU of this machine: training/launch.sh training.vae --minutes 6 --folder .train/run
# Each process sees one GPU as number 0, so that all share the compiler's cache.
exec torchrun --nproc-per-node "${GPUS:-$(nvidia-smi -L | wc -l)}" --no-python \
    sh -c 'export CUDA_VISIBLE_DEVICES="$LOCAL_RANK"; exec python3 -m "$@"' sh "$@"
