#!/bin/bash
# A scan on many machines under Slurm: an array that examines, and a merge that waits for all of it.
#
#   MLMGUARD_KEY_FILE=~/.mlmguard-key bash slurm.sh CORPUS PARTS [OPTION…]
#
# Run it in the working folder, on a file system that every node sees, as the corpus and the key must be. Options
# are those of `mlmguard scan`. A lost part: the same line again; parts that are done end at once.
set -euo pipefail

corpus=$1 parts=$2
shift 2
: "${MLMGUARD_KEY_FILE:?name a key file that every node sees: each would make a key of its own}"
export MLMGUARD_KEY_FILE
[[ -s $MLMGUARD_KEY_FILE ]] || (umask 077 && head -c 32 /dev/urandom | od -An -v -tx1 | tr -d ' \n' >"$MLMGUARD_KEY_FILE")

scan=$(printf '%q ' mlmguard scan "$corpus" "$@" --quiet)

# $parts, not SLURM_ARRAY_TASK_COUNT: that is 1 where a single part is run again
array=$(sbatch --parsable --job-name=mlmguard-shard --array="1-$parts" --requeue \
  --cpus-per-task=8 --mem=8G --time=24:00:00 \
  --wrap "$scan --shard \$SLURM_ARRAY_TASK_ID/$parts")

# half a gigabyte of memory, and 100 bytes a document
sbatch --parsable --job-name=mlmguard-merge --dependency="afterok:${array%%;*}" \
  --cpus-per-task=2 --mem=32G --time=24:00:00 \
  --wrap "$scan --merge"
