#!/bin/sh
# HAProxy in tcp mode, in the foreground, with its defaults.
# Usage: haproxy-tcp.sh LISTEN_PORT BACKEND_PORT
set -eu
config=$(mktemp)
trap 'rm -f "$config"' EXIT
cat >"$config" <<CONFIG
global
    maxconn 1000
defaults
    mode tcp
    timeout connect 5s
    timeout client 60s
    timeout server 60s
frontend front
    bind 127.0.0.1:$1
    default_backend back
backend back
    server only 127.0.0.1:$2
CONFIG
haproxy -db -f "$config" &
trap 'rm -f "$config"; kill "$!" 2>/dev/null || :' INT TERM EXIT
wait "$!"
