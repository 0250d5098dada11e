"""Octet beside the rest of a process: signals, threads, forked children, two models, memory."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest

import checkpoints
import octet
from octet import LLM, SamplingParams

GREEDY = SamplingParams(temperature=0, max_tokens=8)


def answer(model: str) -> list[int]:
    return LLM(model).generate("abc", GREEDY, use_tqdm=False)[0].outputs[0].token_ids


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


class Process(checkpoints.TinyModel):
    def test_ctrl_c_stops_a_generation_and_leaves_the_llm_usable(self) -> None:
        llm = LLM(self.model)
        expected = llm.generate("abc", GREEDY, use_tqdm=False)[0].outputs[0].token_ids
        started = time.monotonic()
        # Far more than a second of work, so that the signal meets it.
        endless = SamplingParams(max_tokens=240, ignore_eos=True)
        timer = threading.Timer(0.3, lambda: os.kill(os.getpid(), signal.SIGINT))
        timer.start()
        with self.assertRaises(KeyboardInterrupt):
            while time.monotonic() - started < 60:
                llm.generate(["abc"] * 2000, endless, use_tqdm=False)
        timer.join()
        self.assertLess(time.monotonic() - started, 30)
        self.assertEqual(expected, llm.generate("abc", GREEDY, use_tqdm=False)[0].outputs[0].token_ids)
        self.assertEqual(0, llm.kv_cache_stats()["used_blocks"])

    def test_the_gil_is_free_while_it_computes(self) -> None:
        llm = LLM(self.model)
        ticks = 0
        most_in_a_call = 0

        def generate() -> None:
            nonlocal most_in_a_call
            num_prompts = 300
            while most_in_a_call <= 20 and num_prompts < 20_000:  # a busy machine ticks slowly
                before = ticks
                llm.generate(["abc"] * num_prompts, SamplingParams(max_tokens=100, ignore_eos=True), use_tqdm=False)
                most_in_a_call = max(most_in_a_call, ticks - before)
                num_prompts *= 2

        thread = threading.Thread(target=generate)
        thread.start()
        while thread.is_alive():
            ticks += 1
            time.sleep(0.001)
        thread.join()
        self.assertGreater(most_in_a_call, 20)

    def test_threads_share_an_llm(self) -> None:
        llm = LLM(self.model)
        expected = [llm.generate(f"p{i}", GREEDY, use_tqdm=False)[0].outputs[0].text for i in range(8)]
        found: dict[int, str] = {}

        def ask(i: int) -> None:
            found[i] = llm.generate(f"p{i}", GREEDY, use_tqdm=False)[0].outputs[0].text

        threads = [threading.Thread(target=ask, args=(i,)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(expected, [found[i] for i in range(8)])

    def test_two_llms_at_once(self) -> None:
        first, second = LLM(self.model), LLM(self.model, kv_cache_dtype="fp8_e5m2")
        self.assertEqual(first.generate("abc", GREEDY, use_tqdm=False)[0].outputs[0].token_ids, answer(self.model))
        self.assertEqual("fp8_e5m2", second.kv_cache_stats()["dtype"])

    def test_a_forked_child_is_told_so_and_may_make_its_own(self) -> None:
        llm = LLM(self.model)
        llm.generate("abc", GREEDY, use_tqdm=False)
        child = os.fork()
        if child == 0:
            status = 1
            try:
                try:
                    llm.generate("abc", GREEDY, use_tqdm=False)
                except octet.UnavailableError as error:
                    status = 0 if "fork" in str(error) and answer(self.model) else 2
                del llm
                gc.collect()
            finally:
                os._exit(status)
        deadline = time.monotonic() + 60
        status = (0, 0)
        while status[0] == 0 and time.monotonic() < deadline:
            status = os.waitpid(child, os.WNOHANG)
            time.sleep(0.01)
        if status[0] == 0:
            os.kill(child, signal.SIGKILL)
        self.assertEqual((child, 0), status)
        self.assertTrue(llm.generate("abc", GREEDY, use_tqdm=False)[0].finished)

    def test_a_spawned_child_works(self) -> None:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            self.assertEqual(answer(self.model), pool.apply(answer, (self.model,)))

    def test_memory_goes_with_the_llm(self) -> None:
        size = 256 << 20

        def use() -> None:
            llm = LLM(self.model, kv_cache_memory_bytes=size, block_size=128, max_num_seqs=256)
            llm.generate(["a" * 250] * 200, SamplingParams(max_tokens=2), use_tqdm=False)

        use()
        before, threads = resident_bytes(), threading.active_count()
        tasks = len(os.listdir("/proc/self/task"))
        for _ in range(20):
            use()
        gc.collect()
        self.assertLess(resident_bytes() - before, 30 << 20)
        self.assertEqual((threads, tasks), (threading.active_count(), len(os.listdir("/proc/self/task"))))

    def test_the_program_is_there(self) -> None:
        result = subprocess.run([sys.executable, "-m", "octet", "inspect", self.model], capture_output=True, text=True)
        self.assertIn("LlamaForCausalLM", result.stdout, result.stderr)
        self.assertEqual(0, result.returncode)

    def test_it_needs_no_other_package(self) -> None:
        code = textwrap.dedent("""
            import sys
            sys.modules.update({"numpy": None, "ml_dtypes": None, "torch": None, "tqdm": None, "yaml": None})
            from octet import LLM
            llm = LLM(sys.argv[1])
            print(len(llm.generate("abc")[0].outputs[0].token_ids), memoryview(llm.logits("abc")).shape)
        """)
        result = subprocess.run([sys.executable, "-c", code, self.model], capture_output=True, text=True)
        self.assertEqual("16 (3, 259)", result.stdout.strip(), result.stderr)


if __name__ == "__main__":
    unittest.main()
