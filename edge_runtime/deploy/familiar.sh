#!/bin/sh
# familiar as this device's service runs it: this release and its bundle, the system's configuration and state.
release=$(dirname "$(readlink -f "$0")")
export XDG_CONFIG_HOME=@ROOT@/etc
# What root makes in the state folder belongs to whom the folder does, so it must be the service's from the first.
if [ ! -d "${FAMILIAR_STATE:=@ROOT@/var/lib/familiar}" ] && [ "$(id -u)" = 0 ] && id @USER@ >/dev/null 2>&1; then
  install -d -m 700 -o @USER@ -g "$(id -g @USER@)" "$FAMILIAR_STATE"
fi
export FAMILIAR_STATE
export RUNTIME_DIRECTORY="${RUNTIME_DIRECTORY:-@ROOT@/run/familiar}"
export FAMILIAR_BUNDLE_PATH="$release/bundle"
exec "$release/venv/bin/familiar" "$@"
