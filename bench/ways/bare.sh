#!/bin/sh
# bare.sh VERSION DIGEST ARCHIVE PYTHON ROOT…: that work for all hosts at once, with nobody in between
set -eu
here=$(dirname "$0") version=$1 digest=$2 archive=$3 python=$4
shift 4
jobs=""
for root in "$@"; do
  sh "$here/on_host.sh" "$root" "$version" "$digest" "$archive" "$here" "$python" &
  jobs="$jobs $!"
done
for job in $jobs; do wait "$job"; done
