#!/usr/bin/env bash
# A private PostgreSQL for tests: a fresh cluster in a temporary folder, on a socket there and on no network.
#
# Prints its URL once it answers, runs until its standard input ends, and leaves nothing behind. As root it runs as
# `nobody`, because PostgreSQL refuses root. It must never touch a cluster of the machine.
set -euo pipefail

programs=$(find /usr/lib/postgresql -mindepth 2 -maxdepth 2 -name bin 2>/dev/null | sort -V | tail -n 1)
[ -n "$programs" ] || { echo "postgres.sh: PostgreSQL is not installed: apt-get install postgresql" >&2; exit 1; }

folder=$(mktemp -d "${TMPDIR:-/tmp}/holdfast-postgres.XXXXXXXX")
as_owner=()
if [ "$(id -u)" = 0 ]; then
    chown nobody "$folder"
    as_owner=(setpriv --reuid nobody --regid nogroup --clear-groups --)
fi
server=
clean_up() {
    # Immediate: what is in there is worth nothing any more.
    [ -z "$server" ] || { kill -QUIT "$server" 2>/dev/null || true; wait "$server" 2>/dev/null || true; }
    rm -rf "$folder"
}
trap clean_up EXIT
trap 'exit 143' INT TERM

cd /
"${as_owner[@]}" "$programs/initdb" --pgdata "$folder/data" --username holdfast --auth trust --encoding UTF8 --locale C \
    --no-sync >"$folder/log" 2>&1 || { cat "$folder/log" >&2; exit 1; }
"${as_owner[@]}" "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c max_connections=200 \
    </dev/null >>"$folder/log" 2>&1 &
server=$!
until "$programs/pg_isready" --quiet --host "$folder" --username holdfast; do
    kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; exit 1; }
    sleep 0.02
done
printf 'postgres://holdfast@localhost/postgres?host=%s\n' "$folder"
cat >/dev/null
