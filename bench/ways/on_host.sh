#!/bin/sh
# on_host.sh ROOT VERSION DIGEST ARCHIVE WAYS PYTHON: the bare work of one host
set -eu
root=$1 version=$2 digest=$3 archive=$4 ways=$5 python=$6
echo "$digest  $archive" | sha256sum --check --quiet
mkdir -p "$root/releases/$version"
tar -xzf "$archive" -C "$root/releases/$version"
ln -sfn "releases/$version" "$root/current.new"
mv -T "$root/current.new" "$root/current"
exec sh "$ways/restart.sh" "$root" "$python"
