# make book: build the book.  make test: verify everything.  Each installs what it needs.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
SITE := _build/html

# Idle OpenMP threads that spin make training ten times slower beside a busy process.
export GOMP_SPINCOUNT = 2000

# make book SOLUTIONS=hide: the book of a course, without solutions.
export VAE_SOLUTIONS := $(or $(SOLUTIONS),$(VAE_SOLUTIONS))
ifneq ($(VAE_SOLUTIONS),$(findstring hide,$(VAE_SOLUTIONS)))
  $(error expected SOLUTIONS=hide, or none, got "$(VAE_SOLUTIONS)")
endif

.PHONY: book test browser check lint unit notebooks execute pdf slides zip student grade \
  lab bench ledger studies configure clean

# --all: a page that was built before must show its warnings again, and new styles.
book: $(INSTALLED)
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@grep -q '^repository:' _config.yml || echo "No repository is configured: no Colab" \
	  "buttons (make configure REPO=owner/name adds them)."
	@echo "The book: $(CURDIR)/$(SITE)/index.html"
	@echo "To open:  file://$(CURDIR)/$(SITE)/index.html"

test: browser check execute book
	TQDM_DISABLE=1 $(BIN)/pytest --numprocesses=2 --dist loadfile --no-loadscope-reorder \
	  -m "book and not long"
	TQDM_DISABLE=1 $(BIN)/pytest -m long

# One that is installed; else Playwright's download; else Debian's, where apt-get may.
browser: $(INSTALLED)
	$(BIN)/python -m tools.browser

check: lint unit

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

unit: $(INSTALLED)
	TQDM_DISABLE=1 $(BIN)/pytest -m "not book and not long"

# Run every notebook. The derivations (01-05) must yield every committed output again;
# training may not, bit by bit: there the tagged cells are compared, and all asserts hold.
NBVAL := --nbval-current-env --nbval-cell-timeout=300 -p no:cacheprovider
execute: $(INSTALLED)
	TQDM_DISABLE=1 $(BIN)/pytest --nbval $(NBVAL) notebooks/0[1-5]-*.ipynb
	TQDM_DISABLE=1 $(BIN)/pytest --nbval-lax $(NBVAL) \
	  $(filter-out $(wildcard notebooks/0[1-5]-*),$(wildcard notebooks/*.ipynb)) \
	  notebooks/exercises/*.ipynb

# The offline editions: the book on paper, and the site to unzip and open anywhere.
pdf: book browser
	$(BIN)/python -m tools.pdf

# The lecture's slides, from the book's formulas and figures.
slides: $(INSTALLED)
	$(BIN)/python -m tools.slides

zip: book
	$(BIN)/python -m zipfile -c _build/vae-book-site.zip $(SITE)

# The exercises for students, instructors and nbgrader: CHAPTERS="03 07", or all.
student: $(INSTALLED)
	$(BIN)/python -m tools.course $(CHAPTERS)

# What was handed in, in a copy of _build/course/autograde.
grade: $(INSTALLED)
	$(BIN)/python -m tools.grade "$(COURSE)" "$(ASSIGNMENT)" $(if $(STUDENT),--student="$(STUDENT)")

# Rewrite the outputs of the notebooks whose code changed.
notebooks: $(INSTALLED)
	TQDM_DISABLE=1 $(BIN)/python tools/notebooks.py

lab: $(INSTALLED)
	$(BIN)/jupyter lab notebooks

# For an idle machine, where threads that sleep would cost each step a wake-up.
bench: $(INSTALLED)
	env -u GOMP_SPINCOUNT $(BIN)/python -m tools.benchmark

# Train everything that the ledger and the chapters quote anew: hours.
ledger: $(INSTALLED) studies
	$(BIN)/python -m tools.ledger

studies: $(INSTALLED)
	$(BIN)/python -m tools.studies

configure: $(INSTALLED)
	$(BIN)/python tools/configure.py "$(REPO)"

clean:
	rm -rf _build

$(INSTALLED): requirements.txt constraints.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check -r requirements.txt
	touch $@
