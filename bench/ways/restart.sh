#!/bin/sh
# restart.sh ROOT SERVICE: stands for `systemctl restart` of a unit whose working folder is ROOT/current
set -eu
root=$1 service=$2
if [ -e "$root/service.pid" ]; then kill "$(cat "$root/service.pid")"; fi
cd -P "$root/current"
setsid python3 -I -S "$service" 0 > "$root/service.log" 2>&1 < /dev/null &
echo $! > "$root/service.pid"
