#!/bin/sh
# training/lease.sh where a machine is lent for minutes, each command ends soon, and what lies there is lost with it:
#   training/pieces.sh start sharper 14 4   go on from the shipped weights, then measure: in the background, returns at once
#   training/pieces.sh fetch SECONDS TO     wait so long, or until all is done; put into TO what is new since the last fetch
#   cat TO/few-0.tar.xz.* | tar xJ -C HERE  how the parts of one thing are put together again (HERE/.train/..., HERE/bench/...)
# What is fetched: the reward or the autoencoder, each student as it is while it learns and when it has learnt, what their means show, all logs.
# PART_BYTES limits a file. The packages that bench.quality needs (requirements.txt) have to be there.
set -eu
cd "$(dirname "$0")/.."
run=.train/run state=.train/pieces limit=${PART_BYTES:-15m}
python=${PYTHON:-python3}

shown() { # KIND NAME: what a mean shows, of a new autoencoder what is possible at all; its parts beside each other, because a GPU is idle for most of each
    quality="$python -m bench.quality --model .train/$2 --cache .train/readings/$2 --sheets .train/sheets/$2"
    also=
    [ "$1" != pictures ] || also=,ceilings
    $quality --limit 500 --long 250 --only scores$also --save "pieces_$2" & pids=$!
    if [ -n "$also" ]; then $quality --only psnr --save "pieces_$2_psnr" & pids="$pids $!"; fi
    $quality --only styles,weights --effects 30 --save "pieces_$2_effects" & pids="$pids $!"
    $quality --only denoise_strength,guidance_scale,steps,seed --save "pieces_$2_settings" & pids="$pids $!"
    for pid in $pids; do wait "$pid" || echo "pieces.sh: a part of $2 failed" >&2; done
}

put() { # NAME PATH...: packed and split, if any of it is newer than when it was put last, or was never put
    name=$1; shift
    mark=$state/put-$name
    # shellcheck disable=SC2046 # names without blanks
    set -- $(ls -d "$@" 2>/dev/null || true)
    [ $# -gt 0 ] || return 0
    if [ -f "$mark" ] && [ -z "$(find "$@" -type f -newer "$mark" | head -n 1)" ]; then return 0; fi
    touch "$mark.now"
    tar c "$@" | xz -1 -T0 | split -b "$limit" -d - "$to/$name.tar.xz."
    mv "$mark.now" "$mark"
}

case $1 in
start)
    shift
    mkdir -p $state
    $python -m training.unpack --checkpoint assets/embedded --teacher training/teacher --reward training/reader \
        --folder $run --tokenizer .train/tokenizer
    touch $state/began
    setsid sh training/pieces.sh work "$@" >$state/log 2>&1 </dev/null &
    ;;
work) # what start puts into the background
    shift
    trap 'touch $state/done' EXIT
    training/lease.sh "$@"
    touch $state/trained
    for name in mean with; do [ ! -d .train/$name ] || shown "$1" $name; done
    ;;
fetch)
    to=$(mkdir -p "$3" && cd "$3" && pwd) until=$(($(date +%s) + $2))
    while [ ! -f $state/done ] && [ "$(date +%s)" -lt "$until" ]; do sleep 1; done
    for part in reward vae; do
        [ ! -f $run/$part.pt ] || [ -z "$(find $run/$part.pt -newer $state/began)" ] || put $part $run/$part.pt
    done
    for student in .train/student-*; do put "few-${student##*-}" "$student/few"; done
    put shown bench/results/pieces_* .train/readings .train/sheets .train/logs $run/*.jsonl .train/student-*/*.jsonl $state/log
    for log in .train/logs/* $state/log; do [ ! -f "$log" ] || tail -n 2 "$log" | cut -c -300 | sed "s|^|$log: |"; done
    if [ -f $state/done ]; then echo "all is done"; elif [ -f $state/trained ]; then echo measuring; else echo training; fi
    ;;
*) echo "pieces.sh: $1: start or fetch" >&2; exit 2 ;;
esac
