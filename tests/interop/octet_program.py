"""Runs the octet program under test; what every comparison here starts from."""

import json
import os
import pathlib
import subprocess

PROGRAM = os.environ["OCTET_PROGRAM"]
MODEL = pathlib.Path(os.environ["OCTET_MODEL"])
GOLDEN = pathlib.Path(__file__).resolve().parents[1] / "golden"


def run(*arguments):
    """The finished process; its status is the caller's to judge."""
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=600)


def generate(model, *arguments):
    """One dictionary a prompt, as `octet generate --json` prints them."""
    done = run("generate", model, "--json", "--temperature", 0, *arguments)
    if done.returncode != 0:
        raise AssertionError(f"octet generate ended with {done.returncode}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def id_arguments(prompts):
    return [word for ids in prompts for word in ("--prompt-token-ids", ",".join(map(str, ids)))]


def scales(model):
    """{kind: [layer][1 or head]} of a checkpoint, as `octet inspect` found them, none with a fault."""
    done = run("inspect", model, "--json")
    if done.returncode != 0:
        raise AssertionError(f"octet inspect ended with {done.returncode}: {done.stderr}")
    found = json.loads(done.stdout)["kv_scales"]
    # Scales of queries are for attention in FP8 alone.
    refused = [tensor for tensor in found["tensors"] if not tensor["used"] and "needed only where" not in tensor["note"]]
    if found["error"] or refused:
        raise AssertionError(f"octet inspect refuses scales: {found['error']} {refused[:1]}")
    by_kind = {}
    for tensor in found["tensors"]:
        by_kind.setdefault(tensor["which"], []).append(tensor["values"])
    return by_kind
