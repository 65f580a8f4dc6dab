#!/bin/sh
# nginx as a TCP proxy (its stream module), in the foreground, with its defaults.
# Usage: nginx-stream.sh LISTEN_PORT BACKEND_PORT
set -eu
directory=$(mktemp -d)
trap 'rm -rf "$directory"' EXIT
module=/usr/lib/nginx/modules/ngx_stream_module.so
cat >"$directory/nginx.conf" <<CONFIG
$([ -e $module ] && echo "load_module $module;")
daemon off;
pid $directory/pid;
error_log stderr warn;
events {}
stream {
    server {
        listen 127.0.0.1:$1;
        proxy_pass 127.0.0.1:$2;
    }
}
CONFIG
nginx -p "$directory" -e stderr -c "$directory/nginx.conf" &
trap 'kill "$!" 2>/dev/null || :; wait "$!" || :; rm -rf "$directory"' INT TERM EXIT
wait "$!"
