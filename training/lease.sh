#!/bin/sh
# All stages one behind the other on the GPUs of one machine, in about 27 minutes: setsid training/lease.sh new|more|few|next|sharper|pictures
# "new" makes everything from nothing; the others go on from .train/run (training.unpack puts what is shipped there): "more"
# with the teacher and a distilled student, "few" with that student alone, "next" with the teacher and beside it a reward
# (2c) and other wordings (3c), then on each GPU by itself with a student that is made sharper by the reward (3b), whose
# mean learns the wordings once more, more or less loud on each GPU, and is measured; "sharper" [minutes [reward minutes]]
# for few GPUs: the reward goes on (or begins), two students on each GPU, and their mean, alone and with what they began
# as; "pictures" [minutes] the autoencoder alone, made wider where room is left, so near the old latents that the student
# that there is needs to learn nothing. Everything lies in .train afterwards (packed checkpoints in .train/packed-*, .train/mean and .train/with, what they
# show in bench/results/next_*); each stage's log in .train/logs. Nobody needs to stay connected.
set -u
run=.train/run words=.train/tokenizer logs=.train/logs
mkdir -p $run $logs
gpus=$(nvidia-smi -L | wc -l)
last=$((gpus - 1))
stage() { name=$1; shift; training/launch.sh "training.$name" --folder $run "$@"; }
alone() { gpu=$1 name=$2; shift 2; CUDA_VISIBLE_DEVICES=$gpu python3 -m "training.$name" "$@"; }
flow() { stage transformer --tokenizer $words --compile dynamic "$@" || stage transformer --tokenizer $words "$@"; }
began() { date +"%s $*" >>$logs/times; }
packed() { # FOLDER OUT NETWORKS...: a student, or the mean of several, with the sampling that ships
    from=$1 to=$2; shift 2
    python3 -m training.pack --folder "$from" --networks "$@" --tokenizer $words --out "$to" --shift 5 --guidance-limit 0.02
}

# Stage 3b is bound by launches: two GPUs together are no faster than one, and the mean of what two make is better.
students() { # MINUTES COUNT TOKENS IMAGES_SHARE SEED; $names are theirs afterwards
    pids= names=
    for number in $(seq 0 $(($2 - 1))); do
        own=.train/student-$number names="$names ../student-$number/few"
        mkdir -p $own
        for part in vae.pt text_encoder.pt flow reward.pt; do ln -sfn ../run/$part $own/$part; done
        ln -sfn ../run/few $own/start
        alone $((number % gpus)) matching --folder $own --tokenizer $words --minutes "$1" --resume start --sizes 768x448 1280x736 \
            --drawings 6 --tokens "$3" --images-share "$4" --average 0.997 --lr 6e-4 --fake-lr 1e-3 --fake-updates 5 \
            --workers 5 --reward 0.5 --stress 2.2 --compile dynamic --seed $(($5 + number)) >$logs/student-$number.log 2>&1 &
        pids="$pids $!"
    done
    for pid in $pids; do wait "$pid"; done
    # shellcheck disable=SC2086 # several names
    packed $run .train/mean $names >$logs/mean.log 2>&1
}

measured() { # GPU STRESS: what the mean shows, whose text encoder makes rain so loud
    of=.train/stress-$2 out=.train/packed-$2
    python3 -m training.unpack --checkpoint .train/mean --teacher .train/teacher/transformer --folder "$of" --tokenizer "$of/tokenizer"
    alone "$1" paraphrase --folder "$of" --tokenizer $words --minutes 1.7 --pairs 10 --contrasts 6 --plain 4 --stress "$2" --seed 9
    packed "$of" "$out" few
    export CUDA_VISIBLE_DEVICES="$1"
    quality="python3 -m bench.quality --model $out --cache .train/readings --sheets .train/sheets/$2 --limit 500"
    $quality --only scores --long 250 --save "next_$2" & pid=$!
    $quality --only styles,weights --effects 30 --save "next_$2_effects"
    wait $pid
}

wordings() { # GPU: those that the student has not learnt yet; what is taught beside it hears the old ones until then
    mkdir -p .train/words
    cp -r $run/few .train/words/
    alone "$1" paraphrase --folder .train/words --tokenizer $words --minutes 5.5 --pairs 15 --contrasts 6 --plain 6 --seed 8
}

case $1 in
next)
    began teacher, reward and wordings
    teachers=$((gpus > 2 ? gpus - 2 : 1))
    if [ "$gpus" -gt 2 ]; then wordings $((last - 1)) >$logs/words.log 2>&1 & said=$!; else said=; fi
    (export GPUS=$teachers; flow --minutes 6 --small-until 0 --images-until 0.25 --sizes 384x224 768x448 1280x736 --lr 1.2e-3 \
        --average 0.998 --tokens 96000 --capacity 6000 --first-seconds 6 --draw-share 0.2 --seed 66 >$logs/flow.log 2>&1) & pid=$!
    alone $last reward --folder $run --tokenizer $words --minutes 5.8 --sizes 768x448 1280x736 --tokens 36000 --workers 10 \
        --drawings 10 --compile dynamic --seed 66 >$logs/reward.log 2>&1
    wait $pid $said
    if [ -n "$said" ]; then
        for of in $run $run/flow $run/few; do cp .train/words/few/text_encoder.pt $of/; done
    fi
    began students
    students 12 "$gpus" 48000 0.25 61
    python3 -m training.pack --folder $run --networks flow --tokenizer $words --out .train/teacher >$logs/teacher.log 2>&1
    began wordings
    pids= gpu=0
    for stress in 1 1.3 1.6 2; do
        [ $gpu -lt "$gpus" ] || break
        measured $gpu $stress >$logs/stress-$stress.log 2>&1 & pids="$pids $!"
        gpu=$((gpu + 1))
    done
    for pid in $pids; do wait "$pid"; done
    began done
    exit
    ;;
sharper)
    began reward
    # shellcheck disable=SC2046 # an argument or none
    stage reward --tokenizer $words --minutes "${3:-5}" --sizes 768x448 1280x736 --tokens 36000 --workers 8 --drawings 6 \
        --compile dynamic --seed 68 $([ -f $run/reward.pt ] && echo --resume) >$logs/reward.log 2>&1
    began students
    export PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True
    students "${2:-15}" $((2 * gpus)) 24000 0.25 81
    # shellcheck disable=SC2086 # several names
    packed $run .train/with $names few >$logs/with.log 2>&1
    began done
    exit
    ;;
pictures)
    began pictures
    mkdir -p .train/anchor && cp $run/vae.pt .train/anchor/
    python3 -m training.widen --folder $run --out .train/wide --encoder 48 --decoder 20 >$logs/widen.log 2>&1
    cp .train/wide/vae.pt $run/
    stage vae --minutes "${2:-20}" --anchor .train/anchor --anchor-weight 0.1 --kept 0.25 --styled 0.8 --noise 0.045 \
        --emphasis 1 --lr 1.2e-3 --capacity 96 --draw-share 0.2 --seed 91 >$logs/vae.log 2>&1
    packed $run .train/mean few >$logs/mean.log 2>&1
    began done
    exit
    ;;
new)
    began words and autoencoder
    alone $last text_encoder --folder $run --tokenizer $words --minutes 3 >$logs/text.log 2>&1 &
    alone 0 transformer --folder $run --minutes 1 --tokenizer $words --compile dynamic --compile-only >$logs/compile.log 2>&1 &
    stage vae --minutes 5 >$logs/vae.log 2>&1
    alone 0 narrow --folder $run --tokenizer $words --out $run/narrow >$logs/narrow.log 2>&1 && mv $run/narrow/* $run/
    began flow
    flow --minutes 14.5 >$logs/flow.log 2>&1
    few=5
    ;;
more)
    began flow
    flow --minutes 13.5 --small-until 0 --images-until 0.25 --lr 1.5e-3 >$logs/flow.log 2>&1
    few="10.5 --resume few --sizes 768x448 1280x736 --drawings 6 --lr 8e-4 --tokens 64000 --compile dynamic"
    ;;
few) few="26 --resume few --sizes 768x448 1280x736 --drawings 6 --lr 6e-4 --tokens 64000 --compile dynamic" ;;
esac
began few steps
# shellcheck disable=SC2086 # several arguments
stage distill --tokenizer $words --minutes $few >$logs/few.log 2>&1
began done
