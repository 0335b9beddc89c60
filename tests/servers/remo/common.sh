# Sourced by start.sh and stop.sh. Needs: DIR, the run folder.
log() { printf 'remo: %s\n' "$*" >&2; }
die() { log "$*"; exit 1; }

# The folder with initdb and pg_ctl, of the newest PostgreSQL; nothing if there is none.
pg_bin() {
  local folder found=
  for folder in /usr/lib/postgresql/*/bin; do [ -x "$folder/initdb" ] && found=$folder; done
  if [ -z "$found" ] && command -v initdb >/dev/null 2>&1; then
    found=$(dirname "$(readlink -f "$(command -v initdb)")")
  fi
  printf '%s' "$found"
}

# The database server refuses to run as root.
as_pg() {
  if [ "$(id -u)" = 0 ]; then (cd / && runuser -u postgres -- "$@"); else "$@"; fi
}

# The pid of our own server if it is alive; a pid that was used again is told by its command line.
server_pid() {
  local pid
  [ -s "$DIR/server.pid" ] || return 0
  pid=$(cat "$DIR/server.pid")
  if [ -r "/proc/$pid/cmdline" ] && tr '\0' '\n' <"/proc/$pid/cmdline" | grep -qxF -- "$DIR"; then
    printf '%s' "$pid"
  fi
}
