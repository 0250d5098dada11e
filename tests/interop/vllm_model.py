"""A checkpoint in vLLM's own loader, on the CPU: the real model classes and weight mapping, but no engine.

vLLM lists a torch build that PyPI does not have; it is installed without its requirements, and what of it needs
compiled kernels is not used here.
"""

import contextlib
import importlib.util
import os
import pathlib
import tempfile

INSTALLED = importlib.util.find_spec("vllm") is not None


@contextlib.contextmanager
def one_process_group():
    """The process group that vLLM's layers ask for their share of the weights."""
    from vllm.distributed import init_distributed_environment, initialize_model_parallel
    from vllm.distributed.parallel_state import cleanup_dist_env_and_memory

    with tempfile.TemporaryDirectory() as folder:
        init_distributed_environment(world_size=1, rank=0, local_rank=0, backend="gloo",
                                     distributed_init_method=f"file://{folder}/rendezvous")
        initialize_model_parallel(1, 1)
        try:
            yield
        finally:
            cleanup_dist_env_and_memory()


class LoadedScales:
    """What vLLM made of a checkpoint: its cache dtype and, per layer, the q, k and v scales of its attention."""

    def __init__(self, directory):
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
        from vllm.config import set_current_vllm_config
        from vllm.engine.arg_utils import EngineArgs
        from vllm.model_executor.model_loader import get_model

        arguments = EngineArgs(model=str(pathlib.Path(directory)), dtype="bfloat16", enforce_eager=True,
                               max_model_len=512)
        config = arguments.create_engine_config()
        with set_current_vllm_config(config), one_process_group():
            model = get_model(vllm_config=config)
        layers = [module for name, module in model.named_modules() if name.endswith(".self_attn.attn")]
        self.cache_dtypes = {layer.kv_cache_dtype for layer in layers}
        self.scales = {kind: [getattr(layer, f"_{kind}_scale").float().reshape(-1).tolist() for layer in layers]
                       for kind in ("q", "k", "v")}
