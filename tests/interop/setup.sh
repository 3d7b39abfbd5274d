#!/bin/sh
# Installs what the interop tests need: Debian's grpcio for python3, protoc, the node packages of the lock file, and
# strace, which makes a node's disk slow or broken.
# Run as root on Debian or Ubuntu with node and npm present.
set -eu
cd "$(dirname "$0")"
apt-get update
apt-get install -y --no-install-recommends python3 python3-grpcio python3-protobuf protobuf-compiler strace
npm ci --prefix node --ignore-scripts --no-audit --no-fund
