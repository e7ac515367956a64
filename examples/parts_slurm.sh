#!/bin/bash
# One model by an array of Slurm's jobs, each of which writes its share of the files:
#
#     sbatch --array=1-8 examples/parts_slurm.sh model.toml /shared/model/
#
# The jobs need not run at once, on one machine, or know of each other. Whichever ends last writes the
# index. A job that failed is started again alone, by its number: sbatch --array=3 ... keeps N right
# only where PARTS says how many there are in all.
#SBATCH --job-name=seedbed
#SBATCH --cpus-per-task=4
set -euo pipefail

exec seedbed init "$1" -o "$2" --shards "${SHARDS:-64}" --resume \
    --part "$SLURM_ARRAY_TASK_ID/${PARTS:-$SLURM_ARRAY_TASK_COUNT}"
