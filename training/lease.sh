#!/bin/sh
# All stages in three calls of under ten minutes each, behind one another on one machine: training/lease.sh 1|2|3 [OUT]
# Files of a call are copied to OUT. The first call starts from whatever lies in .train/run (nothing, or an unpacked checkpoint).
set -eu
call=$1 out=${2:-.train/out}
run=.train/run words=.train/tokenizer
stage() { name=$1; shift; training/launch.sh "training.$name" --folder $run "$@"; }
flow() { stage transformer --tokenizer $words --compile dynamic "$@"; }
mkdir -p "$out"
case $call in
1)
    CUDA_VISIBLE_DEVICES=0 python3 -m training.transformer --folder $run --tokenizer $words --minutes 1 \
        --compile dynamic --compile-only >"$out/compile.log" 2>&1 &
    stage vae --minutes 5.5 --compile --sizes 768x448 768x448 1280x736 576x1024
    wait
    flow --minutes 2.5 --part 0 0.18
    cp $run/vae.pt "$out"
    ;;
2)
    flow --minutes 9 --part 0.18 0.84
    cp $run/flow/*.pt "$out"
    ;;
3)
    flow --minutes 2.2 --part 0.84 1
    cp $run/flow/*.pt "$out"
    stage distill --tokenizer $words --minutes 4.5
    mkdir -p "$out/few"
    cp $run/few/*.pt "$out/few"
    ;;
esac
cp $run/*.jsonl "$out"
