#!/usr/bin/env bash
# Times marque against Keras, PyTorch and OpenVINO on this processor, in turns. usage: bench/compare.sh [OPTIONS]
# (bench/compare.sh --help). Builds marque and sets up the others in MARQUE_PEERS (default build/peers, about 8 GB).
set -euo pipefail
cd "$(dirname "$0")/.."
peers=${MARQUE_PEERS:-build/peers}

# environment NAME PACKAGES...: a virtual environment, made unless it is complete.
environment() {
    local folder=$peers/$1
    shift
    [ ! -e "$folder/complete" ] || return 0
    python3 -m venv --clear "$folder"
    "$folder/bin/python" -m pip install -q --disable-pip-version-check "$@"
    touch "$folder/complete"
}

case " $* " in *" -h "* | *" --help "*) exec python3 bench/compare.py --help ;; esac
mkdir -p "$peers"
environment keras keras==3.15.1 tensorflow-cpu==2.21.0
environment torch torch==2.15.0 timm==1.0.31 openvino==2026.4.1 nncf
cmake --preset release >/dev/null
cmake --build build/release -j "$(nproc)" >/dev/null
exec python3 bench/compare.py --peers "$peers" "$@"
