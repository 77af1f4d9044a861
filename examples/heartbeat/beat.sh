#!/bin/sh
# A worker that says that it is alive, in plain shell. It takes ten steps. In its first life it is stopped at the fifth,
# as by a debugger or by ctrl-Z.

# Tells ProcGuard something by sd_notify, where a client is installed.
notify() {
    if [ -n "${NOTIFY_SOCKET:-}" ] && command -v systemd-notify >/dev/null; then
        systemd-notify "$@" || true
    fi
}

# A heartbeat: any change of the file will do, and takes no process.
beat() {
    if [ -n "${PROCGUARD_HEARTBEAT_FILE:-}" ]; then : >"$PROCGUARD_HEARTBEAT_FILE"; fi
    notify WATCHDOG=1 "X_STEP=$1"
}

notify --ready --status="started"
step=0
while [ "$step" -lt 10 ]; do
    step=$((step + 1))
    sleep 0.3
    beat "$step"
    if [ "$step" -eq 5 ] && [ "${PROCGUARD_RESTART_COUNT:-0}" -eq 0 ]; then
        echo "shell: stops itself"
        kill -STOP $$
    fi
done
echo "shell: ten steps done"
