#!/usr/bin/python3
"""Answers every POST with 200 and prints its body as one line; the first FAILURES of them get 503 instead."""

import http.server
import sys


class Sink(http.server.BaseHTTPRequestHandler):
    failures = int(sys.argv[3])

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        if Sink.failures > 0:
            Sink.failures -= 1
            self.send_response(503)
        else:
            print("webhook: " + body.replace("\n", " "), flush=True)
            self.send_response(200)
        self.end_headers()

    def log_message(self, *_):
        pass


print("listening", flush=True)
http.server.HTTPServer((sys.argv[1], int(sys.argv[2])), Sink).serve_forever()
