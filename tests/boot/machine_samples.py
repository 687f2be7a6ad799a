"""The smallest metadata service that cloud-init's Ec2 datasource accepts, on a socket that the fabric opened."""

from __future__ import annotations

import http.server
import socket
import threading


def serve_metadata(listener: socket.socket, user_data: bytes, address: str) -> None:
    """Serves one instance to everyone who asks; ends with the socket."""
    meta = {
        "": "ami-id\ninstance-id\nlocal-hostname\nlocal-ipv4\nmac\nnetwork/\nplacement/",
        "ami-id": "ami-0",
        "instance-id": "i-1",
        "local-hostname": "gw-a",
        "local-ipv4": address,
        "mac": "02:00:00:00:00:01",
        "placement/": "availability-zone",
        "placement/availability-zone": "eu-west-1a",
        "network/": "interfaces/",
        "network/interfaces/": "macs/",
        "network/interfaces/macs/": "02:00:00:00:00:01/",
        "network/interfaces/macs/02:00:00:00:00:01/": "device-number\nlocal-ipv4s",
        "network/interfaces/macs/02:00:00:00:00:01/device-number": "0",
        "network/interfaces/macs/02:00:00:00:00:01/local-ipv4s": address,
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def do_PUT(self) -> None:
            self._answer(b"token")

        def do_GET(self) -> None:
            _, _, rest = self.path.lstrip("/").partition("/")
            kind, _, key = rest.partition("/")
            if kind == "user-data":
                self._answer(user_data)
            elif kind == "dynamic" and key.startswith("instance-identity"):
                self._answer(b"{}" if key.endswith("document") else b"document")
            elif kind == "meta-data" and key in meta:
                self._answer(meta[key].encode())
            else:
                self.send_error(404)

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler, bind_and_activate=False)
    server.socket.close()

    def serve() -> None:
        # Not serve_forever(), which spins on a socket that was shut down.
        while True:
            try:
                connection, client = listener.accept()
            except OSError:
                return
            server.process_request(connection, client)

    threading.Thread(target=serve, daemon=True).start()
