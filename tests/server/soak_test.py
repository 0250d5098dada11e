"""Sixteen clients that ask, cancel and talk nonsense at once; afterwards nothing may be missing or left over.

ctest runs it for seconds, `make soak` for a minute (SOAK_SECONDS=600 for ten); by hand:
python3 tests/server/soak_test.py build/release/src/apps/octet --seconds 60
"""

import argparse
import json
import random
import socket
import sys
import tempfile
import threading
import time

from octet_server import Server
import scripted_checkpoint

ALPHABET = "abcdefghijklmnopqrstuvwxyz"
CLIENTS = 16
# A server that leaks a kilobyte a request would grow by more than this in a minute.
MAX_GROWTH_BYTES = 16 << 20


def follow(prompt, count):
    """What the scripted checkpoint writes after a prompt."""
    last = ALPHABET.index(prompt[-1])
    return "".join(ALPHABET[(last + 1 + i) % 26] for i in range(count))


class Client(threading.Thread):
    def __init__(self, server, seed, end):
        super().__init__()
        self.server, self.random, self.end = server, random.Random(seed), end
        self.counts = {}
        self.failures = []

    def run(self):
        actions = [self.complete, self.complete, self.stream, self.stream, self.leave, self.leave_early, self.nonsense,
                   self.impossible]
        while time.monotonic() < self.end and not self.failures:
            action = self.random.choice(actions)
            try:
                action()
            except Exception as error:  # whatever it is, the soak has failed
                self.failures.append(f"{action.__name__}: {error!r}")
            self.counts[action.__name__] = self.counts.get(action.__name__, 0) + 1

    def body(self, **more):
        # Few beginnings, so that prompts meet in the prefix cache; long ones, so that the cache overflows.
        prompt = self.random.choice("abc") * self.random.choice([1, 40, 1500]) + self.random.choice(ALPHABET)
        return {"prompt": prompt, "max_tokens": self.random.choice([1, 8, 60, 400]), "n": self.random.choice([1, 1, 3]),
                "temperature": self.random.choice([0, 1]), **more}

    def expect(self, condition, what):
        if not condition:
            raise AssertionError(what)

    def complete(self):
        body = self.body()
        status, got = self.server.post("/v1/completions", body)
        if status == 429:
            return
        self.expect(status == 200, (status, got))
        texts = [choice["text"] for choice in got["choices"]]
        self.expect(texts == [follow(body["prompt"], body["max_tokens"])] * body["n"], texts)

    def send(self, body):
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        client = socket.create_connection(("127.0.0.1", self.server.port), timeout=60)
        client.sendall(b"POST /v1/completions HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(data) + data)
        return client

    def stream(self):
        body = self.body(stream=True)
        with self.send(body) as client:
            received = b""
            while piece := client.recv(65536):
                received += piece
        if b" 429 " in received[:20]:
            return
        lines = [line[6:] for line in received.decode().split("\n") if line.startswith("data: ")]
        self.expect(lines and lines[-1].strip() == "[DONE]", received[-300:])
        texts = [""] * body["n"]
        for line in lines[:-1]:
            for choice in json.loads(line)["choices"]:
                texts[choice["index"]] += choice["text"]
        self.expect(texts == [follow(body["prompt"], body["max_tokens"])] * body["n"], texts)

    def leave(self):
        with self.send(self.body(stream=True, max_tokens=2500)) as client:
            client.recv(self.random.choice([1, 2000]))

    def leave_early(self):
        self.send(self.body(stream=self.random.random() < 0.5, max_tokens=2500)).close()

    def nonsense(self):
        bad = self.random.choice([
            b"", b"{", b"[]", b"\xff\xfe", b"[" * 10000, b'{"prompt": 5}', b'{"prompt": "a", "n": -1}',
            b'{"prompt": "a", "temperature": "x"}', b'{"prompt": [999999999]}', b'{"prompt": "", "max_tokens": 1}',
            b'{"prompt": "a", "stop": [""]}', self.random.randbytes(200)])
        with self.send(bad) as client:
            answer = client.recv(65536)
        self.expect(answer.startswith(b"HTTP/1.1 400 "), (bad, answer[:100]))

    def impossible(self):
        status, got = self.server.post("/v1/completions", {"prompt": "a", "max_tokens": 10_000_000})
        self.expect(status == 400, (status, got))


def soak(program, seconds):
    with tempfile.TemporaryDirectory() as scratch:
        model = scripted_checkpoint.write(scratch, [], max_position_embeddings=4096)
        # The cache holds one sequence of 4,096 tokens and little more: requests push each other out.
        server = Server(program, model, "--max-num-seqs", "8", "--max-queue", "16", "--kv-cache-dtype", "fp8",
                        "--kv-cache-memory-bytes", "640K")
        with server:
            begin = time.monotonic()
            clients = [Client(server, seed, begin + seconds) for seed in range(CLIENTS)]
            for client in clients:
                client.start()
            # Memory is compared once everything has been in use for a while.
            time.sleep(seconds / 2)
            halfway = server.metrics()["process_resident_memory_bytes"]
            for client in clients:
                client.join()
            return report(server, clients, halfway)


def report(server, clients, halfway):
    failures = [failure for client in clients for failure in client.failures]
    for _ in range(200):
        metrics = server.metrics()
        if metrics["octet:kv_cache_used_blocks"] == 0:
            break
        time.sleep(0.05)
    for name in ("octet:kv_cache_used_blocks", "octet:num_requests_running", "octet:num_requests_waiting"):
        if metrics[name] != 0:
            failures.append(f"{name} is {metrics[name]} when all is over")
    growth = metrics["process_resident_memory_bytes"] - halfway
    if growth > MAX_GROWTH_BYTES:
        failures.append(f"memory grew by {growth:.0f} bytes in the second half")
    status = server.stop()
    if status != 0:
        failures.append(f"the server ended with status {status}")
    requests = [entry for entry in server.log if entry["event"] == "request" and entry["method"] == "POST"]
    counts = {}
    for client in clients:
        for name, count in client.counts.items():
            counts[name] = counts.get(name, 0) + count
    statuses = {}
    for entry in requests:
        statuses[entry["status"]] = statuses.get(entry["status"], 0) + 1
    for status in statuses:
        if status >= 500:
            failures.append(f"{statuses[status]} answers with status {status}")
    print("actions", counts)
    print("statuses", statuses, "preemptions", int(metrics["octet:num_preemptions_total"]),
          "aborted", int(metrics['octet:request_success_total{finished_reason="abort"}']))
    print(f"memory {metrics['process_resident_memory_bytes'] / 1e6:.1f} MB, {growth / 1e6:+.1f} MB in the second half")
    for failure in failures:
        print("FAILED:", failure)
    return 1 if failures else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--seconds", type=float, default=60)
    arguments = parser.parse_args()
    sys.exit(soak(arguments.program, arguments.seconds))
