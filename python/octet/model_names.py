"""Where a model's files are: a path, a name in the local Hugging Face cache, or, where that is allowed, a download."""

from __future__ import annotations

import os

from octet import _octet

_TRUE = {"1", "ON", "YES", "TRUE"}


def offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids downloading, read as huggingface_hub reads it."""
    return any(os.environ.get(name, "").upper() in _TRUE for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"))


# What Octet reads of a model, so that nothing else is downloaded.
_FILES = ["*.json", "*.safetensors", "*.jinja", "tokenizer.model"]


def resolve(model: str | os.PathLike[str], revision: str | None = None, download_dir: str | None = None) -> str:
    """The path of a model that is given as a path or by its name on the hub.

    revision: a branch, a tag or a commit; None is main. download_dir: the cache to look in and download to, instead of
    the one that HF_HUB_CACHE or HF_HOME say.

    Downloads only where the model is not in the cache, huggingface_hub is installed and HF_HUB_OFFLINE is not set. A
    name that is found nowhere comes back as it is: loading it says where was looked. Raises what huggingface_hub
    raises, and NotFoundError for a revision that a cached model does not have while offline.
    """
    name = os.fspath(model)
    if os.path.exists(name) or name.startswith((".", "/", "~")) or name.count("/") > 1 or not name:
        return os.path.expanduser(name) if name.startswith("~") else name
    hub = None if offline() else _hub()
    if download_dir is None:
        try:
            found = _octet.find_model(name, revision or "main")
        except FileNotFoundError:
            if hub is None:
                raise
            found = name
        if found != name:
            return found
    elif hub is None:
        return _in_folder(name, revision, download_dir)
    return name if hub is None else hub(name, revision=revision, cache_dir=download_dir, allow_patterns=_FILES)


def _in_folder(name: str, revision: str | None, folder: str) -> str:
    before = os.environ.get("HF_HUB_CACHE")
    os.environ["HF_HUB_CACHE"] = folder
    try:
        return _octet.find_model(name, revision or "main")
    finally:
        if before is None:
            del os.environ["HF_HUB_CACHE"]
        else:
            os.environ["HF_HUB_CACHE"] = before


def _hub():
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        return None
    return snapshot_download
