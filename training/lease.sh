#!/bin/sh
# All stages one behind the other on the GPUs of one machine, in about 27 minutes: setsid training/lease.sh new|more|few|match|next
# "new" makes everything from nothing; "more" goes on from .train/run (training.unpack puts what is shipped there), "few"
# goes on with the shipped student of the shipped teacher, "match" learns a reward (2c), then makes the student sharper by
# it (3b) on each GPU by itself, and "next" does that after seven minutes more of the teacher.
# Everything lies in .train/run afterwards; each stage's log in .train/logs. Nobody needs to stay connected meanwhile.
set -u
run=.train/run words=.train/tokenizer logs=.train/logs
mkdir -p $run $logs
stage() { name=$1; shift; training/launch.sh "training.$name" --folder $run "$@"; }
alone() { gpu=$1 name=$2; shift 2; CUDA_VISIBLE_DEVICES=$gpu python3 -m "training.$name" --folder $run "$@"; }
flow() { stage transformer --tokenizer $words --compile dynamic "$@" || stage transformer --tokenizer $words "$@"; }
last=$(($(nvidia-smi -L | wc -l) - 1))
# Stage 3b is bound by launches: two GPUs together are no faster than one, and the mean of what two make is better.
match() {
    stage reward --tokenizer $words --sizes 768x448 1280x736 --compile dynamic --minutes "$1" >$logs/reward.log 2>&1
    pids=
    for gpu in $(seq 0 $last); do
        own=.train/run-$gpu
        mkdir -p $own $run/few-$gpu
        for part in vae.pt text_encoder.pt flow reward.pt; do ln -sfn ../run/$part $own/$part; done
        ln -sfn ../run/few $own/start
        CUDA_VISIBLE_DEVICES=$gpu python3 -m training.matching --folder $own --tokenizer $words --minutes "$2" --resume start \
            --sizes 768x448 1280x736 --drawings 6 --tokens 48000 --images-share 0.4 --average 0.997 --lr 6e-4 --fake-lr 1e-3 \
            --fake-updates 5 --reward 0.5 --stress 1.7 --compile dynamic --seed $((41 + gpu)) >$logs/match-$gpu.log 2>&1 &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
    for gpu in $(seq 0 $last); do cp .train/run-$gpu/few/* $run/few-$gpu/; done
}
case $1 in
match)
    match 6 20
    exit
    ;;
next)
    flow --minutes 7 --small-until 0 --images-until 0.3 --lr 1.5e-3 >$logs/flow.log 2>&1
    match 5 13
    exit
    ;;
new)
    date +"%s words and autoencoder" >>$logs/times
    alone $last text_encoder --tokenizer $words --minutes 3 >$logs/text.log 2>&1 &
    alone 0 transformer --minutes 1 --tokenizer $words --compile dynamic --compile-only >$logs/compile.log 2>&1 &
    stage vae --minutes 5 >$logs/vae.log 2>&1
    alone 0 narrow --tokenizer $words --out $run/narrow >$logs/narrow.log 2>&1 && mv $run/narrow/* $run/
    date +"%s flow" >>$logs/times
    flow --minutes 14.5 >$logs/flow.log 2>&1
    few=5
    ;;
more)
    date +"%s flow" >>$logs/times
    flow --minutes 13.5 --small-until 0 --images-until 0.25 --lr 1.5e-3 >$logs/flow.log 2>&1
    few="10.5 --resume few --sizes 768x448 1280x736 --drawings 6 --lr 8e-4 --tokens 64000 --compile dynamic"
    ;;
few) few="26 --resume few --sizes 768x448 1280x736 --drawings 6 --lr 6e-4 --tokens 64000 --compile dynamic" ;;
esac
date +"%s few steps" >>$logs/times
stage distill --tokenizer $words --minutes $few >$logs/few.log 2>&1
date +"%s done" >>$logs/times
