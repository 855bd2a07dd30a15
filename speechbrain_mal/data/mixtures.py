"""A SpeechBrain dataset of mixtures that are made as they are asked for."""

import os
from collections.abc import Callable, Mapping
from functools import partial

import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.data_pipeline import provides, takes

from speechbrain_mal.data.mixing import Mixing
from speechbrain_mal.data.plan import Plan, Planner
from speechbrain_mal.data.render import Read, SilentSegmentError, render
from speechbrain_mal.data.shared import SkippedFiles
from speechbrain_mal.data.sources import Sources, UnreadableFileError

_ATTEMPTS = 50  # of which all would have to draw silence, or bad files


def make_mixture(
    index: int,
    mixing: Mixing,
    planner: Callable[[int, int, int], Plan],
    read: Read,
    skipped: SkippedFiles,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `noisy` and `clean`, float32 `[samples]`, by the first plan that works.

    Where a drawn stretch is silent or its file can't be read, the example's next
    attempt is made instead: a function of (seed, epoch, index, attempt), so that the
    same examples come again as long as the same files are there.
    """
    skipped.begin_example()
    for attempt in range(_ATTEMPTS):
        try:
            mixture = render(planner(mixing.epoch, index, attempt), mixing, read)
        except UnreadableFileError as error:
            skipped.add(error.file, error.reason)
        except SilentSegmentError:
            continue
        else:
            return torch.from_numpy(mixture.noisy), torch.from_numpy(mixture.clean)
    raise RuntimeError(
        f"example {index} of epoch {mixing.epoch}: {_ATTEMPTS} draws met nothing but "
        "silence or unreadable files; is the corpus mostly silent?"
    )


def mixed_dataset(
    mixing: Mixing,
    manifests: Mapping[str, str | os.PathLike],
    data_folder: str | os.PathLike,
    examples: int,
    skipped: SkippedFiles | None = None,
) -> DynamicItemDataset:
    """Build a dataset of mixtures, made anew in every epoch that `mixing` is set to.

    The items are `id` (str, the example's number) and `noisy` and `clean` (float32,
    `[samples]` each). An example is a function of (seed, epoch, number) alone: the same
    with any number of workers or processes, in any order, and after a resume. Without
    `mixing.set_epoch` it is the same in every epoch, as validation wants it.

    Arguments
    ---------
    mixing : Mixing
        The settings, and the epoch. Files of a higher rate are resampled.
    manifests, data_folder : mapping of str to path, path
        JSON manifests as `prepare_dns` writes them, for "clean", "noise" and, unless
        there is none, "rir"; and what the names in them are relative to.
    examples : int
        How many make an epoch.
    skipped : SkippedFiles, optional
        Where unreadable files are counted; at its defaults without it.

    Raises
    ------
    FileNotFoundError, ValueError
        If a manifest is missing, damaged or too short for a mixture, or without
        examples.

    Example
    -------
    >>> import json, numpy, soundfile
    >>> folder = getfixture("tmp_path")
    >>> soundfile.write(folder / "a.wav", numpy.full(32000, 0.1), 16000)
    >>> entry = {"a.wav": {"samples": 32000, "sample_rate": 16000}}
    >>> _ = (folder / "a.json").write_text(json.dumps(entry))
    >>> manifests = dict.fromkeys(["clean", "noise"], folder / "a.json")
    >>> mixing = Mixing(seconds=1, sample_rate=16000, p_reverb=0)
    >>> dataset = mixed_dataset(mixing, manifests, folder, examples=4)
    >>> dataset[3]["id"], dataset[3]["noisy"].shape
    ('mix0000003', torch.Size([16000]))
    """
    if examples < 1:
        raise ValueError(f"examples is {examples}: an epoch has one at least")
    sources = Sources(manifests, data_folder, mixing.sample_rate)
    clean, noise, rirs = map(sources.samples, ("clean", "noise", "rir"))
    make = partial(
        make_mixture,
        mixing=mixing,
        planner=Planner(mixing, clean, noise, len(rirs)),
        read=sources.read,
        skipped=skipped or SkippedFiles(),
    )
    dataset = DynamicItemDataset(
        {f"mix{index:07d}": {"index": index} for index in range(examples)}
    )
    dataset.add_dynamic_item(takes("index")(provides("noisy", "clean")(make)))
    dataset.set_output_keys(["id", "noisy", "clean"])
    return dataset
