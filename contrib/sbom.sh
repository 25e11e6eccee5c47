#!/bin/sh
# List what a user of the release installs: sbom.sh CYCLONEDX-PY
# Installs dist/'s wheel into a new environment, everything by its hash, tries it on a picture,
# and writes dist/photoramd-VERSION.cdx.json, the bill of materials in CycloneDX's format.
set -eu
cyclonedx="$(realpath "$1")"
cd "$(dirname "$0")/.."
set -- dist/photoramd-*.whl
[ -f "$1" ] || { echo "dist/ has no wheel; make dist builds it" >&2; exit 1; }
wheel="$1"
version="$(basename "$wheel" | cut -d- -f2)"
directory=build/sbom
trap 'rm -rf "$directory"' EXIT
"${PYTHON:-python3}" -m venv --clear "$directory"
bin="$directory/bin"
"$bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r constraints-hashes.txt
"$bin/python" -m pip install --quiet --disable-pip-version-check --no-index --no-deps "$wheel"
"$bin/python" -m pip check
"$bin/photoramd" --version
"$bin/photoramd" model verify
"$bin/python" -c 'from PIL import Image; Image.new("RGB", (640, 480), "skyblue").save("build/sbom/sky.jpg")'
"$bin/photoramd" tag --confidence "$directory/sky.jpg"
# pip notes where the wheel was on this machine, which is nobody's business.
rm -f "$directory"/lib/python3.*/site-packages/photoramd-*.dist-info/direct_url.json
"$cyclonedx" environment --output-reproducible --spec-version 1.6 --of JSON \
  -o "dist/photoramd-$version.cdx.json" "$bin/python"
if grep -q 'file://' "dist/photoramd-$version.cdx.json"; then
  echo "dist/photoramd-$version.cdx.json names files of this machine" >&2
  exit 1
fi
sed -i '/\.cdx\.json$/d' dist/SHA256SUMS
(cd dist && sha256sum "photoramd-$version.cdx.json" >> SHA256SUMS)
echo "dist/photoramd-$version.cdx.json"
