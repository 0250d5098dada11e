"""Starts `octet serve` on a free port for a test, and asks it things. Standard library only."""

import http.client
import json
import os
import re
import signal
import subprocess
import threading


class Server:
    """A running server; a context manager that ends it with SIGTERM and checks that it ends well."""

    def __init__(self, program, model, *flags, env=None):
        # Memory must not depend on how many arenas threads happen to open, nor on what a sanitizer holds back.
        sanitizer = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
        self.process = subprocess.Popen(
            [program, "serve", model, "--port", "0", "--log-format", "json", "--threads", "1", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "MALLOC_ARENA_MAX": "2", "ASAN_OPTIONS": sanitizer, **(env or {})})
        self.log = []
        self.listening = threading.Event()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()
        if not self.listening.wait(60):
            self.process.kill()
            raise RuntimeError("the server did not start: " + "".join(map(str, self.log)))
        if self.process.poll() is not None or not self.port:
            raise RuntimeError("the server ended: " + "".join(map(str, self.log)))

    def _read(self):
        self.port = 0
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "not JSON", "text": line}
            self.log.append(entry)
            if entry["event"] == "listening":
                self.port = entry["port"]
                self.listening.set()
        self.listening.set()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()
        self._close()

    def stop(self, number=signal.SIGTERM, timeout=30):
        """Returns the exit status."""
        self.process.send_signal(number)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        self._close()
        return status

    def _close(self):
        self.reader.join(10)
        self.process.stderr.close()

    def request(self, method, path, body=None, headers=None, timeout=30):
        """(status, headers, text)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            data = json.dumps(body) if isinstance(body, (dict, list)) else body
            connection.request(method, path, data, headers or {})
            response = connection.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            connection.close()

    def post(self, path, body, headers=None):
        """(status, parsed JSON)"""
        status, _, text = self.request("POST", path, body, headers)
        return status, json.loads(text)

    def metrics(self):
        """name{labels} -> value, without the label that all have"""
        text = self.request("GET", "/metrics")[2]
        found = {}
        for line in text.splitlines():
            if not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                name = re.sub(r'\{model_name="[^"]*",?', "{", name).replace("{}", "")
                found[name] = float(value)
        return found
