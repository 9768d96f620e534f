#!/bin/sh
# The device's side of `familiar deploy`, called by it with arguments:
#   look     print what the device is; changes nothing
#   stage    make an empty folder of the caller's own for the upload, and print its name
#   clean    remove such a folder
#   install  make a release of what was uploaded, test it, switch to it; put everything back if a step fails
#   rollback switch to the release before the present one, likewise
#   status   print which release runs and how it is
# It prints what it does in lines of `fact NAME=VALUE`, `begin TEXT`, `step TEXT`, `log TEXT` and `fail TEXT`.
# shellcheck disable=SC2317  # cleanup and what it calls run from a trap
set -u
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 022

KEEP=3
LOOK_AT_PYTHON='
import importlib.util, os, struct, sys

venv = all(importlib.util.find_spec(name) for name in ("venv", "ensurepip"))
home = os.path.realpath(sys.base_prefix).startswith(("/home/", "/root/"))
print("%d.%d" % sys.version_info[:2], struct.calcsize("P") * 8, "venv" if venv else "-", "home" if home else "-")
'
COPY_GALLERY='
import os, sqlite3, sys
from edge_runtime.config import gallery_path, load_config

os.umask(0o077)
path = gallery_path(load_config())
if path.exists():
    sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True).backup(sqlite3.connect(sys.argv[1]))
'
MAKE_KEY='
from edge_runtime.config import gallery_path, key_path, load_config
from edge_runtime.storage.keys import load_key

config = load_config()
if not gallery_path(config).exists() and not key_path(config).exists():
    load_key(key_path(config), create=True)
    print(key_path(config))
'

fact() { printf 'fact %s=%s\n' "$1" "$2"; }
begin() { printf 'begin %s\n' "$1"; }
step() { printf 'step %s\n' "$1"; }
fail() {
  printf 'fail %s\n' "$1"
  exit 1
}

# --- look ---------------------------------------------------------------------------------------------------

# The nearest folder on the way to $1 that exists.
existing() {
  place=$1
  while [ ! -e "$place" ]; do
    place=$(dirname "$place")
  done
  printf '%s\n' "$place"
}

writable() {
  for wanted in "$prefix" "$config" "$state" "$bin"; do
    [ -w "$(existing "$wanted")" ] || return 1
  done
}

look() {
  fact architecture "$(uname -m)"
  # shellcheck source=/dev/null
  fact system "$(. /etc/os-release 2>/dev/null && printf '%s' "${PRETTY_NAME:-}")"
  for name in /usr/bin/python3 python3 python3.13 python3.12 python3.11; do
    interpreter=$(command -v "$name") || continue
    told=$("$interpreter" -c "$LOOK_AT_PYTHON" 2>/dev/null) || continue
    fact python "$told $interpreter"
  done
  fact free_kb "$(df -Pk "$(existing "$prefix")" | awk 'NR == 2 { print $4 }')"
  fact memory_kb "$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
  if [ "$(id -u)" = 0 ]; then
    fact rights root
  elif ! command -v sudo >/dev/null; then
    fact rights none
  elif sudo -n true 2>/dev/null; then
    fact rights sudo
  else
    fact rights password
  fi
  if writable; then fact writable yes; else fact writable no; fi
  if runs_systemd; then fact systemd yes; else fact systemd no; fi
  for group in video plugdev; do
    if getent group "$group" >/dev/null; then fact group "$group"; fi
  done
  for camera in /dev/video*; do
    if [ -e "$camera" ]; then fact camera "$camera"; fi
  done
  fact current "$(current_release)"
  tell_files
  if [ -e "$config/familiar.toml" ]; then
    fact configuration yes
  elif [ -d "$config" ] && [ ! -x "$config" ]; then
    fact configuration unknown
  else
    fact configuration no
  fi
}

runs_systemd() { [ -d "$root/run/systemd/system" ]; }

current_release() {
  target=$(readlink "$prefix/current") && basename "$target"
}

# What the release in use has of what it was sent: a file that is the same need not be sent again.
tell_files() {
  if [ -r "$prefix/current/SHA256SUMS" ]; then
    (cd "$prefix/current" && cut -c 67- SHA256SUMS | tr '\n' '\0' | xargs -0 sha256sum 2>/dev/null) | sed 's/^/fact have=/'
  fi
}

# --- status -------------------------------------------------------------------------------------------------

tell_status() {
  fact current "$(current_release)"
  for old in "$prefix"/releases/*; do
    if [ -e "$old/.complete" ]; then fact release "${old##*/}"; fi
  done
  if [ -z "$(current_release)" ]; then
    fact state 'not installed'
  else
    fact state "$(state_word)"
    fact bundle "$("$prefix/current/familiar" bundle show --json 2>/dev/null | sed -n 's/^ *"name": "\(.*\)",*$/\1/p' | head -n 1)"
  fi
}

# The state of the daemon that runs, in one word, as `familiar status` says it by its exit code.
state_word() {
  "$prefix/current/familiar" status >/dev/null 2>&1
  case $? in
    0) echo ok ;;
    20) echo degraded ;;
    21) echo failing ;;
    *) echo silent ;;
  esac
}

# --- stage, clean -------------------------------------------------------------------------------------------

make_stage() {
  # In the home folder: /tmp may be memory, and small. One left by a cut connection goes after a day.
  home=${HOME:-/var/tmp}
  find "$home" -maxdepth 1 -type d -name '.familiar-deploy.*' -mtime +1 -exec rm -rf {} + 2>/dev/null
  made=$(mktemp -d "$home/.familiar-deploy.XXXXXXXX") || fail "cannot make a folder in $home for the upload"
  fact stage "$made"
}

clean_stage() {
  case $stage in
    */.familiar-deploy.*) rm -rf "$stage" ;;
  esac
}

# --- install ------------------------------------------------------------------------------------------------

# The end of the log, then the reason.
fail_with_log() {
  tail -n "${2:-12}" "$log" | sed 's/^/log /'
  fail "$1"
}

is_root() { [ "$(id -u)" = 0 ]; }

as_service() {
  if is_root && [ "$user" != root ]; then runuser -u "$user" -- "$@"; else "$@"; fi
}

alone() {
  mkdir -p "$prefix/releases" || fail "cannot make $prefix/releases"
  exec 9>"$prefix/.deploy.lock"
  flock -n 9 || fail "another deployment into $prefix is under way; wait for its end"
  finished='' switched='' fresh='' saved_gallery='' previous=$(current_release)
  trap cleanup EXIT
  trap 'exit 129' HUP
  trap 'exit 130' INT
  trap 'exit 141' PIPE
  trap 'exit 143' TERM
}

install_release() {
  alone
  release=$prefix/releases/$id log=$prefix/releases/$id/install.log
  [ ! -e "$release" ] || fail "$release is there already; deploy again"
  fresh=yes
  sweep
  receive
  make_environment
  make_account
  self_test
  switch
  start
  : >"$release/.complete"
  finished=yes
  prune
}

# To the newest whole release that is older than the present one. Its folder stays, whatever happens.
roll_back() {
  alone
  [ -n "$previous" ] || fail "nothing is installed in $prefix"
  id=''
  for old in "$prefix"/releases/*; do
    [ "${old##*/}" != "$previous" ] || break
    if [ -e "$old/.complete" ]; then id=${old##*/}; fi
  done
  [ -n "$id" ] || fail "there is no release older than $previous to go back to"
  release=$prefix/releases/$id log=$prefix/releases/$id/rollback.log
  rm -rf "$release/previous" "$release/familiar.toml"
  self_test
  switch
  start
  finished=yes
  step "release $id is in use again; $previous stays"
}

# What a power cut left half-made.
sweep() {
  for old in "$prefix"/releases/*; do
    if [ -d "$old" ] && [ ! -e "$old/.complete" ] && [ "${old##*/}" != "$previous" ]; then rm -rf "$old"; fi
  done
}

receive() {
  mv "$stage" "$release" || fail "cannot move the upload to $release"
  reuse
  if is_root; then chown -R 0:0 "$release"; fi
  # The login's umask may be strict; a configuration stays closed until the service's group is known.
  chmod -R u=rwX,go=rX "$release"
  if [ -e "$release/familiar.toml" ]; then chmod 600 "$release/familiar.toml"; fi
  if [ -d "$release/photos" ]; then chmod 700 "$release/photos"; fi
  printf '%s  SHA256SUMS\n' "$sums" >"$release/.sums"
  (cd "$release" && sha256sum -c .sums && sha256sum -c SHA256SUMS) >"$log" 2>&1 ||
    fail_with_log "the files did not arrive as they were sent; deploy again"
  rm "$release/.sums"
  step "release $id arrived whole"
}

# Files that the release in use has already; their sums are checked with all others.
reuse() {
  [ -e "$release/REUSE" ] || return 0
  while read -r target source; do
    mkdir -p "$(dirname "$release/$target")"
    ln "$prefix/current/$source" "$release/$target" 2>/dev/null || cp "$prefix/current/$source" "$release/$target" ||
      fail "cannot take $source from the release in use; deploy again"
  done <"$release/REUSE"
  rm "$release/REUSE"
}

make_environment() {
  begin "installing familiar and what it needs into its own environment"
  "$python" -m venv "$release/venv" >>"$log" 2>&1 ||
    fail_with_log "$python cannot make a virtual environment; run there: sudo apt install python3-venv"
  set -- "$release"/familiar_edge-*.whl
  if [ -e "$release/lock.txt" ]; then
    set -- --no-deps --require-hashes --find-links "$release" --requirement "$release/lock.txt"
  else
    set -- "$1[$extras]"
  fi
  if [ -d "$release/wheelhouse" ]; then set -- --no-index --find-links "$release/wheelhouse" "$@"; fi
  set -- --disable-pip-version-check --no-input --progress-bar off --no-cache-dir --only-binary :all: "$@"
  "$release/venv/bin/python" -m pip install "$@" >>"$log" 2>&1 ||
    fail_with_log "pip could not install the runtime; the lines above say why"
  trim
  step "installed $("$release/venv/bin/familiar" --version 2>/dev/null) [$extras], $(du -sm "$release/venv" | cut -f1) MB"
}

# What no device uses, pip itself included, goes; the self-test shows that nothing else needed it.
trim() {
  "$release/venv/bin/python" -m pip uninstall --yes --quiet --disable-pip-version-check pip >>"$log" 2>&1
  for packages in "$release"/venv/lib/python3*/site-packages; do
    grep -v '^#' "$release/surplus.txt" | while read -r pattern; do
      case $pattern in
        '*/'*) find "$packages" -depth -name "${pattern#??}" -exec rm -rf {} + ;;
        *) rm -rf "${packages:?}/$pattern" ;;
      esac
    done
  done
}

make_account() {
  if is_root && ! id "$user" >/dev/null 2>&1; then
    # The group outlives an account that was removed, if somebody else is in it.
    if getent group "$user" >/dev/null; then set -- --gid "$user"; else set -- --user-group; fi
    useradd --system "$@" --no-create-home --home-dir "$state" --shell /usr/sbin/nologin "$user" >>"$log" 2>&1 ||
      fail_with_log "cannot make the account $user" 1
    step "made the account $user for the service"
  fi
}

# In a state folder of its own with a copy of the gallery, so that a running daemon notices nothing, and yet a
# bundle that does not go with the people enrolled is found out now.
self_test() {
  begin "testing the release"
  if [ -e "$release/familiar.toml" ]; then
    chosen=given
  elif [ -e "$config/familiar.toml" ]; then
    chosen=kept
  else
    chosen=new
    mv "$release/first.toml" "$release/familiar.toml"
  fi
  tested=$release/familiar.toml
  if [ "$chosen" = kept ]; then tested=$config/familiar.toml; else private "$release/familiar.toml"; fi
  trial=$release/self-test
  mkdir -m 700 "$trial"
  if is_root; then chown "$user:" "$trial"; fi
  log=$release/self-test.log
  as_service env HOME="$trial" FAMILIAR_CONFIG="$tested" FAMILIAR_STATE="$state" \
    "$release/venv/bin/python" -c "$COPY_GALLERY" "$trial/gallery.db" >"$log" 2>&1 </dev/null ||
    fail_with_log "the gallery cannot be read: $(tail -n 1 "$log")"
  if [ -n "$reembed" ] && [ -e "$trial/gallery.db" ]; then
    begin "making the embeddings again, on a copy of the gallery"
    if is_root; then chown -R "$user:" "$release/photos"; fi
    encode_again "$tested" "$trial" "$trial/gallery.db" ||
      fail_with_log "the embeddings cannot be made again: $(tail -n 1 "$log" | sed 's/^familiar: //')"
    step "the embeddings can be made again from the photos"
  fi
  as_service env HOME="$trial" FAMILIAR_CONFIG="$tested" FAMILIAR_STATE="$trial" RUNTIME_DIRECTORY="$trial" \
    FAMILIAR_GALLERY_PATH="$trial/gallery.db" "$release/familiar" run --self-test ${force:+--force "$force"} >"$log" 2>&1 </dev/null || {
    sed -i "s|$trial/|$state/|g" "$log"
    if [ -z "$reembed" ] && grep -q 'people reembed' "$log"; then
      fail_with_log "this bundle has another encoder than the people enrolled; deploy with --reembed --photos DIR"
    fi
    fail_with_log "the self-test did not pass: $(tail -n 1 "$log" | sed 's/^familiar: //')"
  }
  rm -rf "$trial"
  step "$(tail -n 1 "$log")"
  log=$release/${action}.log
}

# $1: configuration, $2: folder for everything else, $3: gallery.
encode_again() {
  # The daemon's own socket is none of its business, and a socket's path may not be long.
  set -- HOME="$2" FAMILIAR_CONFIG="$1" FAMILIAR_CONTROL_SOCKET=/run/no-daemon FAMILIAR_GALLERY_PATH="$3"
  as_service env "$@" "$release/familiar" people reembed --photos "$release/photos" >"$log" 2>&1 </dev/null
}

# The gallery of a stopped daemon, kept byte for byte until the new release has proved itself.
replace_embeddings() {
  gallery=$(as_service env HOME="$state" FAMILIAR_CONFIG="$config/familiar.toml" FAMILIAR_STATE="$state" \
    "$release/venv/bin/python" -c 'from edge_runtime.config import gallery_path, load_config; print(gallery_path(load_config()))')
  [ -e "$gallery" ] || return 0
  begin "making the embeddings again"
  if runs_systemd; then systemctl stop familiar.service 2>>"$log"; fi
  mkdir -m 700 "$release/previous/gallery"
  for file in "$gallery" "$gallery-wal" "$gallery-shm"; do
    if [ -e "$file" ]; then cp -p "$file" "$release/previous/gallery/" || fail "cannot keep a copy of the gallery"; fi
  done
  sync
  saved_gallery=$gallery
  encode_again "$config/familiar.toml" "$trial" "$gallery" ||
    fail_with_log "the embeddings could not be made again: $(tail -n 1 "$log" | sed 's/^familiar: //')"
  step "the embeddings were made again"
}

restore_gallery() {
  rm -f "$saved_gallery" "$saved_gallery-wal" "$saved_gallery-shm"
  cp -p "$release"/previous/gallery/* "$(dirname "$saved_gallery")/"
  step "the gallery is as it was"
}

# A configuration may hold passwords: the service reads it, others do not.
private() {
  chmod 640 "$1" && if is_root; then chown "0:$(id -g "$user")" "$1"; fi
}

switch() {
  mkdir -p "$config" "$state" "$units" "$bin" || fail "cannot make $config, $state, $units and $bin"
  if is_root; then
    chmod 750 "$config" && chown "0:$(id -g "$user")" "$config"
    chmod 700 "$state" && chown "$user:" "$state"
  fi
  mkdir "$release/previous" || fail "cannot make $release/previous"
  was_state=silent
  for saved in "$config/familiar.toml" "$units/familiar.service"; do
    if [ -e "$saved" ]; then cp -p "$saved" "$release/previous/"; fi
  done
  was_active='' was_enabled=''
  if runs_systemd; then
    if systemctl is-active --quiet familiar.service; then was_active=yes was_state=$(state_word); fi
    if systemctl is-enabled --quiet familiar.service 2>/dev/null; then was_enabled=yes; fi
  fi
  # A release that is not on the card yet must not become the current one.
  sync
  switched=yes
  if [ "$chosen" != kept ]; then replace "$release/familiar.toml" "$config/familiar.toml"; fi
  replace "$release/familiar.service" "$units/familiar.service"
  point_to "$id"
  if [ -L "$bin/familiar" ] || [ ! -e "$bin/familiar" ]; then
    ln -sfn "$prefix/current/familiar" "$bin/familiar"
  fi
  make_key
  if [ -n "$reembed" ]; then replace_embeddings; fi
  sync
  case $chosen in
    given) step "configuration as sent: $config/familiar.toml" ;;
    kept) step "configuration kept: $config/familiar.toml" ;;
    new) step "configuration made: $config/familiar.toml" ;;
  esac
}

# $1 beside its place, then over $2 at once: never half a file.
replace() {
  { cp -p "$1" "$2.new" && mv -f "$2.new" "$2"; } || fail "cannot write $2"
}

point_to() {
  { ln -sfn "releases/$1" "$prefix/current.new" && mv -T "$prefix/current.new" "$prefix/current"; } ||
    fail "cannot point $prefix/current to $1"
}

# The key is the installer's to make, so that the service needs no right to write into $config. Where a gallery
# is, its key is the owner's affair: another one would only hide that it is missing.
make_key() {
  made=$(XDG_CONFIG_HOME="$(dirname "$config")" FAMILIAR_STATE="$state" \
    "$release/venv/bin/python" -c "$MAKE_KEY" 2>>"$log") || fail_with_log "cannot make the device key"
  if [ -n "$made" ]; then
    if is_root; then chown "$user:" "$made"; fi
    step "device key made: $made"
  fi
}

start() {
  if ! runs_systemd; then
    step "systemd does not run here, so nothing was started"
    fact started no
    return
  fi
  begin "starting familiar.service"
  systemctl daemon-reload && systemctl enable --quiet familiar.service 2>>"$log"
  systemctl reset-failed familiar.service 2>/dev/null
  systemctl restart familiar.service 2>>"$log" || not_started
  begin "watching familiar.service for $watch s"
  process=$(systemctl show --property MainPID --value familiar.service)
  for _ in $(seq "$watch"); do
    systemctl is-active --quiet familiar.service || not_started
    [ "$(systemctl show --property MainPID --value familiar.service)" = "$process" ] || not_started
    sleep 1
  done
  state_now=$(state_word)
  # A camera that is lost was lost before, if that is so: no fault of this release.
  case $state_now in
    ok | degraded) ;;
    failing) [ "$was_state" = failing ] || not_healthy ;;
    *) not_healthy ;;
  esac
  fact started yes
  step "familiar.service is active; after $watch s its state is $state_now"
}

not_healthy() {
  "$prefix/current/familiar" status >"$log" 2>&1
  fail_with_log "familiar.service is not healthy: its state is $state_now, and was $was_state before"
}

not_started() {
  invocation=$(systemctl show --property InvocationID --value familiar.service)
  journalctl --output cat --no-pager --quiet \
    "_SYSTEMD_INVOCATION_ID=$invocation" + "INVOCATION_ID=$invocation" >"$log" 2>/dev/null
  reason=$(grep '^familiar: ' "$log" | tail -n 1)
  fail_with_log "familiar.service did not start${reason:+: ${reason#familiar: }}"
}

cleanup() {
  status=$?
  trap '' HUP INT TERM PIPE
  if [ -z "$finished" ]; then
    if [ -n "$switched" ]; then put_back; fi
    if [ -n "$fresh" ]; then rm -rf "$release"; fi
  fi
  rm -rf "${release:-/nonexistent}/photos" "${release:-/nonexistent}/previous/gallery"
  clean_stage
  exit "$status"
}

# Configuration, unit and link as they were; the old release runs again if it ran.
put_back() {
  if [ -n "$saved_gallery" ]; then
    if runs_systemd; then systemctl stop familiar.service 2>/dev/null; fi
    restore_gallery
  fi
  if [ "$chosen" != kept ]; then restore "$config/familiar.toml"; fi
  restore "$units/familiar.service"
  if [ -n "$previous" ]; then
    point_to "$previous"
  else
    rm -f "$prefix/current"
    if [ "$(readlink "$bin/familiar")" = "$prefix/current/familiar" ]; then rm "$bin/familiar"; fi
  fi
  runs_systemd || return
  if [ -z "$was_active" ]; then systemctl stop familiar.service 2>/dev/null; fi
  if [ -z "$was_enabled" ]; then systemctl disable --quiet familiar.service 2>/dev/null; fi
  systemctl daemon-reload
  if [ -n "$was_active" ]; then
    begin "starting the previous release again"
    systemctl reset-failed familiar.service 2>/dev/null
    if systemctl restart familiar.service 2>/dev/null; then
      step "the previous release $previous runs again"
    else
      printf 'fail the previous release did not start again either; run there: systemctl status familiar\n'
    fi
  fi
}

restore() {
  if [ -e "$release/previous/${1##*/}" ]; then
    replace "$release/previous/${1##*/}" "$1"
  else
    rm -f "$1"
  fi
}

# The last releases stay, to go back to; their wheels are needed no more, as the next deployment takes this one's.
prune() {
  for old in "$prefix"/releases/*; do
    if [ "$old" != "$release" ]; then rm -rf "$old/wheelhouse"; fi
  done
  set -- "$prefix"/releases/*
  while [ $# -gt "$KEEP" ]; do
    if [ "$1" != "$release" ] && [ "${1##*/}" != "$previous" ]; then rm -rf "$1"; fi
    shift
  done
}

# --- arguments ----------------------------------------------------------------------------------------------

main() {
  action=$1
  shift
  # The service's account may not enter the caller's folder.
  cd / || exit
  root='' prefix=/opt/familiar user=familiar stage='' id='' sums='' python='' extras='' force=''
  watch=20 reembed=''
  while [ $# -gt 0 ]; do
    case $1 in
      --root) root=$2 ;;
      --prefix) prefix=$2 ;;
      --user) user=$2 ;;
      --stage) stage=$2 ;;
      --id) id=$2 ;;
      --sums) sums=$2 ;;
      --python) python=$2 ;;
      --extras) extras=$2 ;;
      --force) force=$2 ;;
      --watch) watch=$2 ;;
      --reembed) reembed=$2 ;;
      *) fail "unknown argument $1" ;;
    esac
    shift 2
  done
  prefix=$root$prefix
  config=$root/etc/familiar state=$root/var/lib/familiar
  units=$root/etc/systemd/system bin=$root/usr/local/bin
  case $action in
    look) look ;;
    stage) make_stage ;;
    clean) clean_stage ;;
    install) install_release ;;
    rollback) roll_back ;;
    status) tell_status ;;
    *) fail "unknown action $action" ;;
  esac
}

main "$@"
exit
