"""scripts/bench-serve on a scripted checkpoint, and that its client calls a broken answer broken."""

import contextlib
import json
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))
from chat_turns import LlamaAnswer, OctetAnswer, run_turns  # noqa: E402
from completion_load import run_load  # noqa: E402
from octet_server import Server  # noqa: E402
import scripted_checkpoint  # noqa: E402

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"text":"a"}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


@contextlib.contextmanager
def scripted_server(*answers):
    """(its port, the requests that it got): a server that sends these bytes to one request each, and hangs up."""
    listener, requests = socket.create_server(("127.0.0.1", 0)), []

    def serve():
        for answer in answers:
            with listener.accept()[0] as client:
                got = b""
                while not got.endswith(b"}"):
                    got += client.recv(65536)
                requests.append(json.loads(got.split(b"\r\n\r\n", 1)[1]))
                for piece in answer:
                    client.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1], requests
    thread.join()
    listener.close()


def ask(*sent):
    """What run_load makes of a server that sends these bytes to a request for two tokens."""
    with scripted_server(sent) as (port, _):
        return run_load(port, [{"prompt": [1, 2, 3], "max_tokens": 2}], 1)


def llama_says(prompt, cached):
    """Two tokens, 7 and 8, as llama-server's /completion writes them."""
    end = {"content": "", "tokens": [], "stop": True, "tokens_predicted": 2, "tokens_evaluated": prompt,
           "timings": {"cache_n": cached}}
    events = [{"content": "a", "tokens": [7], "stop": False}, {"content": "b", "tokens": [8], "stop": False}, end]
    return (CHUNKED, chunks(*(b"data: " + json.dumps(event).encode() + b"\n\n" for event in events)) + b"0\r\n\r\n")


class Client(unittest.TestCase):
    def test_a_whole_answer_counts_however_it_is_cut(self):
        body = TEXT + TEXT + USAGE % 2 + DONE
        for cut in (1, 10, len(TEXT), len(TEXT) + 7, len(body) - 3):
            result = ask(CHUNKED, chunks(body[:cut], body[cut:]) + b"0\r\n\r\n")
            self.assertEqual(result["failures"], [])
            self.assertEqual((result["prompt_tokens"], result["output_tokens"]), (3, 2))
            self.assertEqual(result["requests"], 1)
            self.assertIsNotNone(result["inter_token_latency"][1])

    def test_a_broken_answer_is_a_failure_and_counts_no_tokens(self):
        for name, sent in {
            "cut off": (CHUNKED, chunks(TEXT)),
            "without [DONE]": (CHUNKED, chunks(TEXT, TEXT, USAGE % 2) + b"0\r\n\r\n"),
            "one token short": (CHUNKED, chunks(TEXT, USAGE % 1, DONE) + b"0\r\n\r\n"),
            "an error within": (CHUNKED, chunks(TEXT, b'data: {"error":{"message":"no"}}\n\n', DONE) + b"0\r\n\r\n"),
            "refused": (b'HTTP/1.1 429 Too Many Requests\r\nContent-Length: 12\r\n\r\n{"error": {}}',),
            "no HTTP": (b"what\r\n\r\n",),
            "nothing": (),
        }.items():
            with self.subTest(name):
                result = ask(*sent)
                self.assertEqual(len(result["failures"]), 1)
                self.assertEqual(result["output_tokens"], 0)


class Turns(unittest.TestCase):
    def test_each_turn_sends_all_that_was_said(self):
        with scripted_server(llama_says(3, 0), llama_says(6, 4), llama_says(9, 7)) as (port, requests):
            first, later, whole = run_turns(port, LlamaAnswer, [[1, 2, 3]], [[4], [5]], 2)
        self.assertEqual([request["prompt"] for request in requests],
                         [[1, 2, 3], [1, 2, 3, 7, 8, 4], [1, 2, 3, 7, 8, 4, 7, 8, 5]])
        self.assertEqual([row["failures"] for row in (first, later, whole)], [[], [], []])
        self.assertEqual([row["requests"] for row in (first, later, whole)], [1, 2, 3])
        self.assertEqual((later["prompt_tokens"], later["cached_tokens"], later["output_tokens"]), (15, 11, 4))

    def test_a_server_that_forgets_fails(self):
        with scripted_server(llama_says(3, 0), llama_says(6, 0)) as (port, _):
            _, later, _ = run_turns(port, LlamaAnswer, [[1, 2, 3]], [[4]], 2)
        self.assertEqual(later["failures"], ["of 6 tokens the server had 0, expected 3"])

    def test_octet_keeps_what_was_said(self):
        with tempfile.TemporaryDirectory() as folder:
            scripted_checkpoint.write(folder, ["Hello"])
            with Server(OCTET, folder, "--served-model-name", "model", "--block-size", "8", "--max-model-len", "128",
                        "--kv-cache-memory-bytes", "1M") as server:
                contexts = [[number] * 40 for number in range(97, 103)]
                first, later, whole = run_turns(server.port, OctetAnswer, contexts, [[110] * 8, [111] * 8], 6)
        self.assertEqual(whole["failures"], [])
        self.assertEqual((first["output_tokens"], later["output_tokens"], first["cached_tokens"]), (36, 72, 0))
        self.assertEqual((first["prompt_tokens"], later["prompt_tokens"]), (6 * 40, 6 * (54 + 68)))
        # Of the second prompt the first, of the third the whole blocks of the second.
        self.assertEqual(later["cached_tokens"], 6 * (40 + 48))


class Program(unittest.TestCase):
    def test_every_request_is_counted(self):
        with tempfile.TemporaryDirectory() as folder:
            scripted_checkpoint.write(folder, ["Hello"])
            output = pathlib.Path(folder) / "measured.json"
            subprocess.run([sys.executable, "-B", ROOT / "scripts/bench-serve", folder, "--octet", OCTET, "--part",
                            "requests", "--part", "overflow", "--dtypes", "float32", "--requests", "20", "--threads",
                            "1", "--cache-bytes", "102400", "--output", output], check=True, timeout=100,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            measured = json.loads(output.read_text(encoding="utf-8"))
        self.assertEqual(len(measured["requests"]), 1)
        sixteen, eight = measured["overflow"]
        self.assertEqual((sixteen["output_tokens"], eight["output_tokens"]), (20 * 96, 20 * 96))
        # 100 KiB hold three whole requests of 16 bits and six of FP8, and none starts that would have to give way.
        self.assertEqual((sixteen["preemptions"], eight["preemptions"]), (0, 0))
        self.assertGreater(eight["most_running"], sixteen["most_running"])


if __name__ == "__main__":
    OCTET = sys.argv.pop(1)
    unittest.main()
