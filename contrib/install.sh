#!/bin/bash
# Install photoramd as a systemd service, or take it away again. See --help.
set -euo pipefail
umask 022
export LC_ALL=C.UTF-8

usage() {
  cat <<'END'
Usage: contrib/install.sh --photos DIR... [--user NAME] [--group NAME] [--prefix DIR]
                          [--model NAME] [--gallery]
       contrib/install.sh --uninstall

Installs photoramd as a systemd service, as root. Run it again at any time: to upgrade, to
mend, or with other options. It never touches your photos, nor their owners or permissions.

  --photos DIR...  the directories with your photos; the service may write there and nowhere
                   else. The configuration is made with them if there is none yet
  --user NAME      whom the service runs as, a user who is there (default: photoramd, which is
                   made). It must be able to write beside your photos: simplest is the user they
                   belong to
  --group NAME     a further group of that user, such as the one that may write your photos
  --prefix DIR     where the program goes, a directory of its own (default: where it is, else
                   /opt/photoramd)
  --model NAME     the model of a new configuration: embedded (the default), or ram++, which needs
                   PyTorch; that and its weights are fetched, and their sizes are said before
  --gallery        the gallery too, for this machine only: docs/gallery.md tells more. A later run
                   keeps it
  --uninstall      stop the service and remove the program; photos, tags, configuration and
                   database stay
  --help           this text

PYTHON names the Python to use (default: python3). pip's own variables (PIP_INDEX_URL,
PIP_FIND_LINKS, PIP_NO_INDEX, ...) work as always, for a mirror or without a network.
PHOTORAMD_TORCH_INDEX is where PyTorch comes from on machines without an NVIDIA device (default:
https://download.pytorch.org/whl/cpu, which has builds for processors alone).
END
}

CONFIG=/etc/photoramd/config.toml
UNITS=/etc/systemd/system
DROPINS=$UNITS/photoramd.service.d
GALLERY=$UNITS/photoramd-gallery
WORKER=$UNITS/photoramd-worker
SYSCTL=/etc/sysctl.d/60-photoramd.conf
SYSUSERS=/etc/sysusers.d/photoramd.conf
LINK=/usr/local/bin/photoramd
MARK=made-by-photoramds-install.sh
# Beside it: what was installed, as a digest.
STAMP=installed-by-photoramds-install.sh
# While it is installed.
WHEELS='fetched-by-photoramds-install.sh'
# On the disk, and of those what is downloaded.
PROGRAM_MB=600 PROGRAM_FETCHED_MB=80
CPU_TORCH_MB=1200 CPU_TORCH_FETCHED_MB=200
CUDA_TORCH_MB=6400 CUDA_TORCH_FETCHED_MB=3000
RAM_PLUS_MB=3010
CPU_TORCH_INDEX=${PHOTORAMD_TORCH_INDEX:-https://download.pytorch.org/whl/cpu}
NVIDIA=/dev/nvidia0
# Where shells and man look.
BASH_COMPLETION=/usr/local/share/bash-completion/completions/photoramd
ZSH_COMPLETION=/usr/local/share/zsh/site-functions/_photoramd
FISH_COMPLETION=/etc/fish/completions/photoramd.fish
MAN=/usr/local/share/man/man1

say() { printf '\n== %s\n' "$*"; }
note() { printf '   %s\n' "$*"; }
die() {
  printf 'install.sh: %s\n' "$1" >&2
  shift
  printf '  %s\n' "$@" >&2
  exit 1
}

# Where an earlier run has put the program.
installed_prefix() {
  sed -n 's|^ExecStart=\(.*\)/bin/photoramd .*|\1|p' "$UNITS/photoramd.service" 2>/dev/null || true
}

parse_options() {
  prefix='' user='' group='' model='' gallery='' uninstall='' photos=()
  local count=$#
  while [ $# -gt 0 ]; do
    case $1 in
      --photos)
        shift
        [[ $# -gt 0 && $1 != --* ]] || die "--photos needs a directory"
        while [ $# -gt 0 ] && [[ $1 != --* ]]; do
          photos+=("$1")
          shift
        done
        ;;
      --prefix | --user | --group | --model)
        [ -n "${2:-}" ] || die "$1 needs a value"
        printf -v "${1#--}" %s "$2"
        shift 2
        ;;
      --gallery) gallery=yes && shift ;;
      --uninstall) uninstall=yes && shift ;;
      -h | --help) usage && exit 0 ;;
      *) die "unknown option: $1" "contrib/install.sh --help tells the options" ;;
    esac
  done
  [ -z "$uninstall" ] || [ "$count" = 1 ] || die "--uninstall and other options exclude each other"
  case $model in
    '' | embedded | ram++ | torchvision:*) ;;
    *) die "there is no model $model" "embedded, ram++ and those of docs/models.md can be named" ;;
  esac
  before=$(installed_prefix)
  prefix=${prefix:-${before:-/opt/photoramd}}
}

check_machine() {
  [ "$(id -u)" = 0 ] || die "this must run as root" "sudo contrib/install.sh ..."
  [ -d /run/systemd/system ] || die "systemd does not run this machine" \
    "docs/install.md tells of other ways"
  [[ $prefix =~ ^/[A-Za-z0-9._/-]+$ ]] || die "--prefix must be an absolute path of plain characters"
  [ -z "$user" ] || [[ $user =~ ^[a-z_][a-z0-9_.-]*$ ]] || die "--user: not a user name: $user"
  [ "$user" != root ] || die "--user root: photoramd must not run as root" \
    "name the user whom the photos belong to, or leave the option out"
  [ -z "$group" ] || getent group "$group" >/dev/null || die "there is no group $group"
}

# What the unit hides: ProtectHome= and PrivateTmp=.
is_hidden() {
  case $1 in
    /home | /root | /tmp | /var/tmp | /home/* | /root/* | /tmp/* | /var/tmp/*) return 0 ;;
    *) return 1 ;;
  esac
}

# What the service has to run.
check_visible() {
  ! is_hidden "$2" || die "$1: the service cannot see $2" \
    "home directories, /tmp and /var/tmp are hidden from it; name another place"
}

# Root runs what is in it, and --uninstall removes what is in it.
check_prefix() {
  local place=$prefix
  while [ "$place" != / ]; do
    [ ! -e "$place" ] || [ -O "$place" ] || die "--prefix: $place does not belong to root"
    place=$(dirname "$place")
  done
  if [ -d "$prefix" ] && [ -n "$(ls -A "$prefix")" ]; then
    [ -e "$prefix/pyvenv.cfg" ] || [ -e "$prefix/$MARK" ] || die \
      "--prefix: $prefix has other things in it" "name a directory that is not there yet"
  fi
}

check_photos() {
  if [ ${#photos[@]} = 0 ]; then
    [ -e "$CONFIG" ] || die "where are your photos?" "--photos DIR names a directory, or several"
    return 0
  fi
  local index directory
  for index in "${!photos[@]}"; do
    directory=${photos[$index]}
    [ -d "$directory" ] || die "not a directory: $directory" "mount it first, if it is a share or disk"
    directory=$(realpath -z -- "$directory" | tr '\0\n' '\n\t')
    [[ $directory != *[[:cntrl:]\"\\]* ]] || die "this cannot be named in a unit: $directory" \
      "rename it without quotes, backslashes and control characters"
    [[ $directory != *:* ]] || ! is_hidden "$directory" || die "this cannot be named in a unit: $directory" \
      "rename it without colons"
    [ "$directory" != / ] || die "--photos /: name the directory with the photos"
    photos[index]=$directory
  done
}

# What pip cannot bring: venv, and what systemd-python is compiled with.
check_python() {
  python=${PYTHON:-python3}
  command -v "$python" >/dev/null || die "there is no $python" "apt-get install python3 python3-venv"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die \
    "photoramd needs Python 3.11 or newer; this is $("$python" --version)" \
    "install one, then PYTHON=python3.12 contrib/install.sh ..., say"
  check_visible PYTHON "$("$python" -c 'import os, sys; print(os.path.realpath(sys.base_prefix))')"
  PYTHON=$python contrib/system-packages.sh service || die "system packages are missing"
}

# Says what will be downloaded, and whether there is room for it.
check_sizes() {
  local fetched=0 needed=0 place=$prefix free
  if [ ! -x "$prefix/bin/photoramd" ]; then
    fetched=$PROGRAM_FETCHED_MB needed=$PROGRAM_MB
    note "the program and its libraries: about $fetched MB to download"
  fi
  if [ "$torch" = cpu ] && [ "$torch_before" != cpu ]; then
    note "PyTorch for the processor, as there is no NVIDIA device: about $CPU_TORCH_FETCHED_MB MB"
    fetched=$((fetched + CPU_TORCH_FETCHED_MB)) needed=$((needed + CPU_TORCH_MB))
  elif [ "$torch" = cuda ] && [ "$torch_before" != cuda ]; then
    note "PyTorch with its libraries for NVIDIA devices: about $CUDA_TORCH_FETCHED_MB MB"
    grep -Eiqs '^PrivateDevices=(no|false|off|0)' "$DROPINS"/*.conf || {
      note "the service sees no such device, and uses the processor, unless a drop-in shows it:"
      note "the last lines of contrib/systemd/photos.conf.example (not tried), in $DROPINS/gpu.conf"
    }
    fetched=$((fetched + CUDA_TORCH_FETCHED_MB)) needed=$((needed + CUDA_TORCH_MB))
  fi
  if [ "$model" = ram++ ]; then
    note "the weights of ram++, unless they are there: $RAM_PLUS_MB MB, at the end"
  fi
  [ "$needed" -gt 0 ] || return 0
  while [ ! -d "$place" ]; do place=$(dirname "$place"); done
  free=$(df --output=avail -m "$place" | tail -1)
  [ "$free" -ge "$needed" ] || die \
    "$needed MB are needed for $prefix, and $free MB are free" "--prefix puts it elsewhere"
  note "about $fetched MB in all, which take $needed MB of the $free MB that are free"
}

# A later run keeps the user of an earlier one.
service_user() {
  local name=$user
  [ -n "$name" ] || name=$(sed -n 's/^User=//p' "$DROPINS/user.conf" 2>/dev/null || true)
  echo "${name:-photoramd}"
}

# A name that is mistyped must not become a user.
check_user() {
  local name
  name=$(service_user)
  [ "$name" = photoramd ] || getent passwd "$name" >/dev/null || die "there is no user $name" \
    "--user names one that is there; only photoramd is made by this script"
}

make_user() {
  local name
  name=$(service_user)
  if getent passwd "$name" >/dev/null; then
    note "user $name is there"
  else
    install -D -m 644 contrib/systemd/photoramd.sysusers.conf "$SYSUSERS"
    systemd-sysusers "$SYSUSERS"
  fi
}

install_user() {
  [ -z "$user$group" ] && [ -e "$DROPINS/user.conf" ] && return
  local name groups
  name=$(service_user)
  groups=$(sed -n '/^SupplementaryGroups=/p' "$DROPINS/user.conf" 2>/dev/null || true)
  [ -z "$group" ] || groups=SupplementaryGroups=$group
  install -d "$DROPINS"
  {
    echo "# Written by contrib/install.sh, and anew when it is run with --user or --group."
    echo "[Service]"
    echo "User=$name"
    echo "Group=$(id -gn "$name")"
    [ -z "$groups" ] || echo "$groups"
  } >"$DROPINS/user.conf"
}

# Says that the environment is not somebody else's. Before there is one.
mark_prefix() {
  [ ! -e "$prefix/pyvenv.cfg" ] || return 0
  mkdir -p "$prefix"
  touch "$prefix/$MARK"
}

# Which build of PyTorch is there: cpu, cuda or none.
installed_torch() {
  local version
  version=$("$prefix/bin/python" -c \
    'from importlib.metadata import version; print(version("torch"))' 2>/dev/null) || version=none
  case $version in
    none) echo none ;;
    *+cpu) echo cpu ;;
    *) echo cuda ;;
  esac
}

# Which is wanted. What is there stays, unless a model is asked for.
choose_torch() {
  torch_before=$(installed_torch)
  torch=$torch_before
  case $model in
    embedded) return ;;
    '')
      [ "$torch" = none ] || return 0
      grep -Eqs '^[[:space:]]*name[[:space:]]*=[[:space:]]*.(ram\+\+|torchvision:)' "$CONFIG" || return 0
      ;;
  esac
  torch=cpu
  if [ -e "$NVIDIA" ] || nvidia-smi -L >/dev/null 2>&1; then torch=cuda; fi
}

# Into a directory, so that nothing goes before the other build is there. Only these two come from
# the index of builds for processors; what they need comes with the rest.
fetch_torch() {
  local pins options=()
  mapfile -t pins < <(grep -Eo '^(torch|torchvision)==[^ ]+' constraints.txt)
  case $torch_before,$torch in
    *,none | none,cuda | cuda,cuda) return ;;
    cpu,cpu)
      # They satisfy the pins already.
      "$prefix/bin/python" -m pip install --dry-run --no-deps --no-index "${pins[@]}" >/dev/null 2>&1 && return
      ;;
  esac
  [ "$torch" = cuda ] || options=(--index-url "$CPU_TORCH_INDEX")
  "$prefix/bin/python" -m pip download --no-deps "${options[@]}" -d "$prefix/$WHEELS" "${pins[@]}"
}

remove_wheels() {
  rm -rf -- "${prefix:?}/$WHEELS"
}

# Whether the gallery is asked for, or there already.
has_gallery() {
  [ -n "${gallery:-}" ] || [ -e "$GALLERY.service" ]
}

# Whether a worker's service runs this program, which was put there by hand: docs/cluster.md.
has_worker() {
  grep -qs "^ExecStart=$1/bin/photoramd " "$WORKER.service"
}

extras() {
  local names=raw,systemd
  ! has_gallery || names=$names,web
  ! has_worker "${before:-$prefix}" || names=$names,worker
  [ "$torch" = none ] || names=$names,torch
  echo "$names"
}

# Of what the program is made from, and of what is in its environment now: the names, sizes and
# dates of the files there, so that what was changed by hand since is noticed.
program_digest() {
  {
    echo "$(extras) $torch"
    find photoramd pyproject.toml README.md LICENSE constraints.txt \
      -type f ! -path '*/__pycache__/*' -print0 | sort -z | xargs -0 sha256sum
    find "$prefix" ! -type d ! -path '*/__pycache__/*' ! -name "$STAMP" -printf '%P %l %s %T@\n' | sort
  } | sha256sum
}

# Then a run without a network gets by without pip.
is_up_to_date() {
  [ -e "$prefix/$STAMP" ] && [ "$torch" = "$torch_before" ] && \
    [ "$(cat "$prefix/$STAMP")" = "$(program_digest)" ]
}

install_program() {
  local extras wheels
  extras=$(extras)
  # The wheels of PyTorch are large; nobody misses a second copy of them.
  [ -n "${PIP_CACHE_DIR:-}" ] || export PIP_NO_CACHE_DIR=${PIP_NO_CACHE_DIR:-1}
  export PIP_DISABLE_PIP_VERSION_CHECK=1
  # What builds packages is pinned too: the first is for pip before 25.3, the second for later ones.
  export PIP_CONSTRAINT="constraints.txt${PIP_CONSTRAINT:+ $PIP_CONSTRAINT}"
  export PIP_BUILD_CONSTRAINT="constraints.txt${PIP_BUILD_CONSTRAINT:+ $PIP_BUILD_CONSTRAINT}"
  mark_prefix
  # The Python that it was made with may be gone, as after an upgrade of the system.
  if ! "$prefix/bin/python" -c 'import pip' 2>/dev/null; then
    [ ! -e "$prefix/$MARK" ] || remove_environment
    note "an environment of its own is made for it, some seconds"
    rm -f "$prefix/$STAMP"
    "$python" -m venv "$prefix"
  fi
  if is_up_to_date; then
    note "it is there, from these very sources"
  else
    trap remove_wheels EXIT
    remove_wheels
    fetch_torch || die "pip could not fetch PyTorch; its messages are above" \
      "nothing was replaced: run this again when the cause is mended" \
      "PHOTORAMD_TORCH_INDEX names another index for the build without NVIDIA's libraries"
    wheels=("$prefix/$WHEELS"/*.whl)
    [ -e "${wheels[0]}" ] || wheels=()
    "$prefix/bin/python" -m pip install -c constraints.txt ".[$extras]" "${wheels[@]}" || die \
      "pip could not install photoramd; its messages are above" \
      "it replaces nothing before all is fetched and built: run this again when the cause is mended"
    remove_wheels
    program_digest >"$prefix/$STAMP"
  fi
  if [ ! -e "$LINK" ] || [ -L "$LINK" ]; then
    ln -sfn "$prefix/bin/photoramd" "$LINK"
  fi
}

install_configuration() {
  if [ ! -e "$CONFIG" ]; then
    local options=() directory
    for directory in "${photos[@]}"; do options+=(--photos "$directory"); done
    [ -z "$model" ] || options+=(--model "$model")
    "$prefix/bin/photoramd" config init --path "$CONFIG" "${options[@]}" >/dev/null
    note "wrote $CONFIG"
    return
  fi
  note "$CONFIG is there and stays as it is"
  [ -z "$model" ] || grep -Eqs "^name = \"${model//+/\\+}\"" "$CONFIG" || note "name = \"$model\" under [model] in it chooses that model"
  [ ${#photos[@]} = 0 ] || "$prefix/bin/python" - "$CONFIG" "${photos[@]}" <<'END'
import os, sys, tomllib
try:
    with open(sys.argv[1], "rb") as file:
        watched = [os.path.realpath(each["path"]) for each in tomllib.load(file)["watch"]]
except Exception as error:
    print(f"   it cannot be read: {error!r}")
    sys.exit()
for directory in sys.argv[2:]:
    if directory not in watched:
        print(f"   {directory} is not in it: add a section [[watch]] with this path")
END
}

# As root, so that they are in the system's store. A download that was interrupted goes on.
fetch_weights() {
  "$prefix/bin/photoramd" model fetch "$model" || {
    note "they could not be fetched, and without them the service cannot run with this model"
    note "later: sudo photoramd model fetch $model && sudo systemctl restart photoramd"
  }
}

install_completion() {
  local shell file
  for shell in BASH ZSH FISH; do
    file=${shell}_COMPLETION
    "$prefix/bin/photoramd" completion "${shell,,}" | install -D -m 644 /dev/stdin "${!file}"
  done
  install -d "$MAN"
  rm -f "$MAN"/photoramd{,-*}.1
  "$prefix/bin/python" contrib/man_pages.py "$MAN"
}

# A path as systemd reads it in quotes.
quoted() {
  printf '"%s"' "${1//%/%%}"
}

install_unit() {
  sed "s|/opt/photoramd|$prefix|g" contrib/systemd/photoramd.service >"$UNITS/photoramd.service"
  [ ${#photos[@]} = 0 ] && return
  install -d "$DROPINS"
  local directory home=''
  {
    echo "# Written by contrib/install.sh, and anew when it is run with --photos."
    echo "[Service]"
    for directory in "${photos[@]}"; do
      if is_hidden "$directory"; then
        [[ $directory =~ ^(/var)?/tmp(/|$) ]] || home=yes
        echo "BindPaths=$(quoted "-$directory")"
      else
        echo "ReadWritePaths=$(quoted "-$directory")"
      fi
    done
    [ -z "$home" ] || echo "ProtectHome=tmpfs"
  } >"$DROPINS/photos.conf"
}

# Whether the configuration has a line NAME = "VALUE": is_configured NAME VALUE, a pattern.
is_configured() {
  grep -Eqs "^[[:space:]]*$1[[:space:]]*=[[:space:]]*[\"']$2[\"']" "$CONFIG"
}

# The unit's limits of memory are for the embedded model. docs/install.md#memory has those of ram++,
# which takes less with bfloat16; whether the processor has it only photoramd itself knows.
install_memory() {
  local high=4500M max=6G own
  rm -f "$DROPINS/10-model.conf"
  [ "$model" = ram++ ] || is_configured name 'ram\+\+' || return 0
  own=$(grep -Els '^Memory(High|Max)=' "$DROPINS"/*.conf || true)
  if [ -n "$own" ]; then
    note "the limits of its memory are those of ${own//$'\n'/ }; docs/install.md has what ram++ needs"
    return
  fi
  if is_configured precision bfloat16; then high=3G max=4G; fi
  install -d "$DROPINS"
  cat >"$DROPINS/10-model.conf" <<END
# Written by contrib/install.sh whenever it is run, for ram++; other drop-ins overrule it.
[Service]
MemoryHigh=$high
MemoryMax=$max
END
  note "ram++ needs more memory than the unit allows: $DROPINS/10-model.conf allows $max"
}

# The gallery runs as the daemon's user, and sees the photos, which it cannot change. Drop-ins with
# numbers come before those of systemctl edit.
install_gallery() {
  sed "s|/opt/photoramd|$prefix|g" contrib/systemd/photoramd-gallery.service >"$GALLERY.service"
  install -m 644 contrib/systemd/photoramd-gallery.socket "$GALLERY.socket"
  install -d "$GALLERY.service.d"
  [ ! -e "$DROPINS/user.conf" ] || ln -sfn "$DROPINS/user.conf" "$GALLERY.service.d/10-user.conf"
  [ ! -e "$DROPINS/photos.conf" ] || {
    echo "# Written by contrib/install.sh, and anew whenever it is run."
    sed -n -e '/^\[Service\]$/p; /^ProtectHome=/p; s/^BindPaths=/BindReadOnlyPaths=/p' "$DROPINS/photos.conf"
  } >"$GALLERY.service.d/10-photos.conf"
}

install_limits() {
  local wanted
  wanted=$(sed -n 's/^fs.inotify.max_user_watches *= *//p' contrib/systemd/photoramd.sysctl.conf)
  if [ "$(cat /proc/sys/fs/inotify/max_user_watches)" -ge "$wanted" ]; then
    note "as many are allowed already"
    return
  fi
  install -D -m 644 contrib/systemd/photoramd.sysctl.conf "$SYSCTL"
  sysctl -q -p "$SYSCTL" 2>/dev/null || note "could not be raised now; photoramd doctor tells if it matters"
}

# What was told to start and did not.
failed=''

start_service() {
  systemctl daemon-reload
  systemctl enable --quiet photoramd.service
  # Ends when the model is loaded and the directories are watched.
  systemctl restart photoramd.service || {
    failed="$failed photoramd.service"
    systemctl status --no-pager --full --lines=20 photoramd.service >&2 || true
    note "the service did not start; photoramd doctor may tell why:"
  }
}

# A socket that was disabled stays so, unless the gallery is asked for.
start_gallery() {
  local restart=try-restart
  systemctl daemon-reload
  # The socket cannot be renewed while the service has it.
  systemctl stop photoramd-gallery.service || true
  if [ -n "$gallery" ]; then
    systemctl enable --quiet photoramd-gallery.socket
    restart=restart
  fi
  systemctl "$restart" photoramd-gallery.socket || {
    failed="$failed photoramd-gallery.socket"
    note "it does not listen; systemctl edit photoramd-gallery.socket names another address:"
    systemctl status --no-pager --full --lines=5 photoramd-gallery.socket >&2 || true
    return
  }
  [ -n "$gallery" ] || return 0
  local place
  for place in $(systemctl show --property=Listen --value photoramd-gallery.socket | sed 's/ (.*//'); do
    case $place in
      /*) note "it listens at the socket $place" ;;
      *) note "it is at http://$place/" ;;
    esac
  done
  note "from another computer: docs/gallery.md"
}

# Only one that runs. Its units are not of this script, which changes the prefix in them alone.
restart_worker() {
  local old=${before:-$prefix}
  if has_worker "$old" && [ "$old" != "$prefix" ]; then
    sed -i "s|^ExecStart=$old/bin/photoramd |ExecStart=$prefix/bin/photoramd |" "$WORKER.service"
    note "$WORKER.service names $prefix now"
    systemctl daemon-reload
  fi
  has_worker "$prefix" || return 0
  systemctl try-restart photoramd-worker.service || {
    failed="$failed photoramd-worker.service"
    note "the worker did not start again; journalctl -u photoramd-worker tells why"
  }
}

# Its units too, if they are copies of ours. Not where the program stays.
stop_worker() {
  if [ ! -e "$prefix/$MARK" ] || ! has_worker "$prefix"; then return; fi
  local unit
  for unit in "$WORKER.socket" "$WORKER.service"; do
    [ -e "$unit" ] || continue
    systemctl disable --quiet --now "${unit##*/}" 2>/dev/null || true
    if sed "s|/opt/photoramd|$prefix|g" "contrib/systemd/${unit##*/}" | cmp -s - "$unit"; then
      rm -- "$unit"
    else
      note "$unit is not as it came with photoramd, and stays; it is disabled"
    fi
  done
}

remove_environment() {
  rm -rf -- "${prefix:?}"/{bin,include,lib,lib64,share,pyvenv.cfg,.gitignore,"$STAMP","$WHEELS"}
}

# Only what this script has made, and of that only what is of a virtual environment.
remove_program() {
  if [ -e "$prefix/$MARK" ]; then
    remove_environment
    rm -- "$prefix/$MARK"
    rmdir -- "$prefix" || note "$prefix has something else in it, which stays"
  elif [ -e "$prefix" ]; then
    note "$prefix was there before, and stays"
  fi
}

# With another --prefix the program has moved.
remove_former() {
  [ -n "$before" ] && [ -e "$before" ] && [ ! "$before" -ef "$prefix" ] || return 0
  say "Removing the program from $before"
  local prefix=$before
  remove_program
}

uninstall() {
  prefix=${before:-$prefix}
  say "Stopping the service"
  local unit
  for unit in photoramd-gallery.socket photoramd-gallery.service photoramd.service; do
    systemctl disable --quiet --now "$unit" 2>/dev/null || true
  done
  stop_worker
  say "Removing the program"
  rm -f "$GALLERY.service" "$GALLERY.socket" "$SYSCTL" "$SYSUSERS" \
    "$BASH_COMPLETION" "$ZSH_COMPLETION" "$FISH_COMPLETION" "$MAN"/photoramd{,-*}.1
  local place
  for place in "$DROPINS" "$GALLERY.service.d"; do
    rm -f "$place"/{,10-}photos.conf "$place"/{,10-}user.conf "$place/10-model.conf"
    rmdir "$place" 2>/dev/null || true
  done
  if [ "$(readlink "$LINK" 2>/dev/null || true)" = "$prefix/bin/photoramd" ]; then rm -f "$LINK"; fi
  remove_program
  # Last: it says where the program is, if this is interrupted and run again.
  rm -f "$UNITS/photoramd.service"
  systemctl daemon-reload
  say "Left as they are"
  note "your photos and their sidecars; the tags in them too"
  note "$(dirname "$CONFIG") and /var/lib/photoramd: configuration, database, models"
  note "the user of the service, whom they belong to"
}

# Only the service's user may read the database.
next_steps() {
  local name run=''
  name=$(sed -n 's/^User=//p' "$DROPINS/user.conf" 2>/dev/null || true)
  [ "$name" = "${SUDO_USER:-}" ] || run="sudo -u ${name:-photoramd} "
  say "What now?"
  [ ${#photos[@]} = 0 ] || note "copy a photo into ${photos[0]}: seconds later it is tagged"
  {
    echo "${run}photoramd status|what is done, waiting and wrong"
    echo "${run}photoramd query cat|photos of cats"
    has_gallery || echo "sudo contrib/install.sh --gallery|a gallery, for browsers of this machine"
  } | while IFS='|' read -r command meaning; do note "$(printf '%-36s  %s' "$command" "$meaning")"; done
}

main() {
  parse_options "$@"
  check_machine
  if [ -n "$uninstall" ]; then
    cd "$(dirname "$0")/.."
    uninstall
    exit 0
  fi
  check_prefix
  check_visible --prefix "$prefix"
  check_photos
  check_user
  cd "$(dirname "$0")/.."
  say "Checking Python and system packages"
  check_python
  say "What will be downloaded"
  choose_torch
  check_sizes
  say "The user of the service"
  make_user
  say "Installing the program into $prefix"
  install_program
  say "The configuration"
  install_configuration
  say "Completion for shells, and manual pages"
  install_completion
  case $model in
    '' | embedded) ;;
    *) say "The weights of $model" && fetch_weights ;;
  esac
  say "The limit of watched directories"
  install_limits
  say "The service"
  install_user
  install_unit
  install_memory
  start_service
  if has_gallery; then
    say "The gallery"
    install_gallery
    start_gallery
  fi
  restart_worker
  remove_former
  say "Is all well?"
  "$prefix/bin/photoramd" doctor || exit
  [ -z "$failed" ] || die "this did not start:$failed" \
    "journalctl -u NAME tells why, systemctl status NAME whether it has started since"
  next_steps
}

main "$@"
