#!/bin/sh
# Write constraints.txt: every version that a fresh installation of everything brings now.
set -eu
cd "$(dirname "$0")/.."
directory="$(mktemp -d)"
trap 'rm -rf "$directory"' EXIT
"${PYTHON:-python3}" -m venv "$directory/venv"
"$directory/venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev,systemd]'
{
  echo "# What \`make demo\` and \`make test\` install. Regenerate with: make constraints"
  "$directory/venv/bin/python" -m pip freeze --all --exclude-editable --exclude pip \
    --disable-pip-version-check | grep -v ' @ ' | LC_ALL=C sort -f
} > constraints.txt
