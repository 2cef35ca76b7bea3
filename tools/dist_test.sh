#!/usr/bin/env bash
# Test on several GPUs (or, without a GPU, as many CPU processes), as dist_train.sh trains:
#   tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of test.py]
set -euo pipefail
if [ $# -lt 3 ]; then
  echo "usage: $0 CONFIG CHECKPOINT GPUS [arguments of test.py]" >&2
  exit 2
fi
TOOL=test.py exec bash "$(dirname "${BASH_SOURCE[0]}")/dist_train.sh" "$1" "$3" "$2" "${@:4}"
