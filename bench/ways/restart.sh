#!/bin/sh
# restart.sh ROOT PYTHON: stands for `systemctl restart` of a unit that works in ROOT/current
set -eu
here=$(dirname "$0") root=$1 python=$2
if [ -e "$root/service.pid" ]; then kill "$(cat "$root/service.pid")"; fi
cd -P "$root/current"
setsid "$python" -I -S "$here/service.py" 0 > "$root/service.log" 2>&1 < /dev/null &
echo $! > "$root/service.pid"
