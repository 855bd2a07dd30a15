"""Files that can't be read in training: stood in for, named, counted, and the limit."""

import copy
import json
import shutil

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.dataloader import SaveableDataLoader

from speechbrain_mal.data import Mixing, SkippedFiles, Sources, mixed_dataset
from speechbrain_mal.data.skipped import TooManySkippedError

RATE = 16000
FILES = 8
EXAMPLES = 60


@pytest.fixture
def corpus(tmp_path):
    """Write speech and noise of two seconds a file, and their manifests."""
    rng = np.random.default_rng(0)
    for kind in ("clean", "noise"):
        entries = {}
        (tmp_path / kind).mkdir()
        for i in range(FILES):
            name = f"{kind}/{i}.wav"
            soundfile.write(tmp_path / name, 0.1 * rng.standard_normal(2 * RATE), RATE)
            entries[name] = {"samples": 2 * RATE, "sample_rate": RATE}
        (tmp_path / f"{kind}.json").write_text(json.dumps(entries))
    return tmp_path


def mixtures(corpus, skipped=None):
    mixing = Mixing(seconds=0.5, sample_rate=RATE, noises=1, p_reverb=0)
    kinds = ("clean", "noise")
    manifests = {kind: corpus / f"{kind}.json" for kind in kinds}
    return mixed_dataset(mixing, Sources(manifests, corpus, RATE), EXAMPLES, skipped)


def noisy(dataset):
    return [dataset[i]["noisy"] for i in range(len(dataset))]


def remove(path):
    path.unlink()


def cut_off(path):
    path.write_bytes(path.read_bytes()[:100])


DAMAGE = [remove, cut_off]


@pytest.mark.parametrize("damage", DAMAGE)
def test_another_mixture_stands_in_and_the_rest_stay(corpus, damage):
    before = noisy(mixtures(corpus))
    kept = (corpus / "clean/3.wav").read_bytes()
    damage(corpus / "clean/3.wav")
    skipped = SkippedFiles(max_share=1.0, log=corpus / "skipped.txt")
    after = noisy(mixtures(corpus, skipped))
    changed = [not torch.equal(a, b) for a, b in zip(before, after, strict=True)]
    # Each example draws one of the eight speech files: 7.5 of 60 are expected.
    assert sum(changed) == skipped.met > 0
    assert (corpus / "skipped.txt").read_text().startswith("clean/3.wav\t")
    again = noisy(mixtures(corpus, SkippedFiles(max_share=1.0)))
    assert all(torch.equal(a, b) for a, b in zip(after, again, strict=True))
    (corpus / "clean/3.wav").write_bytes(kept)
    restored = noisy(mixtures(corpus))
    assert all(torch.equal(a, b) for a, b in zip(before, restored, strict=True))


def test_a_file_is_named_once_and_an_example_counted_once(corpus, caplog):
    for i in range(FILES - 1):  # one attempt after another fails
        remove(corpus / f"clean/{i}.wav")
    skipped = SkippedFiles(max_share=1.0, log=corpus / "logs/skipped.txt")
    noisy(mixtures(corpus, skipped))
    lines = (corpus / "logs/skipped.txt").read_text().splitlines()
    names = [f"clean/{i}.wav" for i in range(FILES - 1)]
    assert sorted(line.split("\t")[0] for line in lines) == names
    assert 0 < skipped.met <= EXAMPLES
    assert skipped.summary().startswith(f"{skipped.met} of {EXAMPLES} examples met")


def test_a_file_is_named_once_whatever_meets_it(corpus):
    remove(corpus / "clean/3.wav")
    (corpus / "skipped.txt").write_text("clean/33.wav\tgone\n")  # a longer name
    for _ in range(2):  # the second as after a resume
        skipped = SkippedFiles(max_share=1.0, log=corpus / "skipped.txt")
        dataset = mixtures(corpus, skipped)
        for _ in range(2):  # a new worker each
            list(SaveableDataLoader(dataset, batch_size=4, num_workers=1))
    lines = (corpus / "skipped.txt").read_text().splitlines()
    assert [line.split("\t")[0] for line in lines] == ["clean/33.wav", "clean/3.wav"]


@pytest.mark.parametrize("kind", ["clean", "noise", "rir"])
def test_silence_is_stood_in_for_and_not_counted(corpus, kind):
    shutil.copytree(corpus / "clean", corpus / "rir")  # what they hold plays no part
    manifest = (corpus / "clean.json").read_text().replace("clean/", "rir/")
    (corpus / "rir.json").write_text(manifest)
    for i in range(0, FILES, 2):
        soundfile.write(corpus / f"{kind}/{i}.wav", np.zeros(2 * RATE), RATE)
    mixing = Mixing(seconds=0.5, sample_rate=RATE, noises=1, p_reverb=0.5)
    manifests = {name: corpus / f"{name}.json" for name in ("clean", "noise", "rir")}
    sources = Sources(manifests, corpus, RATE)
    skipped = SkippedFiles(max_share=0, min_examples=1)
    made, again = (
        noisy(mixed_dataset(mixing, sources, EXAMPLES, skipped)) for _ in range(2)
    )
    assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))
    # The speech has a standard deviation of 0.1, and the lowest gain is -6 dB.
    assert min(float(wave.std()) for wave in made) > 0.04
    assert skipped.met == 0


def test_no_readable_file_at_all_is_an_error(corpus):
    for i in range(FILES):
        remove(corpus / f"clean/{i}.wav")
    with pytest.raises(RuntimeError, match="example 0 of epoch 0: 50 draws met"):
        mixtures(corpus, SkippedFiles(max_share=1.0))[0]


@pytest.mark.parametrize("workers", [0, 2])
def test_past_the_share_training_stops_with_a_summary(corpus, workers):
    remove(corpus / "clean/3.wav")
    log = corpus / "skipped.txt"
    skipped = SkippedFiles(max_share=0.01, log=log, min_examples=20)
    loader = SaveableDataLoader(
        mixtures(corpus, skipped), batch_size=4, num_workers=workers
    )
    # The worker's traceback stands before it.
    message = (
        r"(?s)\d+ of \d+ examples met a file that could not be read, more than the 1.0%"
        r" that max_skipped_share allows; the last was clean/3.wav: .*No such file.*;"
        r" .*skipped.txt names them. Restore the files, or prepare the data again"
    )
    with pytest.raises(TooManySkippedError, match=message):
        list(loader)
    examples = int(skipped.summary().split()[2])
    # Two workers may have begun an example or a batch more.
    assert examples >= 20


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_workers_count_together_and_below_the_share_training_goes_on(corpus, workers):
    cut_off(corpus / "noise/5.wav")
    skipped = SkippedFiles(max_share=0.5, log=corpus / "skipped.txt", min_examples=1)
    loader = SaveableDataLoader(
        mixtures(corpus, skipped), batch_size=4, num_workers=workers
    )
    assert len(list(loader)) == EXAMPLES / 4
    met, _, examples = skipped.summary().split()[:3]
    alone = SkippedFiles(max_share=0.5)
    noisy(mixtures(corpus, alone))
    # Two workers that count at the same instant may count as one: seldom.
    assert int(examples) == pytest.approx(EXAMPLES, abs=2)
    assert int(met) == pytest.approx(alone.met, abs=2)
    assert "noise/5.wav" in (corpus / "skipped.txt").read_text()


def test_a_share_is_looked_at_from_so_many_examples_on():
    skipped = SkippedFiles(max_share=0.1, min_examples=3)
    for _ in range(2):
        skipped.begin_example()
        skipped.add("a.wav", "gone")
    skipped.begin_example()
    with pytest.raises(TooManySkippedError, match="3 of 3 .* the last was b.wav: cut"):
        skipped.add("b.wav", "cut")


def test_at_the_share_itself_nothing_stops():
    skipped = SkippedFiles(max_share=0.5, min_examples=1)
    for i in range(10):
        skipped.begin_example()
        if i % 2:
            skipped.add("a.wav", "gone")
    assert skipped.met == 5


def test_a_copied_dataset_counts_into_the_same_numbers(corpus):
    remove(corpus / "clean/3.wav")
    skipped = SkippedFiles(max_share=1.0)
    noisy(copy.deepcopy(mixtures(corpus, skipped)))
    assert skipped.met > 0


def test_a_share_is_from_0_to_1():
    with pytest.raises(ValueError, match="max_share is 1.5"):
        SkippedFiles(max_share=1.5)
