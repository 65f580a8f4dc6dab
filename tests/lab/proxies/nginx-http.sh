#!/bin/sh
# nginx as an HTTP reverse proxy, in the foreground, with its defaults but for the limit on uploads.
# Usage: nginx-http.sh LISTEN_PORT BACKEND_PORT
set -eu
directory=$(mktemp -d)
chmod 755 "$directory"
trap 'rm -rf "$directory"' EXIT
cat >"$directory/nginx.conf" <<CONFIG
daemon off;
pid $directory/pid;
error_log stderr warn;
events {}
http {
    access_log off;
    client_max_body_size 0;
    client_body_temp_path $directory/body;
    proxy_temp_path $directory/proxy;
    fastcgi_temp_path $directory/fastcgi;
    uwsgi_temp_path $directory/uwsgi;
    scgi_temp_path $directory/scgi;
    server {
        listen 127.0.0.1:$1;
        location / {
            proxy_pass http://127.0.0.1:$2;
        }
    }
}
CONFIG
nginx -p "$directory" -e stderr -c "$directory/nginx.conf" &
trap 'kill "$!" 2>/dev/null || :; wait "$!" || :; rm -rf "$directory"' INT TERM EXIT
wait "$!"
