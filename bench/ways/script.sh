#!/bin/sh
# script.sh VERSION DIGEST ARCHIVE PYTHON SSH_CONFIG HOST=ROOT…: scp and ssh to all hosts at once
set -eu
here=$(dirname "$0") version=$1 digest=$2 archive=$3 python=$4 config=$5
shift 5
jobs=""
for target in "$@"; do
  (
    host=${target%%=*} root=${target#*=}
    scp -q -F "$config" "$archive" "$host:$root/incoming.tar.gz"
    ssh -F "$config" "$host" sh -s "$root" "$version" "$digest" "$root/incoming.tar.gz" \
      "$here" "$python" < "$here/on_host.sh"
  ) &
  jobs="$jobs $!"
done
for job in $jobs; do wait "$job"; done
