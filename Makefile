# The one place to start: `make demo` shows Octet at work, `make test` proves it. Each target sets up what it
# needs (scripts/setup) and is quick when nothing has changed. CMake does the building; see docs/building.md.
.DEFAULT_GOAL := help
.PHONY: help setup build model demo test fuzz soak test-page python test-interop bench-peers bench-serve bench-kernels clean

JOBS ?= $(shell nproc)
FUZZ_SECONDS ?= 30
SOAK_SECONDS ?= 60
MODEL := models/smollm2-135m-instruct
export JOBS FUZZ_SECONDS

help:
	@echo "make demo          build, fetch a small model and generate with a 16-bit and an FP8 KV cache"
	@echo "make test          every test: unit, golden values, sanitizers, fuzzing, package, structure"
	@echo "make build         build the program: build/octet"
	@echo "make setup         install what building needs (Debian packages, a Python environment)"
	@echo "make fuzz          run the fuzz targets for FUZZ_SECONDS=$(FUZZ_SECONDS) each"
	@echo "make soak          the server under 16 unruly clients for SOAK_SECONDS=$(SOAK_SECONDS)"
	@echo "make test-page     drive the server's page in headless Chromium, which must be there"
	@echo "make python        build the Python package's wheel and test it in virtual environments of its own"
	@echo "make test-interop  compare with transformers (installs torch: some gigabytes)"
	@echo "make bench-peers   benchmark beside llama.cpp and llm-compressor (builds and installs them)"
	@echo "make bench-serve   the server under load, beside llama.cpp's (takes some minutes)"
	@echo "make bench-kernels  the kernels alone, drawn under the machine's roofline: docs/roofline.svg"
	@echo "make clean         remove build/ (models and Python environments stay)"

setup:
	@scripts/setup build

build: setup
	@scripts/build release octet_program
	@ln -sfn release/src/apps/octet build/octet
	@echo "build/octet is ready"

model: setup
	@.venv/bin/python scripts/get-model

demo: build model
	@.venv/bin/python scripts/demo $(MODEL)

test:
	@scripts/test

fuzz:
	@scripts/setup test
	@scripts/fuzz

soak: build
	@scripts/soak $(SOAK_SECONDS)

test-page: build
	@.venv/bin/python -B tests/server/page_test.py build/octet --require-chromium

python: build model
	@scripts/setup python
	@scripts/test-python

test-interop: build model
	@scripts/setup python
	@scripts/test-interop $(MODEL)

bench-peers: build model
	@scripts/bench-peers $(MODEL)
	@scripts/bench-perplexity $(MODEL)
	@scripts/bench-calibrate $(MODEL)

bench-serve: build model
	@python3 -B scripts/bench-serve $(MODEL)

bench-kernels:
	@scripts/setup bench
	@scripts/bench-kernels

clean:
	rm -rf build
