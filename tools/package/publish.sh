#!/bin/sh
# publish.sh DIR [RUNTIME [OPTION…]]: puts the node and vault-admin into DIR, a file each that needs no .NET on the machine it runs on
# (linux-x64 unless RUNTIME says otherwise). Needs the .NET 10 SDK, which is given the options. What it builds on the way stands
# beside the result and is removed, so a working tree stays as it was.
set -eu
out=${1:?usage: publish.sh DIR [RUNTIME]}
runtime=${2:-linux-x64}
shift
[ $# = 0 ] || shift
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$(dirname "$0")/../.."
work=$(mktemp -d "$out/build-XXXXXX")
trap 'rm -rf "$work"' EXIT

publish() {
  project=$1 made=$2 name=$3
  shift 3
  dotnet publish "$project" -c Release -r "$runtime" --self-contained -p:PublishSingleFile=true -p:DebugType=none \
    --artifacts-path "$work/artifacts" -o "$work/$name" --nologo -v quiet "$@"
  # The file alone: what may stand beside it, such as settings for IIS, nobody reads.
  mv "$work/$name/$made" "$out/$name"
}

publish src/EventVault.Node EventVault.Node eventvault "$@"
publish tools/vault-admin vault-admin vault-admin "$@"
ls -l "$out/eventvault" "$out/vault-admin"
