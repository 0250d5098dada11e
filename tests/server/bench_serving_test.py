"""scripts/bench-serve on a scripted checkpoint, and that its client calls a broken answer broken."""

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
from completion_load import run_load  # noqa: E402
import scripted_checkpoint  # noqa: E402

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TEXT = b'data: {"choices":[{"text":"a"}],"usage":null}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n'
DONE = b"data: [DONE]\n\n"


def chunks(*pieces):
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)


def ask(*sent):
    """What run_load makes of a server that sends these bytes to each request for two tokens, and hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        with listener.accept()[0] as client:
            while b"max_tokens" not in client.recv(65536):
                pass
            for piece in sent:
                client.sendall(piece)

    thread = threading.Thread(target=serve)
    thread.start()
    result = run_load(listener.getsockname()[1], [{"prompt": [1, 2, 3], "max_tokens": 2}], 1)
    thread.join()
    listener.close()
    return result


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
