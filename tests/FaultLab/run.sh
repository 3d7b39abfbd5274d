#!/usr/bin/env bash
# The fault lab: real nodes, broken on purpose; docs/TESTING.md. Needs root, for namespaces of its own: everything that it makes
# (networks, mounts, processes) goes away with it, however it ends.
#   run.sh --list                     what there is
#   run.sh [--seed N] --all           everything, within 45 minutes
#   run.sh [--seed N] --short         what CI runs: some of them, with half as many faults
#   run.sh [--seed N] NAME…           some
# Others: --out DIR (reports), --keep (also of what was clean), --alone (one node instead of three), --node DLL (another build
# of the node), --no-build.
# Exit code 0: every checker was clean. 3: this machine can't run it.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
readonly cannot=3

missing() {
  echo "SKIPPED: the fault lab can't run here: $1." >&2
  exit "$cannot"
}

arguments=()
build=true
for argument in "$@"; do
  if [ "$argument" = --no-build ]; then build=false; else arguments+=("$argument"); fi
done

if [ "$build" = true ]; then
  dotnet build "$here/EventVault.FaultLab.csproj" -c Release -v quiet -nologo > /dev/null || { echo "The build failed." >&2; exit 1; }
fi

program="$here/bin/Release/net10.0/EventVault.FaultLab.dll"
if [ "${arguments[*]:-}" = --list ]; then
  exec dotnet "$program" --list
fi

[ "$(id -u)" = 0 ] || missing "it needs root"
for tool in unshare ip nft tc strace gcc mount; do
  command -v "$tool" > /dev/null || missing "$tool is not installed"
done
namespaces=(unshare --net --mount --pid --fork --kill-child --mount-proc --propagation private)
"${namespaces[@]}" ip netns list > /dev/null 2>&1 || missing "namespaces are not allowed"

# Names of network namespaces are files: a folder of our own for them, so that runs do not meet.
exec "${namespaces[@]}" bash -c 'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && exec dotnet "$@"' lab "$program" "${arguments[@]}"
