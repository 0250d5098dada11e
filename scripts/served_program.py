"""A server under load on this machine: `octet serve` or llama.cpp's llama-server, started, watched and ended."""

import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request

_START_SECONDS = 120


class ServedProgram:
    """A running server; a context manager that ends it with SIGTERM. What it logs goes to `log`, a file."""

    def __init__(self, command, port, log):
        self.port, self.log = port, pathlib.Path(log)
        with self.log.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen([str(word) for word in command], stdout=out, stderr=subprocess.STDOUT,
                                            stdin=subprocess.DEVNULL)
        try:
            self._wait_until_healthy()
        except BaseException:
            self.process.kill()
            self.process.wait()
            raise

    def _wait_until_healthy(self):
        end = time.monotonic() + _START_SECONDS
        while time.monotonic() < end and self.process.poll() is None:
            try:
                self.get("/health")
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.1)
        tail = self.log.read_text(encoding="utf-8", errors="replace")[-2000:]
        raise RuntimeError(f"{tail}\nbench-serve: {self.process.args[0]} did not start; its log is {self.log}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as response:
            return response.read().decode()

    def cpu_seconds(self):
        """User and system time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def metric(text, name):
    """The value of octet:NAME in the text of /metrics."""
    return float(re.search(rf"^octet:{name}\{{[^}}]*\}} (\S+)$", text, re.MULTILINE).group(1))


class RunningWatch(threading.Thread):
    """Looks at /metrics 100 times a second: the most sequences that ran at once, and how often one was preempted."""

    def __init__(self, server):
        super().__init__()
        self.server, self.stopped = server, threading.Event()
        self.most, self.preemptions = 0, 0

    def look(self):
        text = self.server.get("/metrics")
        self.preemptions = int(metric(text, "num_preemptions_total"))
        self.most = max(self.most, int(metric(text, "num_requests_running")))

    def run(self):
        while not self.stopped.wait(0.01):
            self.look()

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.join()
        self.look()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def physical_cores():
    """What `octet serve` takes as its number of threads."""
    listed = subprocess.run(["lscpu", "-p=core,socket"], capture_output=True, text=True, check=True).stdout
    return len({line for line in listed.splitlines() if not line.startswith("#")})


def cache_bytes_per_token(config):
    """Of a 16-bit cache, from a checkpoint's config.json; twice what an FP8 cache needs."""
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim") or config["hidden_size"] // heads
    return config["num_hidden_layers"] * 2 * config.get("num_key_value_heads", heads) * head_dim * 2
