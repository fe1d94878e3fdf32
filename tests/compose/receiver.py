"""Receives webhooks and prints each as a JSON line with its headers and body."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        print(json.dumps({"headers": dict(self.headers), "body": body.decode()}), flush=True)
        self.send_response(204)
        self.end_headers()


HTTPServer(("", 8000), Handler).serve_forever()
