#!/bin/sh
# Write all pins again from pyproject.toml: constraints.sh UV [all | PACKAGE...]
#   constraints.txt            versions of everything, development included
#   constraints-hashes.txt     the same versions with hashes: what a user installs, but for
#                              systemd-python, which is compiled where it is installed
#   contrib/container/requirements.txt  those of them that the container has
#   contrib/release-tools.txt  the tools of a release, with hashes
# Versions stay as they are where they still fit; those of the named packages are renewed.
# All hold for every supported Python and platform; the hashes are of all files that
# the index has. Where the index is stays out of them.
set -eu
cd "$(dirname "$0")/.."
uv="$1"
shift
upgrade=""
for package in "$@"; do
  if [ "$package" = all ]; then upgrade="--upgrade"; else upgrade="$upgrade --upgrade-package $package"; fi
done

compile() {
  target="$1"
  shift
  # shellcheck disable=SC2086  # several words on purpose
  "$uv" pip compile --quiet --universal --python-version 3.11 --no-header --no-emit-index-url \
    --no-emit-find-links --annotation-style line $upgrade --output-file "$target" "$@" >/dev/null
}

compile constraints.txt pyproject.toml --all-extras
compile constraints-hashes.txt pyproject.toml --extra all --constraint constraints.txt --generate-hashes \
  --no-emit-package systemd-python
compile contrib/container/requirements.txt pyproject.toml --extra raw --extra web --constraint constraints.txt \
  --generate-hashes
compile contrib/release-tools.txt --group pyproject.toml:release --constraint constraints.txt --generate-hashes
