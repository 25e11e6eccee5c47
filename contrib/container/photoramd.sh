#!/bin/sh
# photoramd in a container: as the user that PUID and PGID name, with what it keeps in /config.
# The entry point of the image, and what `docker exec photoramd photoramd status` runs.
set -eu

config=/config/config.toml
token=/config/gallery-token

die() {
  printf 'photoramd: %s\n' "$1" >&2
  shift
  [ $# = 0 ] || printf '  %s\n' "$@" >&2
  exit 78
}

# Whom a directory belongs to, and what others may do there, as in "0:0, drwxr-xr-x".
owner() { stat -c '%u:%g, %A' "$1"; }

# Sets as_user: what runs a command as the user, with no right to become another one.
choose_user() {
  as_user=''
  user="$(id -u):$(id -g)"
  [ "$(id -u)" = 0 ] || return 0
  user="${PUID:=1000}:${PGID:=1000}"
  case $PUID$PGID in
    *[!0-9]*) die "PUID and PGID must be numbers, not $user" "id -u and id -g print yours" ;;
  esac
  # Groups that the container was given (--group-add), but not root's.
  groups=$(id -G | tr ' ' '\n' | grep -vx 0 | paste -sd ,) || true
  as_user="setpriv --reuid=$PUID --regid=$PGID --no-new-privs"
  as_user="$as_user ${groups:+--groups=$groups}"
  [ -n "$groups" ] || as_user="$as_user --clear-groups"
  # Asked, as root has more numbers than 0: 00, and for setpriv 4294967296.
  # Where users have other numbers outside, as with docker or podman of a user, root is that user.
  [ "$($as_user id -u)" != 0 ] || ! grep -q '^ *0 *0 *4294967295$' /proc/self/uid_map \
    || die "it must not run as root" "set PUID and PGID to the numbers of whom the photos belong to"
}

choose_umask() {
  case ${UMASK:=022} in
    [0-7][0-7][0-7] | 0[0-7][0-7][0-7]) umask "$UMASK" ;;
    *) die "UMASK must be three digits from 0 to 7, such as 022, not $UMASK" ;;
  esac
}

# What the user sees: root without capabilities sees nothing in a directory that is closed to others.
exists() { $as_user test -e "$1"; }

# Docker makes directories that are not there yet, and they are root's.
is_just_made() {
  [ "$(id -u)" = 0 ] && [ "$(stat -c %u "$1")" = 0 ] && entries=$(ls -A "$1") && [ -z "$entries" ]
}

photoramd() { $as_user /opt/photoramd/bin/photoramd --config "$config" "$@"; }

check_config_directory() {
  mountpoint -q /config || die "/config must be a volume, or all is lost with the container" \
    "-v /a/directory/of/this/machine:/config"
  ! is_just_made /config || chown "$user" /config 2>/dev/null || true
  $as_user test -w /config || die \
    "user $user may not write in /config, which belongs to $(owner /config)" \
    "on the host: chown -R $user DIRECTORY; or set PUID and PGID to its owner"
}

make_config() {
  $as_user mkdir -p /config/cache
  ! exists "$config" || return 0
  # The daemon and the gallery may be started at once: one of them makes it.
  photoramd config init --photos /photos >/dev/null || exists "$config"
  echo "photoramd: $config is there now, and names /photos" >&2
}

check_photos() {
  if ! grep -q ' /photos' /proc/self/mountinfo; then
    echo "photoramd: there are no photos: -v /where/they/are:/photos" >&2
  elif mountpoint -q /photos && ! $as_user test -w /photos; then
    printf 'photoramd: %s\n  %s\n' \
      "user $user may not write in /photos, which belongs to $(owner /photos): no tags beside them" \
      "set PUID and PGID to the owner, or mount it writable, or set write = \"none\" in $config" >&2
  fi
}

choose_user
choose_umask
case ${1:-} in
  run)
    check_config_directory
    check_photos
    make_config
    ;;
  serve)
    check_config_directory
    make_config
    case " $* " in
      *" --token-file $token "*) exists "$token" || photoramd serve --new-token "$token" ;;
    esac
    ;;
esac
# As the first process it is to reap what hooks leave behind, which tini does. That must be the
# user's, as root without capabilities may not send it the signal to stop.
set -- /opt/photoramd/bin/photoramd --config "$config" "$@"
[ $$ != 1 ] || set -- tini -- "$@"
exec $as_user "$@"
