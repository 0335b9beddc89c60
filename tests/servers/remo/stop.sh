#!/bin/bash
# Stop what start.sh started in a run folder, and remove the folder:  stop.sh RUN_FOLDER
# Only the recorded process is signalled, and only if its command line shows that it is ours.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
[ -d "${1:?usage: stop.sh RUN_FOLDER}" ] || exit 0
DIR=$(cd "$1" && pwd)
. "$HERE/common.sh"

pid=$(server_pid)
if [ -n "$pid" ]; then
  kill -TERM "$pid" 2>/dev/null || true
  for _ in $(seq 50); do [ -n "$(server_pid)" ] || break; sleep 0.2; done
  if [ -n "$(server_pid)" ]; then kill -KILL "$pid" 2>/dev/null || true; fi
fi
PGBIN=$(pg_bin)
if [ -n "$PGBIN" ] && [ -s "$DIR/pg/data/postmaster.pid" ]; then
  as_pg "$PGBIN/pg_ctl" -D "$DIR/pg/data" -m fast -w stop >/dev/null || log "PostgreSQL did not stop"
fi
if [ -d "$DIR/pg" ] && [ -d "$DIR/home" ]; then rm -rf -- "$DIR"; fi
