#!/usr/bin/env bash
# The same workloads against EventVault and its peers, in one run, as one Markdown table: perf/results/DATE-peers.md.
#   perf/peers/run.sh [--install] [options]      the head of Program.cs lists the options
# --install: what is missing is installed by apt first (Debian or Ubuntu, as root or with sudo). Without it, a peer that is not
# installed is skipped, and the report says so. With --smoke the report is printed only.
# Servers run on free ports of 127.0.0.1, with data in a folder of their own, and are ended by their process ids.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n -E "$@"; fi
}

install_peers() {
  # Debian starts servers when it installs them; the policy keeps it from doing so, and goes away again.
  local policy=/usr/sbin/policy-rc.d ours=false status=0
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" > /dev/null
    as_root chmod +x "$policy"
    ours=true
  fi
  { as_root apt-get update -qq && DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends \
    postgresql nats-server redis-server etcd-server e2fsprogs > /dev/null; } || status=$?
  if [ "$ours" = true ]; then as_root rm -f "$policy"; fi
  return "$status"
}

install=false
smoke=false
output=false
arguments=()
for argument in "$@"; do
  case "$argument" in
    --install) install=true ;;
    *) arguments+=("$argument") ;;
  esac
  case "$argument" in
    --smoke) smoke=true ;;
    --output) output=true ;;
  esac
done

if [ "$install" = true ]; then install_peers; fi
if [ "$smoke" = false ] && [ "$output" = false ]; then
  arguments+=(--output "$here/../results/$(date -u +%F)-peers.md")
fi

dotnet build -c Release --nologo -v quiet -p:RunAnalyzers=false "$here" >&2
exec dotnet "$here/bin/Release/net10.0/EventVault.Peers.dll" "${arguments[@]}"
