#!/bin/sh
# Starts the program that is named: `/app/entrypoint.sh /app/tfrunner`, as in the public images.
# Certificates need no preparation here: bb-runner reads CUSTOM_CA_CERTS_PATH itself, so that a pod whose `command` leaves
# this script out trusts them as well. Nor does it take an init: as the first process bb-runner is one.
set -eu

case "${1-}" in
"") set -- /app/bb-runner ;;
*/*) ;;
*)
  if [ -x "/app/$1" ]; then
    program=/app/$1
    shift
    set -- "$program" "$@"
  fi
  ;;
esac
exec "$@"
