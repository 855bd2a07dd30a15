# Everything from a fresh clone on: make test, make demo.
PYTHON ?= python3
VENV ?= .venv
RUN := $(VENV)/bin/python

.PHONY: test test-device lint docs demo install clean

test: lint
	OMP_NUM_THREADS=1 $(RUN) -m pytest -n 2 --dist worksteal

# On a machine with a GPU: about four minutes on one card; a table at the end.
test-device: install
	OMP_NUM_THREADS=1 $(RUN) -m pytest -m device -n 6 tests/test_device.py

lint: install
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m yamllint --strict .

# The site needs neither the package nor torch: it reads the sources.
docs: $(VENV)/docs-installed
	$(RUN) -m mkdocs build --strict

$(VENV)/docs-installed: pyproject.toml
	test -x $(RUN) || $(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --group docs
	touch $@

RECIPE := recipes/VoiceBank
TRAIN := $(RUN) $(RECIPE)/train.py $(RECIPE)/hparams/train.yaml \
	--data_folder samples/voicebank --batch_size 8 --crop_seconds 1.5 \
	--valid_metrics [si_sdr] --ckpt_metric df
demo: install
	rm -rf demo/shipped demo/enhancer demo/enhanced
	$(RUN) -m speechbrain_mal.cli enhance samples/voicebank/noisy_testset_wav_16k \
		--output demo/shipped
	$(TRAIN) --system baseline --output_folder demo/baseline \
		--number_of_epochs 20 --phase_two_epochs 0
	$(TRAIN) --output_folder demo/mal_dynamic \
		--number_of_epochs 0 --phase_two_epochs 5 --baseline_folder demo/baseline
	$(RUN) -m speechbrain_mal.cli compare demo/baseline demo/mal_dynamic \
		shipped=demo/shipped \
		--manifest demo/baseline/test.json --data-folder samples/voicebank \
		--metrics pesq estoi si_sdr --output demo/comparison
	$(RUN) -m speechbrain_mal.cli export demo/mal_dynamic demo/enhancer \
		--training-data "samples/voicebank of this repository, synthetic, CC0"
	$(RUN) -m speechbrain_mal.cli enhance samples/voicebank/noisy_testset_wav_16k \
		--model demo/enhancer --output demo/enhanced

install: $(VENV)/installed

# The stamp is written last, so an interrupted installation is taken up again.
$(VENV)/installed: setup.py
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --upgrade pip
	$(RUN) -m pip install --quiet --editable ".[dev,eval,experiments,perceptual,ssl]"
	touch $@

clean:
	rm -rf $(VENV) results demo site
