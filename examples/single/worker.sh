#!/bin/sh
# A job that fails FAILURES times (default 2) before it succeeds. ProcGuard tells it which restart this is.
restart=${PROCGUARD_RESTART_COUNT:?run me under procguard}
echo "$restart" >>"${RUN_DIR:-run}/attempts"
if [ "$restart" -lt "${FAILURES:-2}" ]; then
    echo "restart $restart: the database is not there yet" >&2
    exit 1
fi
echo "restart $restart: it works"
