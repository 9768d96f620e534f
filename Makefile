# make demo, make test: each does all the set-up it needs, from nothing, and is quick the second time.
PYTHON ?= python3
PIP = -m pip install --quiet --disable-pip-version-check

DESKTOP := .venv
TFLITE := .venv-tflite
DEMO := .venv-demo
# tflite-runtime ends with Python 3.11; elsewhere its half of the suite is left out, and says so.
PYTHON_TFLITE ?= $(shell for p in python3.11 $(PYTHON); do \
	$$p -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null && echo $$p && break; done)

# What a device gets, with versions and hashes: also the demo's, where there is a lock for this platform and Python.
DEMO_LOCK = $(wildcard edge_runtime/deploy/locks/litert-$(shell $(PYTHON) -c 'import platform as p, sys; \
	print("%s-cp%d%d" % (p.machine() if p.libc_ver()[0] == "glibc" else "other", *sys.version_info[:2]))').txt)

# Tests that wait for each other's resources stay in one process: see tests/conftest.py.
SIDE_BY_SIDE := -n 2 --dist loadgroup

# One line instead of pip's many where Python is too old or cannot make an environment.
define need_python
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v < (3, 14) or sys.exit("make: expected Python 3.11 to 3.13, found %d.%d; name one: make PYTHON=python3.12" % v)'
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "make: this Python makes no virtual environments; on Debian: sudo apt install python3-venv" >&2; exit 1; }
endef

.PHONY: demo test check format bench sizes bench-daemon crossing calibration alike photos poison strangers \
	release release-bundle release-portraits release-figures power-loss damage soak fuzz clean arm lock deb deb-check \
	home-assistant-app deploy-faults first-notification

demo: $(DEMO)/.installed
	$(DEMO)/bin/familiar demo

test: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m pytest $(SIDE_BY_SIDE)
ifneq ($(PYTHON_TFLITE),)
	$(MAKE) $(TFLITE)/.installed
	$(TFLITE)/bin/python -m pytest $(SIDE_BY_SIDE) -m interpreter
else
	@echo "make test: no Python 3.11 here, so the run under tflite-runtime is left out"
endif

check: $(DESKTOP)/.installed
	$(DESKTOP)/bin/ruff check .
	$(DESKTOP)/bin/ruff format --check .
	$(DESKTOP)/bin/mypy
	$(DESKTOP)/bin/python .ci/audit.py

format: $(DESKTOP)/.installed
	$(DESKTOP)/bin/ruff check --fix .
	$(DESKTOP)/bin/ruff format .

bench: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks
	OPENBLAS_NUM_THREADS=1 $(DESKTOP)/bin/python -m tests.benchmarks.search --out docs/gallery/search
	$(DESKTOP)/bin/python -m tests.benchmarks.events
	$(DESKTOP)/bin/python -m tests.benchmarks.load

# How small a face is found, and at what cost
sizes: $(DESKTOP)/.installed
	OMP_NUM_THREADS=1 $(DESKTOP)/bin/python -m tests.benchmarks.sizes --out docs/detector/sizes

# What the daemon costs beside the plain chain: make bench-daemon BUNDLE=reference.bundle (see python -m convert wrap)
bench-daemon: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.daemon --bundle $(BUNDLE) --out docs/daemon/clip

SCENES ?= 200
crossing: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.crossings --scenes $(SCENES) --out docs/daemon/crossings.md

# How honestly targets come true: make calibration CODES=codes.npz SPLIT=lfw_split.csv NAME=new [PEOPLE=all ...]
PEOPLE ?= final
SIZES ?= 5 50
ROUNDS ?= 1
GALLERIES ?= 200
calibration: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.calibration --codes $(CODES) --split $(SPLIT) --people $(PEOPLE) \
		--sizes $(SIZES) --rounds $(ROUNDS) --galleries $(GALLERIES) --title "$(NAME)" --out docs/calibration/$(NAME)

# The same where strangers look like the household, and whether confidence is a probability: make alike UTK=utk.npz
# LFW=lfw.npz [JUDGE=--judge=other.onnx], with chips of python -m train prepare
ALIKE ?= models/released/default
alike: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.same_group --bundle $(ALIKE) --chips $(UTK) --people $(LFW) $(JUDGE) \
		--galleries $(GALLERIES) --out docs/calibration/alike
	$(DESKTOP)/bin/python -m tests.benchmarks.confidence --bundle $(ALIKE) --people $(LFW) \
		--out docs/calibration/confidence

# Several photos a person, and what honesty costs: make photos UTK=utk.npz LFW=lfw.npz UNNAMED=other.npz
# JUDGE=--judge=other.onnx [EARLIER="--earlier FILE.json"]
photos: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.photos --bundle after=$(ALIKE) --teach $(UTK) --people $(LFW) \
		--unnamed $(UNNAMED) $(JUDGE) $(EARLIER) --out docs/calibration/photos

# What wrong and bad photos do: make poison DATA=lfw SPLIT=lfw_split.csv CODES=codes.npz NAME=new
SEEDS ?= 4
poison: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.poison --data $(DATA) --split $(SPLIT) --codes $(CODES) \
		--seeds $(SEEDS) --out docs/gallery/poison-$(NAME)

# Are strangers told apart? make strangers SPLIT=lfw_split.csv CODES=codes.npz NAME=new
strangers: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.strangers --codes $(CODES) --split $(SPLIT) --part final \
		--out docs/gallery/strangers-$(NAME)

# Everything that hangs on the released encoder, made again from a run: bundle with golden outputs, cohort, looks and
# card; the demo's portraits; what to fine-tune from; the figures and pages in docs:
#   make release RUN=runs/mine DATA=lfw SPLIT=lfw_split.csv NAMED=lfw.npz UTK=utk.npz MORE="ffhq.npz scut.npz" \
#     [PORTRAITS=runs/portrait REFERENCE=face_encoder.onnx] [JUDGE=--judge=other.onnx] \
#     [CONVERT="--recipe int8_qat"]
# RUN: a finished run, and the chips it names where it names them. DATA: photos, a folder a person, and SPLIT: who of
# them is select, final or cohort. NAMED: chips of DATA. UTK: chips whose file names state the look. MORE: chips of other people.
# PORTRAITS: a finished run of the recipe portrait, with named people in its chips' split select, and REFERENCE: an
# encoder that refuses drawn faces which are memorised people; without them the portraits stay, and the demo's test at
# the end says whether they still do.
# CONVERT: further options of convert model, as another recipe where a check refuses the encoder.
# What is left to do by hand: the figures that texts repeat, and the tables of door-unseen and alike-unseen, whose
# bundle has looks without one source.
RELEASED ?= models/released
RELEASE := runs/release
# How much drawn faces differ; less is nearer to the average face.
SPREAD ?= 0.9
PORTRAIT_NAMES := ash bo casey drew jo kim robin sam
release:
	@test -n "$(RUN)" -a -n "$(DATA)" -a -n "$(SPLIT)" -a -n "$(NAMED)" -a -n "$(UTK)" || { \
		echo "make release: expected RUN, DATA, SPLIT, NAMED and UTK, see the Makefile; one of them is missing" >&2; exit 2; }
	@test -z "$(PORTRAITS)" -o -n "$(REFERENCE)" || { \
		echo "make release: expected REFERENCE with PORTRAITS, or a drawn face may be a person's" >&2; exit 2; }
	$(MAKE) release-bundle
ifneq ($(PORTRAITS),)
	$(MAKE) release-portraits
endif
	$(MAKE) release-figures

release-bundle: $(DESKTOP)/.installed
	mkdir -p $(RELEASE)
	$(DESKTOP)/bin/python -m train evaluate $(RUN) --conditions
	$(DESKTOP)/bin/python -m convert model $(RUN) --name default --detector models/released/default \
		--out $(RELEASED)/default --replace $(CONVERT)
	$(DESKTOP)/bin/python -m convert looks $(RELEASED)/default --chips $(UTK) $(NAMED) $(MORE) --people $(NAMED)
	mv $(RELEASED)/default.parity.* $(RELEASE)
	rm -rf $(RELEASE)/encoder
	$(DESKTOP)/bin/python -m train slim $(RUN) --out $(RELEASE)/encoder
	mkdir -p $(RELEASED)/fine_tuning
	rm -rf $(RELEASED)/fine_tuning/encoder
	mv $(RELEASE)/encoder $(RELEASED)/fine_tuning/encoder

release-portraits: $(DESKTOP)/.installed
	rm -rf $(RELEASE)/portraits
	$(DESKTOP)/bin/python -m train generate --run $(PORTRAITS) --judge $(RELEASED)/default --reference $(REFERENCE) \
		--count $(words $(PORTRAIT_NAMES)) --spread $(SPREAD) --out $(RELEASE)/portraits
	number=0; for name in $(PORTRAIT_NAMES); do \
		cp $(RELEASE)/portraits/p$$number.png edge_runtime/sources/portraits/$$name.png || exit; \
		number=$$((number + 1)); done

# --people final is looked at once an encoder: select has chosen it.
release-figures: $(DESKTOP)/.installed
	mkdir -p $(RELEASE)
	$(DESKTOP)/bin/familiar embed $(DATA) --set bundle.path=$(RELEASED)/default --out $(RELEASE)/codes.npz --jobs 2
	for template in mean best; do $(DESKTOP)/bin/python -m train evaluate $(RELEASE)/codes.npz --split $(SPLIT) \
		--people final --template $$template --out $(RELEASE)/final-$$template.json || exit; done
	$(MAKE) calibration poison strangers CODES=$(RELEASE)/codes.npz NAME=released
	$(DESKTOP)/bin/python -m tests.benchmarks.stolen --codes $(RELEASE)/codes.npz --split $(SPLIT) --out docs/gallery/stolen
	$(MAKE) alike ALIKE=$(RELEASED)/default LFW=$(NAMED)
	$(DESKTOP)/bin/python -m tests.benchmarks.door --bundle $(RELEASED)/default --chips $(UTK) --people $(NAMED) $(JUDGE) \
		--out docs/calibration/door
	$(MAKE) crossing
	$(DESKTOP)/bin/python -m tests.benchmarks.speed_table --out docs/speed.md
	$(DESKTOP)/bin/familiar demo --set bundle.path=$(RELEASED)/default --out $(RELEASE)/demo
	cp $(RELEASE)/demo/contact-sheet.png docs/demo.png
	$(DESKTOP)/bin/python -m pytest tests/e2e/test_demo.py

# The device's own test on arm64, emulated by qemu-user; unpacks 600 MB into .arm the first time. SUITE=bookworm: 3.11;
# SUITE=bookworm-armhf: 32 bits.
SUITE ?= trixie
arm: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.arm --suite $(SUITE)

# The locks of what a device gets, written anew from the package index: see .ci/lock.py.
lock: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python .ci/lock.py

# A Debian package of runtime, locked packages and released bundle: make deb ARCHITECTURE=arm64 SUITE=trixie
ARCHITECTURE ?= $(shell dpkg --print-architecture 2>/dev/null)
deb: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python .ci/deb.py --architecture $(ARCHITECTURE) --suite $(SUITE)

# That package in an unpacked Debian of its architecture, emulated where that is another: installed, used, upgraded,
# removed, purged; as root. It needs debootstrap.
deb-check: deb
	$(DESKTOP)/bin/python -m tests.debian --architecture $(ARCHITECTURE) --suite $(SUITE) \
		$$(ls -t dist/familiar-edge_*$(SUITE)*_$(ARCHITECTURE).deb | head -n 1)

# The folder of the Home Assistant app; copied to /addons of a Home Assistant OS it is a local app.
home-assistant-app: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python .ci/home_assistant_app.py

# Seconds from familiar deploy to a notification with name and picture, on this machine.
first-notification: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.benchmarks.first_notification --out docs/outputs/first-notification.md

# Deployments whose connection is cut at twenty moments drawn at random.
deploy-faults: $(DESKTOP)/.installed
	DEPLOY_CUTS=20 $(DESKTOP)/bin/python -m pytest tests/e2e/test_deploy.py

power-loss: $(DESKTOP)/.installed
	POWER_LOSS_OPERATIONS=300 POWER_LOSS_CUTS=300 POWER_LOSS_KILLS=30 \
		$(DESKTOP)/bin/python -m pytest tests/e2e/test_power_loss.py tests/e2e/test_events.py -k "power or kill"

# A thousand kills in the middle of changes, and two thousand spoilt databases: what is lost, wrong or never ends.
damage: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.damage --out docs/gallery/damage.json

# Half an hour of a daemon's life with faults at random; memory, threads and descriptors must stay what they were.
MINUTES ?= 30
soak: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.soak --minutes $(MINUTES) --out runs/soak.json

fuzz: $(DESKTOP)/.installed
	$(DESKTOP)/bin/python -m tests.fuzz

# The stamp is written last, so an interrupted installation is taken up again.
$(DESKTOP)/.installed: pyproject.toml
	$(need_python)
	$(PYTHON) -m venv $(DESKTOP)
	$(DESKTOP)/bin/python $(PIP) -e '.[litert,desktop,mqtt,metrics,web,heif,dev]'
	@touch $@

$(TFLITE)/.installed: pyproject.toml
	$(PYTHON_TFLITE) -m venv $(TFLITE)
	$(TFLITE)/bin/python $(PIP) -e '.[tflite,mqtt,metrics,web,heif]' 'pytest>=8,<9.2' 'pytest-xdist>=3.6'
	@touch $@

$(DEMO)/.installed: pyproject.toml $(shell find edge_runtime -type f -not -name '*.pyc')
	$(need_python)
	$(PYTHON) -m venv $(DEMO)
ifneq ($(DEMO_LOCK),)
	$(DEMO)/bin/python $(PIP) --require-hashes --only-binary :all: -r $(DEMO_LOCK)
	$(DEMO)/bin/python $(PIP) --no-deps .
else
	@echo "make demo: no lock for this platform and Python in edge_runtime/deploy/locks, so pip chooses the versions"
	$(DEMO)/bin/python $(PIP) '.[litert]'
endif
	@touch $@

clean:
	rm -rf $(DESKTOP) $(TFLITE) $(DEMO) build *.egg-info .pytest_cache .mypy_cache .ruff_cache
