#!/bin/sh
# familiar as this device's service runs it: this release and its bundle, the system's configuration and state.
release=$(dirname "$(readlink -f "$0")")
export XDG_CONFIG_HOME=@ROOT@/etc
export FAMILIAR_STATE="${FAMILIAR_STATE:-@ROOT@/var/lib/familiar}"
export RUNTIME_DIRECTORY="${RUNTIME_DIRECTORY:-@ROOT@/run/familiar}"
export FAMILIAR_BUNDLE_PATH="$release/bundle"
exec "$release/venv/bin/familiar" "$@"
