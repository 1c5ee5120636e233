"""nginx with one worker process: a reply from its configuration, or files by sendfile(2).

python -m bench.contenders.nginx reply
"""

import argparse
import subprocess
import tempfile
import threading
from pathlib import Path

from bench.contenders import BACKLOG
from bench.contenders.applications import announce_when_ready, free_port
from bench.contenders.web import REPLY, make_files

CONFIGURATION = """\
daemon off;
worker_processes 1;
pid {folder}/pid;
error_log stderr crit;
events {{ worker_connections 16384; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    default_type text/plain;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen 127.0.0.1:{port} backlog={backlog};
        location / {{ {location} }}
    }}
}}
"""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=("reply", "files"))
    work = parser.parse_args().work
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)  # the worker is another user where root starts it
        make_files(folder)
        location = f'return 200 "{REPLY.decode()}";' if work == "reply" else f"root {folder};"
        port = free_port()
        configuration = Path(folder, "nginx.conf")
        configuration.write_text(
            CONFIGURATION.format(folder=folder, port=port, backlog=BACKLOG, location=location), encoding="utf-8"
        )
        threading.Thread(target=announce_when_ready, args=(port,), daemon=True).start()
        subprocess.run(["nginx", "-p", folder, "-c", str(configuration)], check=True)


if __name__ == "__main__":
    main()
