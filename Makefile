# make book: build the book.  make test: verify everything.  Each installs what it needs.
# VENV: the environment; PYTHON: what makes it, if not python3.
VENV ?= .venv
BIN := "$$VENV"/bin
SITE := _build/html
# One make at a time builds in this folder or tests what is built.
ALONE := exec 9<Makefile && $(BIN)/python -m tools.alone &&

# What was typed reaches the programs as it is: neither make nor the shell reads it.
define as_typed
override $(1) := $$(value $(1))
export $(1)
endef
TYPED := VENV PYTHON SOLUTIONS CHAPTERS COURSE ASSIGNMENT STUDENT REPO DOMAIN BRANCH \
  N SLUG TITLE PART
$(foreach name,$(TYPED),$(eval $(call as_typed,$(name))))

# What would make another Python, or other checks, of the one in VENV.
unexport PYTHONHOME PYTHONPATH PYTHONOPTIMIZE PIP_USER PIP_TARGET PIP_PREFIX

# How tests run: without bars, and with one thread in each process. Threads that wait
# for each other suffer most from other work on the machine; two processes do not.
CALM := TQDM_DISABLE=1 OMP_NUM_THREADS=1
TWO := --numprocesses=2 --dist loadfile --no-loadscope-reorder
# Where a browser is tested there is much waiting, which a third process can use.
THREE := $(subst 2,3,$(TWO))

# make book SOLUTIONS=hide: the book of a course, without solutions.
export VAE_SOLUTIONS := $(or $(SOLUTIONS),$(VAE_SOLUTIONS))
ifneq ($(VAE_SOLUTIONS),$(findstring hide,$(VAE_SOLUTIONS)))
  $(error expected SOLUTIONS=hide, or none, got "$(VAE_SOLUTIONS)")
endif

# Tests come after what they test, make -j4 or not.
.NOTPARALLEL:

.PHONY: environment book test loopback browser check lint unit site long built notebooks execute pdf \
  slides zip student grade derived chapter lab bench ledger studies configure clean

# --all: a page that was built before must show its warnings again, and new styles.
book: environment
	$(ALONE) $(BIN)/jupyter-book build . --all -W -n --keep-going
	@grep -q '^repository:' _config.yml || echo "No repository is configured: no Colab" \
	  "buttons (make configure REPO=owner/name adds them)."
	@printf 'The book: %s\n' "$$PWD/$(SITE)/index.html"
	@$(BIN)/python -c 'from pathlib import Path; \
	  print("To open: ", Path("$(SITE)/index.html").resolve().as_uri())'

test: loopback browser check execute built

# Kernels and processes talk over it; where there is no network it may be down.
loopback:
	@ip link set lo up 2>/dev/null || true

# What was built, in the browser too; what takes long; both at once. What measures time
# comes last, with nothing beside it.
site: MARKED := book and not long
long: MARKED := long
built: MARKED := book or long
site long built: browser book
	$(ALONE) $(CALM) $(BIN)/pytest $(THREE) -m "($(MARKED)) and not timed"
	$(ALONE) $(CALM) $(BIN)/pytest -m "($(MARKED)) and timed"

# One that is installed; else Playwright's download; else Debian's, where apt-get may.
browser: environment
	$(BIN)/python -m tools.site.browser

check: lint unit

lint: environment
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

unit: environment
	$(CALM) $(BIN)/pytest $(TWO) -m "not book and not long"

# Run every notebook. Those of the part that derives must yield every committed output
# again; training may not, bit by bit: there the tagged cells are compared, and all asserts
# hold.
NBVAL := --nbval-current-env --nbval-cell-timeout=300 -p no:cacheprovider
execute: environment
	notebooks=$$($(BIN)/python -m tools.notebooks --list exact) && \
	  $(CALM) $(BIN)/pytest $(TWO) --nbval $(NBVAL) $$notebooks
	notebooks=$$($(BIN)/python -m tools.notebooks --list other) && \
	  $(CALM) $(BIN)/pytest $(TWO) --nbval-lax $(NBVAL) $$notebooks

# The offline editions: the book on paper, and the site to unzip and open anywhere.
pdf: book browser
	$(ALONE) $(BIN)/python -m tools.site.pdf

# The lecture's slides, from the book's formulas and figures.
slides: environment
	$(BIN)/python -m tools.course.slides

zip: book
	$(ALONE) $(BIN)/python -m zipfile -c _build/vae-book-site.zip $(SITE)

# The exercises for students, instructors and nbgrader: CHAPTERS="03 07", or all.
student: environment
	$(BIN)/python -m tools.course.editions $$CHAPTERS

# What was handed in, in a copy of _build/course/autograde.
grade: environment
	$(BIN)/python -m tools.course.grade "$$COURSE" "$$ASSIGNMENT" $${STUDENT:+--student="$$STUDENT"}

# Rewrite the outputs of the notebooks whose code changed.
notebooks: environment
	$(BIN)/python -m tools.notebooks

# What is made from the sources of a chapter, in seconds but for its notebooks.
derived: notebooks
	$(BIN)/python -m tools.diagrams concept-map.svg
	$(BIN)/python -m tools.course.guide
	$(BIN)/python -m tools.register
	$(BIN)/python -m tools.numbers

# The skeleton of a new chapter: N=13 SLUG=toy TITLE="A toy", and PART="A new part".
chapter: environment
	$(BIN)/python -m tools.new_chapter --part="$$PART" -- "$$N" "$$SLUG" "$$TITLE"

lab: environment
	$(BIN)/jupyter lab notebooks

bench: environment
	$(BIN)/python -m pip install --quiet "jax>=0.4.30"
	$(BIN)/python -m tools.records.benchmark

# Train everything that the ledger and the chapters quote anew: hours.
ledger: environment studies
	$(BIN)/python -m tools.records.ledger

studies: environment
	$(BIN)/python -m tools.records.studies

configure: environment
	$(BIN)/python -m tools.configure --domain="$$DOMAIN" --branch="$$BRANCH" -- "$$REPO"

clean:
	rm -rf _build

environment:
	@sh tools/environment.sh
