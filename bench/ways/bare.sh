#!/bin/sh
# bare.sh VERSION DIGEST ARCHIVE ROOT…: that work for all hosts at once, with nobody in between
set -eu
here=$(dirname "$0") version=$1 digest=$2 archive=$3
shift 3
jobs=""
for root in "$@"; do
  sh "$here/on_host.sh" "$root" "$version" "$digest" "$archive" "$here" &
  jobs="$jobs $!"
done
for job in $jobs; do wait "$job"; done
