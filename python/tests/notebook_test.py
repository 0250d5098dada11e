"""The notebook, cell after cell in one namespace as Jupyter runs it, on SmolLM2; plots are drawn and looked at."""

from __future__ import annotations

import contextlib
import io
import json
import os
import unittest
from unittest import mock

import checkpoints

try:
    import matplotlib
except ImportError as missing:
    raise unittest.SkipTest(f"needs matplotlib: {missing}") from None


class Notebook(unittest.TestCase):
    def test_it_runs(self) -> None:
        model = checkpoints.require_model()
        matplotlib.use("agg")
        from matplotlib import pyplot

        path = checkpoints.ROOT / "examples/fp8_kv_cache.ipynb"
        cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
        namespace: dict[str, object] = {"__name__": "__main__"}
        printed = io.StringIO()
        with mock.patch.dict(os.environ, OCTET_MODEL=model), contextlib.redirect_stdout(printed):
            for i, cell in enumerate(cells):
                self.assertEqual([], cell["outputs"], "the notebook is kept without outputs")
                exec(compile("".join(cell["source"]), f"{path.name}, cell {i}", "exec"), namespace)
        self.assertEqual(5, len(pyplot.get_fignums()))
        for number in pyplot.get_fignums():
            for axis in pyplot.figure(number).axes:
                self.assertTrue(axis.has_data(), f"figure {number} has an empty plot")
        self.assertIn("fp8_e4m3 with scales of the checkpoint (60 tensors)", printed.getvalue())


if __name__ == "__main__":
    unittest.main()
