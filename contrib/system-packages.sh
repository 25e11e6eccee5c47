#!/bin/sh
# Install missing system packages, or say which they are: system-packages.sh demo|test|bench|test-systemd|test-container|service
# Where Debian has servers, which is in root's path only.
PATH="$PATH:/usr/sbin"
# package:command
wanted=""
[ "$1" = test ] && wanted="libimage-exiftool-perl:exiftool exiv2:exiv2 strace:strace darktable:darktable-cli zsh:zsh fish:fish shellcheck:shellcheck groff-base:groff mandoc:mandoc systemd:systemd-analyze nginx-light:nginx caddy:caddy chromium:chromium"
[ "$1" = bench ] && wanted="valgrind:valgrind"
[ "$1" = test-systemd ] && wanted="debootstrap:debootstrap systemd-container:systemd-nspawn"
[ "$1" = test-container ] && wanted="debootstrap:debootstrap podman:podman crun:crun netavark:/usr/lib/podman/netavark iptables:iptables"
missing=""
for pair in $wanted; do
  command -v "${pair#*:}" >/dev/null 2>&1 || missing="$missing ${pair%%:*}"
done
python="${PYTHON:-python3}"
"$python" -c 'import ensurepip, venv' 2>/dev/null || missing="$missing python3-venv"
if [ "$1" = test ] || [ "$1" = service ]; then
  # The Python package systemd-python is compiled when it is installed.
  command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
  pkg-config --exists libsystemd 2>/dev/null || missing="$missing libsystemd-dev pkg-config"
  "$python" -c 'import os, sysconfig; open(os.path.join(sysconfig.get_path("include"), "Python.h"))' \
    2>/dev/null || missing="$missing python3-dev"
fi
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing$missing"
  # shellcheck disable=SC2086  # several words on purpose
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null && exit 0
fi
echo "Missing system packages; please run: sudo apt-get install$missing" >&2
# The demo runs without them; the tests say themselves what they need.
case "$1 $missing" in service* | *python3-venv*) exit 1 ;; *) exit 0 ;; esac
