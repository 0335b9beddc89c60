#!/bin/bash
# Start a real Remo on 127.0.0.1:  start.sh RUN_FOLDER
# Installs what is missing, starts a PostgreSQL of its own and the server, waits until it answers, and prints one line of
# JSON: {"url": ..., "user": ..., "password": ...}. Everything else goes to stderr. While it runs, the line is printed again.
set -euo pipefail
HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
VENV=${REMO_VENV:-$HERE/../../../.cache/remo/venv}
mkdir -p "${1:?usage: start.sh RUN_FOLDER}"
DIR=$(cd "$1" && pwd)
. "$HERE/common.sh"

if [ -n "$(server_pid)" ] && [ -s "$DIR/state.json" ]; then
  cat "$DIR/state.json"
  exit 0
fi

# --- what has to be there ---------------------------------------------------------------------
apt_install() {
  [ "$(id -u)" = 0 ] || die "needs the packages $*: install them, or run as root"
  command -v apt-get >/dev/null 2>&1 || die "needs PostgreSQL and Python's venv, and there is no apt-get to install them"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq >&2 || die "apt-get update failed"
  apt-get install -y -qq --no-install-recommends "$@" >&2 || die "apt-get could not install $*"
}
if [ -z "$(pg_bin)" ]; then
  log "installing PostgreSQL"
  apt_install postgresql-common
  # Only the private cluster below is wanted, none for the whole system.
  conf=/etc/postgresql-common/createcluster.conf
  [ -f "$conf" ] && sed -i -E "s/^#? *create_main_cluster *=.*/create_main_cluster = false/" "$conf"
  apt_install postgresql
fi
PGBIN=$(pg_bin)
[ -n "$PGBIN" ] || die "no PostgreSQL server found"

PY=
for candidate in python3.11 python3.10 python3.9 python3; do
  if "$candidate" -c 'import sys; sys.exit(not ((3, 8) <= sys.version_info[:2] <= (3, 11)))' 2>/dev/null; then
    PY=$candidate
    break
  fi
done
[ -n "$PY" ] || die "needs a Python from 3.8 to 3.11: the server uses modules that were removed later"

want=$(sha256sum <"$HERE/requirements.txt")
if [ "$(cat "$VENV/complete" 2>/dev/null || true)" != "$want" ]; then
  log "installing the server"
  "$PY" -c 'import ensurepip, venv' 2>/dev/null || apt_install python3-venv
  rm -rf -- "$VENV"
  "$PY" -m venv "$VENV"
  "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps -r "$HERE/requirements.txt" \
    >"$DIR/pip.log" 2>&1 || { tail -n 20 "$DIR/pip.log" >&2; die "the server cannot be installed"; }
  printf '%s' "$want" >"$VENV/complete"
fi
PYTHON=$(cd "$VENV/bin" && pwd)/python

# --- a database of its own --------------------------------------------------------------------
free_port() { "$PYTHON" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
mkdir -p "$DIR/pg" "$DIR/home"
if [ "$(id -u)" = 0 ]; then
  chmod 755 "$DIR"
  chown postgres "$DIR/pg"
  as_pg test -w "$DIR/pg" || die "the user postgres cannot reach $DIR; choose a folder that it can"
fi
if [ ! -s "$DIR/pg/data/PG_VERSION" ]; then
  "$PYTHON" -c 'import secrets; print(secrets.token_hex(12))' >"$DIR/pg/password"
  if [ "$(id -u)" = 0 ]; then chown postgres "$DIR/pg/password"; fi
  chmod 600 "$DIR/pg/password"
  as_pg "$PGBIN/initdb" -D "$DIR/pg/data" -U remo -A scram-sha-256 --pwfile="$DIR/pg/password" -E UTF8 --no-locale \
    >"$DIR/initdb.log" 2>&1 || { cat "$DIR/initdb.log" >&2; die "initdb failed"; }
fi
if ! as_pg "$PGBIN/pg_ctl" -D "$DIR/pg/data" status >/dev/null 2>&1; then
  free_port >"$DIR/pg.port"
  options="-c listen_addresses=127.0.0.1 -p $(cat "$DIR/pg.port") -c unix_socket_directories= -c fsync=off"
  as_pg "$PGBIN/pg_ctl" -D "$DIR/pg/data" -w -l "$DIR/pg/log" -o "$options" start >/dev/null ||
    { tail -n 20 "$DIR/pg/log" >&2; die "PostgreSQL did not start"; }
fi
PGPORT=$(cat "$DIR/pg.port")
PGPASSWORD=$(cat "$DIR/pg/password")
export PGPASSWORD
psql_q() { "$PGBIN/psql" -h 127.0.0.1 -p "$PGPORT" -U remo -d postgres -Atqc "$1"; }
[ "$(psql_q "select 1 from pg_database where datname = 'remo'")" = 1 ] || psql_q "create database remo"

# --- the server -------------------------------------------------------------------------------
rm -f "$DIR/state.json" "$DIR/server.pid"
PORT=$(free_port)
# Every address outside that the server knows is pointed at a closed port of this machine; the shim refuses the rest.
(
  cd "$DIR"
  exec env -u PGPASSWORD HOME="$DIR/home" REMO_HOME="$DIR/home/.remo" REMO_UUID=test \
    DATABASE_URL="postgres://remo:$PGPASSWORD@127.0.0.1:$PGPORT/remo" \
    DJANGO_SETTINGS_MODULE=remo_app.config.standalone.settings \
    REMO_STATS_SERVER=http://127.0.0.1:9 REMO_TOKEN_SERVER=http://127.0.0.1:9 \
    SENDGRID_API_KEY=none HUBSPOT_API_KEY=none KNOWLEDGE_GRAPH_API_KEY=none \
    PYTHONPATH="$HERE/shim" PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 PORT="$PORT" \
    setsid "$PYTHON" "$HERE/launch.py" "$DIR" </dev/null >"$DIR/server.log" 2>&1
) &
for _ in $(seq 240); do
  [ -s "$DIR/state.json" ] && "$PYTHON" -c "import urllib.request as r; r.urlopen('http://127.0.0.1:$PORT/api/version', timeout=5)" 2>/dev/null && break
  sleep 0.5
done
[ -s "$DIR/state.json" ] || { tail -n 30 "$DIR/server.log" >&2; die "the server did not come up"; }
cat "$DIR/state.json"
