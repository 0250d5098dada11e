"""The chat page of octet serve in headless Chromium, on models whose answers are known.

Run by ctest; by hand: python3 tests/server/page_test.py build/release/src/apps/octet
Without Chromium it is skipped, which --require-chromium makes a failure.
"""

import re
import sys
import tempfile
import time
import unittest

import chromium
import scripted_checkpoint
from octet_server import Server

PROGRAM = None  # from the command line
ANSWER = ["Look:\n", "```py\n", "print('<b>hi</b>')\n", "```\n", "and <img src=x onerror=alert(1)>", " that is", " all."]
OTHER = [*ANSWER[:-1], " not it."]
NAMES = ["--served-model-name", "scripted"]

# In the page: what it shows. Elements are found as a reader finds them.
LAST = "[...document.querySelectorAll('.answer')].at(-1)"
IDLE = "document.querySelector('#send').textContent === 'Send'"


class PageTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        scratch = tempfile.TemporaryDirectory()
        cls.addClassCleanup(scratch.cleanup)
        model = scripted_checkpoint.write(scratch.name + "/scripted", ANSWER)
        other = scripted_checkpoint.write(scratch.name + "/other", OTHER)
        cls.server = cls.start(model, "--kv-cache-dtype", "fp8")
        origin = ["--allowed-origins", cls.server.origin]
        cls.wide = cls.start(model, "--kv-cache-dtype", "float16", *origin)
        cls.guarded = cls.start(other, "--api-key", "open sesame", "--max-num-seqs", "1", "--max-queue", "0", *origin)
        cls.browser = chromium.Chromium()
        cls.addClassCleanup(cls.browser.__exit__)

    @classmethod
    def start(cls, model, *flags):
        server = Server(PROGRAM, model, *NAMES, *flags)
        cls.addClassCleanup(server.__exit__)
        server.origin = f"http://127.0.0.1:{server.port}"
        return server

    def setUp(self):
        self.browser.resize(1200, 800)
        self.browser.problems.clear()
        self.visit(self.server)

    def visit(self, server):
        self.browser.open(server.origin + "/")
        self.browser.value("sessionStorage.clear()")
        self.browser.open(server.origin + "/")
        self.browser.wait_for("document.querySelector('#dtype').textContent")

    def set(self, name, value):
        """Types into a setting."""
        self.browser.value(f"""{{ const field = document.querySelector('#settings [name="{name}"]');
            field.closest('details').open = true; field.focus(); field.select?.(); }}""")
        self.browser.type(value)
        self.browser.value("document.activeElement.dispatchEvent(new Event('change', {bubbles: true}))")
        self.browser.value("document.querySelector('#message').focus()")

    def check(self, name):
        self.browser.value(f"document.querySelector('#settings [name=\"{name}\"]').click()")

    def send(self, text, wait=True):
        self.assertEqual(self.browser.value("document.activeElement.id"), "message")
        answers = self.browser.value("document.querySelectorAll('.answer').length")
        self.browser.type(text)
        self.browser.press("Enter")
        self.browser.wait_for(f"document.querySelectorAll('.answer').length > {answers}")
        if wait:
            self.browser.wait_for(IDLE)

    def last(self, part=""):
        return self.browser.value(f"{LAST}?.querySelector({part!r})?.textContent" if part else f"{LAST}?.textContent")

    def test_chat_by_keyboard_alone(self):
        """A message of two lines is sent, the answer streams in, and its text stays text."""
        places = "JSON.stringify(['header', '#composer', '#panel'].map((part) => document.querySelector(part).getBoundingClientRect()))"
        before = self.browser.value(places)
        self.assertEqual(self.browser.value("document.activeElement.id"), "message")
        self.browser.type("Hello")
        self.browser.press("Enter", shift=True)
        self.assertEqual(self.browser.value("document.querySelectorAll('.answer').length"), 0)
        self.browser.press("Enter")  # the empty line at the end is not sent
        self.browser.wait_for(f"document.querySelector('.answer') && {IDLE}")
        self.assertEqual(self.browser.value("document.querySelector('.own').textContent"), "Hello")
        self.assertEqual(self.last("pre code"), "print('<b>hi</b>')")
        self.assertEqual(self.last("pre .lang"), "py")
        self.assertEqual(self.browser.value(f"{LAST}.querySelector('.text').lastChild.textContent"),
                         "and <img src=x onerror=alert(1)> that is all.")
        self.assertEqual(self.browser.value("document.querySelectorAll('#log b, #log img').length"), 0)
        for part in ("8 tokens", "first after", "prompt 8 tokens, 0 from the cache"):
            self.assertIn(part, self.last(".stats"))
        self.assertEqual(self.browser.value("document.activeElement.id"), "message")
        self.assertEqual(self.browser.value(places), before, "the layout jumped")
        self.send("Again")
        self.assertEqual(self.browser.value("messages().map(({role}) => role)"), ["user", "assistant"] * 2)
        self.assertEqual(self.browser.value("messages()[1].content"), "".join(ANSWER))
        self.browser.value(f"{LAST}.querySelector('.again').click()")
        self.browser.wait_for(IDLE)
        self.assertEqual(self.browser.value("document.querySelectorAll('.answer').length"), 2)
        self.assertEqual(self.browser.problems, [])

    def test_every_control_has_a_name_and_a_visible_focus(self):
        self.assertEqual(self.browser.value("""[...document.querySelectorAll('input, textarea, select, button')].filter((element) =>
            !(element.labels?.length || element.textContent.trim() || element.ariaLabel)).map((element) => element.outerHTML)"""), [])
        self.assertEqual(self.browser.value("document.querySelector('#log').getAttribute('aria-live')"), "polite")
        reached = []
        for _ in range(9):
            self.browser.press("Tab")
            reached.append(self.browser.value("document.activeElement.id || document.activeElement.name || document.activeElement.tagName"))
            self.assertNotEqual(self.browser.value("getComputedStyle(document.activeElement).outlineStyle"), "none", reached)
        self.assertEqual(reached[:5], ["send", "SUMMARY", "SUMMARY", "system", "temperature"])

    def test_escape_stops(self):
        self.set("max_tokens", "60000")
        self.check("ignore_eos")
        self.send("Hello", wait=False)
        self.browser.wait_for(f"{LAST}.textContent.includes('xyz')")
        self.assertEqual(self.browser.value("document.querySelector('#send').textContent"), "Stop")
        self.browser.wait_for("/[1-9]\\d* running/.test(document.querySelector('#cache').textContent)")
        self.browser.press("Escape")
        self.browser.wait_for(IDLE)
        self.assertRegex(self.last(".stats"), r"[1-9][\d,]* tokens[1-9][\d.]* tokens/s.*stopped")
        end = time.monotonic() + 5
        while self.server.metrics()["octet:kv_cache_used_blocks"] > 0:
            self.assertLess(time.monotonic(), end, "the server goes on after the page has stopped")
        self.assertTrue(self.browser.value("messages()[1].content").endswith(self.last(".text")[-10:]))

    def test_what_the_server_refuses_is_said_in_words(self):
        self.set("temperature", "-5")
        self.send("Hello")
        self.assertIn("The server refused the request: temperature", self.last(".problem"))
        self.assertEqual(self.browser.value("settings.field('temperature').getAttribute('aria-invalid')"), "true")
        self.assertIn("temperature", self.browser.value("document.querySelector('#fault-temperature').textContent"))
        self.set("temperature", "0")
        self.assertIsNone(self.browser.value("document.querySelector('#fault-temperature')"))
        self.assertIsNone(self.browser.value("settings.field('temperature').getAttribute('aria-invalid')"))
        self.send("Hello again")  # the failed question is left out
        self.assertEqual(self.browser.value("messages().map(({content}) => content)[0]"), "Hello again")
        self.set("top_k", "1.5")
        self.browser.type("More")
        self.browser.press("Enter")
        self.assertIn("top_k: expected a whole number", self.browser.value("document.querySelector('#notice').textContent"))
        self.assertEqual(self.browser.value("document.activeElement.name"), "top_k")

    def test_keys_full_servers_and_servers_that_are_gone(self):
        self.visit(self.guarded)
        self.browser.wait_for("document.querySelector('#notice').textContent.includes('asks for an API key')")
        self.send("Hello")
        self.assertIn("asks for an API key", self.last(".problem"))
        self.set("key", "wrong")
        self.browser.value(f"{LAST}.querySelector('.again').click()")
        self.browser.wait_for(f"{LAST}.textContent.includes('does not accept this API key') && {IDLE}")
        self.set("key", "open sesame")
        self.set("max_tokens", "60000")
        self.send("Hello")
        self.assertIn("not it.", self.last(".text"))
        self.assertNotIn("open sesame", self.browser.value("JSON.stringify(localStorage) + document.cookie"))
        self.check("ignore_eos")
        self.browser.value("document.querySelector('#message').focus()")
        self.send("A long answer", wait=False)
        self.browser.wait_for(f"{LAST}.textContent.includes('xyz')")
        self.browser.value("""new Promise((done) => settings.ownServer().streamChat({messages: messages().slice(0, 1)},
            undefined, () => {}).catch((error) => { document.title = error.message; done(); }))""")
        self.assertRegex(self.browser.value("document.title"), r"^The server is full: .* Try again in \d+ second")
        self.browser.press("Escape")
        self.browser.wait_for(IDLE)
        self.browser.value("settings.ownServer = () => new Server('http://127.0.0.1:1', '', true)")
        self.send("Is anybody there?")
        self.assertIn("The server does not answer", self.last(".problem"))

    def test_comparison_of_cache_dtypes(self):
        self.check("compare")
        self.set("other", self.wide.origin.removeprefix("http://") + "/v1/")
        self.browser.wait_for("document.querySelector('#other-state').textContent.includes('Its cache is float16')")
        self.send("Hello")
        self.assertEqual(self.browser.value(f"[...{LAST}.querySelectorAll('h3 span')].map((name) => name.textContent)"),
                         ["fp8_e4m3", "float16"])
        self.assertIn("The same answer: 8 tokens (11 words).", self.last(".verdict"))
        self.assertIsNone(self.last("mark"))
        # Another model stands for a cache that changes the answer.
        self.set("other", self.guarded.origin)
        self.set("otherKey", "open sesame")
        self.send("Hello")
        self.assertIn("The answers differ. The first 6 tokens", self.last(".verdict"))
        self.assertIn("fp8_e4m3 says “ all.” (100 %)", self.last(".verdict"))
        self.assertEqual(self.browser.value(f"[...{LAST}.querySelectorAll('mark')].map((mark) => mark.textContent)"), ["all.", "not"])
        self.set("other", "http://127.0.0.1:1")
        self.send("Hello")
        self.assertIn(f"--allowed-origins {self.server.origin}", self.last(".problem"))
        self.assertIn("no second answer", self.last(".verdict"))

    def test_phone(self):
        """At 360 px nothing is wider than the screen, and the settings take turns with the conversation."""
        self.browser.resize(360, 640, mobile=True)
        self.browser.value("document.querySelector('#message').focus()")
        self.send("W" * 300)
        fits = "document.documentElement.scrollWidth <= 360 && document.querySelector('#log').scrollWidth <= 360"
        self.assertTrue(self.browser.value(fits))
        self.assertIn("fp8_e4m3", self.browser.value("document.querySelector('#strip').textContent"))
        self.browser.value("document.querySelector('#toggle').click()")
        self.browser.value("for (const part of document.querySelectorAll('details')) part.open = true")
        self.assertTrue(self.browser.value(fits + " && document.querySelector('#panel').scrollWidth <= 360"))
        self.assertIsNone(self.browser.value("document.querySelector('#chat').offsetParent"))
        self.browser.press("Escape")
        self.assertTrue(self.browser.value("document.querySelector('#chat').offsetParent !== null"))

    def test_nothing_comes_from_elsewhere(self):
        page = self.server.request("GET", "/")[2]
        self.assertIsNone(re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\(", page))
        self.assertNotIn("innerHTML", page)
        self.assertEqual(self.browser.value(
            "performance.getEntriesByType('resource').filter(({name}) => !name.startsWith(location.origin + '/')).length"), 0)

    def test_text_that_grows_looks_like_text_that_is_whole(self):
        """And on the way nothing that is shown as text turns into code, or back."""
        texts = ["a\n```py\nx = 1\n```\nb", "```\nopen", "~~~\n```\n~~~\n", "a ``` b\n``` \n", "\n\n  text\n\n```a b\n\n\ny\n\n```", "`` `\n````\n```\n````", "``` b `c` d\n"]
        self.assertEqual(self.browser.value(f"""{texts!r}.filter((text) => {{
            const whole = new TextView(make("div")), grown = new TextView(make("div"));
            whole.update(text, false);
            let kinds = "", changed = false;
            for (let length = 1; length <= text.length; ++length) {{
                grown.update(text.slice(0, length), true);
                const now = grown.shown.map(({{code}}) => code ? "c" : "t").join("");
                changed ||= !now.startsWith(kinds);
                kinds = now;
            }}
            grown.update(text, false);
            return changed || whole.element.outerHTML !== grown.element.outerHTML;
        }})"""), [])


if __name__ == "__main__":
    required = "--require-chromium" in sys.argv
    if required:
        sys.argv.remove("--require-chromium")
    if chromium.PROGRAM is None:
        print("skipped: Chromium is not installed")
        sys.exit(1 if required else 77)
    PROGRAM = sys.argv.pop(1)
    unittest.main(verbosity=1)
