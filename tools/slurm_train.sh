#!/usr/bin/env bash
# Train on a Slurm cluster, one torchrun per node:
#   tools/slurm_train.sh PARTITION JOB_NAME CONFIG GPUS [arguments of train.py]
# GPUS counts all of them; GPUS_PER_NODE (8) and CPUS_PER_GPU (5) describe a node, PORT (29500)
# is where the nodes meet, SRUN_ARGS goes to srun as it is.
set -euo pipefail
if [ $# -lt 4 ]; then
  echo "usage: $0 PARTITION JOB_NAME CONFIG GPUS [arguments of train.py]" >&2
  exit 2
fi
partition=$1
job_name=$2
config=$3
gpus=$4
shift 4

per_node=${GPUS_PER_NODE:-8}
if [ "$gpus" -lt "$per_node" ]; then per_node=$gpus; fi
if [ $((gpus % per_node)) -ne 0 ]; then
  echo "$0: $gpus GPUs do not fill nodes of $per_node: set GPUS_PER_NODE to a divisor" >&2
  exit 2
fi
export nodes=$((gpus / per_node)) per_node port=${PORT:-29500} python=${PYTHON:-python}

# The first node of the job, known once the job runs, is where all meet.
# shellcheck disable=SC2016,SC2086
exec srun --partition "$partition" --job-name "$job_name" --nodes "$nodes" --ntasks "$nodes" \
  --ntasks-per-node 1 --gres "gpu:$per_node" --cpus-per-task $((per_node * ${CPUS_PER_GPU:-5})) \
  --kill-on-bad-exit 1 ${SRUN_ARGS:-} bash -c '
    first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
    exec "$python" -m torch.distributed.run --nnodes "$nodes" --node_rank "$SLURM_NODEID" \
      --nproc_per_node "$per_node" --master_addr "$first" --master_port "$port" "$@"
  ' torchrun "$(dirname "${BASH_SOURCE[0]}")/train.py" "$config" --launcher pytorch "$@"
