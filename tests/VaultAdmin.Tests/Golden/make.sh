#!/usr/bin/env bash
# make.sh NAME: makes NAME.tar.gz, a whole data directory as the node of this tree leaves it behind a stop in order, and NAME.txt.gz, what vault-admin says of it.
# GoldenDataTests opens it from then on, for ever: files that were released are never made again, a version with a new format makes another pair. Wants a build
# in Release: dotnet build -c Release tests/VaultAdmin.Tests.
set -euo pipefail
name=${1:?usage: make.sh NAME, such as the day of the version}
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../../.." && pwd)
[ ! -e "$here/$name.tar.gz" ] || { echo "$name is there already, and golden files never change." >&2; exit 1; }
work=$(mktemp -d)
node=
trap '[ -z "$node" ] || kill "$node" || true; rm -rf "$work"' EXIT

# Small segments; a scavenge only when it is asked for.
start() {
  : > "$work/ready"
  dotnet "$root/src/EventVault.Node/bin/Release/net10.0/EventVault.Node.dll" --data "$work/vault" --dev --port 0 --http-port 0 --segment-size 64KiB \
    --retention-interval 100 --scavenge-interval 0 --scrub-interval 0 --log-level warning > "$work/ready" &
  node=$!
  until grep -q '^EventVault ready' "$work/ready"; do kill -0 "$node"; sleep 0.05; done
  EVENTVAULT_ENDPOINT=http://$(sed -n 's/^EventVault ready: gRPC \([^,]*\),.*/\1/p' "$work/ready")
  export EVENTVAULT_ENDPOINT
}

stop() {
  kill -TERM "$node"
  wait "$node"
  node=
}

vault-admin() { dotnet "$root/tools/vault-admin/bin/Release/net10.0/vault-admin.dll" "$@"; }

# One JSON line an event. Ids count up, so that the same file is the same appends.
history() {
  python3 - "$@" <<'PYTHON'
import json, sys
first, count, streams, kind = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3].split(","), sys.argv[4]
for n in range(first, first + count):
    event = {"batch": n // 2, "stream": streams[n % len(streams)], "id": f"00000000-0000-4000-8000-{n:012d}", "type": f"{kind}{n % 3}",
             "data": {"n": n, "price": n / 100, "text": "grün " * (n % 7)}}
    if n % 2:
        event |= {"tags": [f"tag:{n % 5}", "größe:xl"], "metadata": {"correlationId": f"c-{n % 11}", "causationId": str(n)}}
    if n % 9 == 0:
        event |= {"occurredAt": 1500000000 + n, "schemaVersion": 3}
    if n % 10 == 3:
        del event["data"]
        event |= {"dataBase64": "AAEC/w==", "contentType": "application/octet-stream"}
    print(json.dumps(event))
PYTHON
}

start
history 0 600 order-1,order-2,order-3,user-ada,größe-1 Placed | vault-admin import -
vault-admin reducers define prices --slots 'sum = SUM(price), n = COUNT(*)' --category order
vault-admin streams truncate order-1 --before 40
vault-admin streams delete order-2
vault-admin streams tombstone user-ada
vault-admin streams retain --category größe --max-events 10
vault-admin streams retain order-3 --max-age 3650d --legal-hold
vault-admin append order-2 --type Again --data '{"price":1.5}' --operation-id 00000000-0000-4000-9000-000000000001
until [ "$(vault-admin streams show größe-1 --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["eventCount"])')" = 10 ]; do sleep 0.1; done
# Enough behind it that all of this is sealed before the scavenge's point, and one fold that is long enough for a state on the way.
history 600 1600 till-1 Sale | vault-admin import -
vault-admin state till-1 --slots 'n = COUNT(*), most = MAX(price)'
vault-admin scavenge --wait
history 2200 40 till-2,order-9 Late | vault-admin import -
stop

# A second start: terms and start numbers above 1, and a tail that is neither empty nor full.
start
vault-admin append order-9 --type Last --data '{"price":2}' --tag end
stop
rm "$work/vault/lock"
tar --create --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --directory "$work" vault | gzip -9n > "$here/$name.tar.gz"

start
while read -r command; do
  printf '$ vault-admin %s\n' "$command"
  # Words as they stand: none of them has a space.
  # shellcheck disable=SC2086
  vault-admin $command
done <<'COMMANDS' | gzip -9n > "$here/$name.txt.gz"
read --all --system --json
read --all --system --backwards --limit 50 --json
read order-1 --json
read --all --tag tag:1 --type Placed1 --json
count --category order --json
streams ls --json
streams retention --json
find-append 00000000-0000-4000-9000-000000000001 --json
reducers ls --json
state order-1 --reducer prices --json
state order-9 --at-version 3 --json
state till-1 --slots n=COUNT(*),most=MAX(price) --at-version 1200 --json
states --category order --reducer prices --at-position 2100 --json
COMMANDS
stop
ls -l "$here/$name.tar.gz" "$here/$name.txt.gz"
