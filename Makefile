# `make demo` and `make test` set up everything they need, in a virtual environment of their own.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo demo-photos test lint types tests check-full speed gpu docs pages clean

demo: $(STAMP)
	$(BIN)/bench run --methods zero-shot,knn,protonet,slda,mml,icarl --seeds 3
	$(BIN)/bench report

# On real photographs, with no hub: PHOTOS is a folder of class folders. Without it, the stamps of the Debian package
# tuxpaint-stamps-default, where they are installed. Elsewhere: make demo-photos PHOTOS=cifar100:data ENCODER=ViT-B-32:openai TEXTS=own
STAMPS := /usr/share/tuxpaint/stamps
PHOTOS ?= $(if $(wildcard $(STAMPS)),tuxpaint_stamps:$(STAMPS))
ENCODER ?= photos
TEXTS ?= synthesised
demo-photos: $(STAMP)
	@test -n '$(PHOTOS)' || { echo 'name a folder of class folders: make demo-photos PHOTOS=DIR' >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[photos,texts]'
	$(BIN)/bench run --data '$(PHOTOS)' --encoder '$(ENCODER)' --texts '$(TEXTS)' --seeds 3 \
	  --scenario few-to-many-shot --set 'few-to-many-shot.shots=[3]' \
	  --methods zero-shot,knn,knn:k=1,protonet,mml,tip-adapter,linear-probe,rac
	$(BIN)/bench report --galleries 6

test: lint types tests

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,align,hf,photos,web,milvus,onnx,ray,export,serve,share]'
	touch $(STAMP)

lint: $(STAMP)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

types: $(STAMP)
	$(BIN)/mypy

# One thread a process: two test processes share the cores better than the threads of one.
tests: export OMP_NUM_THREADS = 1
tests: $(STAMP)
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal --benchmark-disable

# What takes too long for every change: the limits on time, on a quiet machine, and the coverage of all intervals.
check-full: $(STAMP)
	BENCH_FULL_SPEED=1 $(BIN)/python -m pytest tests/speed
	$(BIN)/python -m tests.statistics.simulate
	$(BIN)/python -m tests.faults.mutate --count 2000
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.faults.kill --count 1000

speed: $(STAMP)
	$(BIN)/python -m pytest tests/speed --benchmark-only --benchmark-group-by=group --benchmark-columns=median,iqr,rounds

# Checks and measures a GPU and writes docs/gpu.md; `make gpu MINUTES=3 OUT=report.md` for less and elsewhere.
# The package that reads the card's energy is of no use elsewhere, and the rest runs without it.
gpu: $(STAMP)
	@! command -v nvidia-smi >/dev/null || \
	  $(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[energy]' || true
	@$(BIN)/python -m tools.gpu $(if $(MINUTES),--minutes $(MINUTES)) $(if $(OUT),--out $(OUT))

# The site, in site/index.html; `mkdocs serve` shows it while it is written. Warnings are errors.
docs: $(STAMP)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The pages that are made from the code: methods, scenarios, experiments, columns of results.
pages: $(STAMP)
	$(BIN)/python -m tools.pages

clean:
	rm -rf $(VENV) runs report site
