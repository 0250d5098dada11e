"""scripts/roofline: every case of a Google Benchmark file is a point where its counters say, under the measured roofs.

Run by ctest; by hand: python3 tests/structure/roofline_test.py
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/roofline"
SVG = "{http://www.w3.org/2000/svg}"


def case(name, label="", **counters):
    return {"name": name, "run_type": "iteration", "label": label, **counters}


class RooflineTest(unittest.TestCase):
    def run_script(self, *cases):
        with tempfile.TemporaryDirectory() as folder:
            results, chart = pathlib.Path(folder) / "results.json", pathlib.Path(folder) / "chart.svg"
            results.write_text(json.dumps({"benchmarks": cases}), encoding="utf-8")
            done = subprocess.run([sys.executable, SCRIPT, chart, results], capture_output=True, text=True)
            return done, xml.fromstring(chart.read_text(encoding="utf-8")) if chart.exists() else None

    def test_points_stand_where_the_counters_say(self):
        # 32e9 bytes a second and 128e9 multiply-adds: the roof bends at 4 multiply-adds a byte.
        done, chart = self.run_script(
            case("read_memory/threads:2", GBps=32.0), case("peak_fma/threads:2", mad=128e9),
            case("decode_attention/a", "fp8_e4m3 avx2", mad=64e9, mad_per_byte=2.0),
            case("decode_attention/b", "bfloat16 avx2", mad=16e9, mad_per_byte=1.0),
            case("prefill_attention/c", "fp8_e4m3 avx2", mad=128e9, mad_per_byte=16.0),
            {"name": "peak_bf16/threads:2", "error_occurred": True})
        self.assertEqual(done.returncode, 0, done.stderr)
        titles = [title.text for title in chart.iter(SVG + "title")]
        self.assertEqual(len(titles), 3)
        self.assertIn("decode_attention/a (fp8_e4m3 avx2): 64.0 of 64.0", titles[0])
        self.assertIn("decode_attention/b (bfloat16 avx2): 16.0 of 32.0", titles[1])
        self.assertIn("prefill_attention/c (fp8_e4m3 avx2): 128.0 of 128.0", titles[2])
        a, b = (circle for circle in chart.iter(SVG + "circle") if circle.find(SVG + "title") is not None)
        slanted, level = (line for line in chart.iter(SVG + "line") if line.get("stroke-width") == "1.5")

        def on_slope(circle):
            x1, y1, x2, y2 = (float(slanted.get(name)) for name in ("x1", "y1", "x2", "y2"))
            return y1 + (y2 - y1) * (float(circle.get("cx")) - x1) / (x2 - x1)

        self.assertAlmostEqual(float(a.get("cy")), on_slope(a), delta=0.5)
        self.assertGreater(float(b.get("cy")), on_slope(b) + 10)  # below: half of what memory gives
        self.assertIsNotNone(re.search("memory: 32.0 GB/s", xml.tostring(chart, encoding="unicode")))
        diamond = next(rect for rect in chart.iter(SVG + "rect") if rect.find(SVG + "title") is not None)
        self.assertAlmostEqual(float(diamond.get("y")) + 4, float(level.get("y1")), delta=0.2)

    def test_a_chart_needs_a_roof(self):
        done, chart = self.run_script(case("decode_attention/a", "fp8_e4m3 avx2", mad=64e9, mad_per_byte=2.0))
        self.assertEqual(done.returncode, 1)
        self.assertIn("read_memory", done.stderr)
        self.assertIsNone(chart)


if __name__ == "__main__":
    unittest.main()
