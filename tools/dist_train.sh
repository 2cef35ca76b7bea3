#!/usr/bin/env bash
# Train on several GPUs (or, without a GPU, as many CPU processes):
#   tools/dist_train.sh CONFIG GPUS [arguments of train.py]
# TOOL names another tool than train.py, see dist_test.sh.
# Several machines: run it on each, with NNODES, NODE_RANK=0, 1, ..., MASTER_ADDR and PORT set.
set -euo pipefail
if [ $# -lt 2 ]; then
  echo "usage: $0 CONFIG GPUS [arguments of train.py]" >&2
  exit 2
fi
config=$1
gpus=$2
shift 2

# One machine finds a free port by itself; several must agree on one.
if [ "${NNODES:-1}" = 1 ] && [ -z "${PORT:-}" ]; then
  where=(--standalone)
else
  where=(--nnodes "${NNODES:-1}" --node_rank "${NODE_RANK:-0}"
    --master_addr "${MASTER_ADDR:-127.0.0.1}" --master_port "${PORT:-29500}")
fi
exec "${PYTHON:-python}" -m torch.distributed.run "${where[@]}" --nproc_per_node "$gpus" \
  "$(dirname "${BASH_SOURCE[0]}")/${TOOL:-train.py}" "$config" --launcher pytorch "$@"
