"""The model card: what a model is, how good, trained on what, and how one uses it."""

from dataclasses import dataclass, field
from typing import NamedTuple

from huggingface_hub import EvalResult, ModelCardData

from speechbrain_mal.metrics.registry import HEADINGS

_CARD = """\
---
{front_matter}
---
# {name}

A speech enhancer: it removes noise from speech at {rate} kHz. Trained with
[speechbrain-mal](https://pypi.org/project/speechbrain-mal/) ("Model as Loss",
Interspeech 2025), system `{system}`.

## Use

```bash
pip install speechbrain-mal
speechbrain-mal enhance noisy.wav -o enhanced.wav --model {source}
```

```python
from speechbrain_mal import MALEnhancement

{register}enhancer = MALEnhancement.from_hparams("{source}")
enhancer.enhance_file("noisy.wav", "enhanced.wav")  # any rate, length, channels
enhanced = enhancer.enhance_batch(noisy, lengths)  # [batch, samples] at {rate_hz} Hz
```

SpeechBrain's own interface loads it, too, with whole files of {rate_hz} Hz in memory:
`speechbrain.inference.enhancement.WaveformEnhancement.from_hparams("{source}")`.
{listen}
## Facts

| | |
| --- | --- |
{facts}

## Scores

{scores}

## Training data

{training_data}

## Limits

It was trained for one speaker in noise; what it makes of music, of several speakers or
of other recording conditions than those of its training data was not measured, unless a
table above says so. It may remove quiet speech, and it is no means to make speech out
of noise alone.

## Citation

```bibtex
@inproceedings{{phaye2025model,
  title     = {{Model as Loss: A Self-Consistent Training Paradigm}},
  author    = {{Phaye, S. R. and Cernak, M. and Harper, A.}},
  booktitle = {{Proc. Interspeech}},
  year      = {{2025}},
  doi       = {{10.21437/Interspeech.2025-855}}
}}
```
"""

_REGISTER = (
    "# after speechbrain_mal.hub.registry.register_model: it is no network of ours\n"
)


class Scores(NamedTuple):
    """Scores of one test set.

    Attributes
    ----------
    means : dict of str to float
        Mean scores by column of `speechbrain_mal.metrics`.
    command : str
        The command that gave them.
    """

    means: dict[str, float]
    command: str


@dataclass(frozen=True)
class Facts:
    """What a model card states.

    Attributes
    ----------
    name : str
        Of the model.
    source : str
        Hub id or folder that the usage names.
    system : str
        The recipe's system, such as `mal_dynamic`.
    sample_rate : int
        In Hz.
    table : dict of str to str
        Further facts by name: parameters, latency, versions.
    scores : dict of str to Scores
        By the name of the test set.
    training_data : str
        What it was trained on, and the licences.
    licence : str, optional
        Of the weights, as the hub names it.
    example : bool
        Whether `example_noisy.flac` and `example_enhanced.flac` are beside the card.
    registered : bool
        Whether `MALEnhancement` knows the network.
    """

    name: str
    source: str
    system: str
    sample_rate: int
    table: dict[str, str] = field(default_factory=dict)
    scores: dict[str, Scores] = field(default_factory=dict)
    training_data: str = ""
    licence: str | None = None
    example: bool = False
    registered: bool = True


def model_card(facts: Facts) -> str:
    """Return a model card, with the front matter that the hub reads.

    Arguments
    ---------
    facts : Facts
        What it states.

    Example
    -------
    >>> scores = {"test": Scores({"pesq": 2.5}, "make demo")}
    >>> facts = Facts("quiet", "me/quiet", "mal_dynamic", 16000, scores=scores)
    >>> card = model_card(facts)
    >>> "| PESQ-WB | 2.500 |" in card, "type: pesq" in card
    (True, True)
    """
    rate = f"{facts.sample_rate / 1000:g}"
    listen = ""
    if facts.example:
        listen = (
            "\n`example_noisy.flac` is speech in noise, `example_enhanced.flac` what "
            "the model makes of it.\n"
        )
    return _CARD.format(
        front_matter=_front_matter(facts),
        name=facts.name,
        rate=rate,
        rate_hz=facts.sample_rate,
        system=facts.system,
        source=facts.source,
        register="" if facts.registered else _REGISTER,
        listen=listen,
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.table.items()),
        scores=_scores(facts.scores),
        training_data=facts.training_data
        or "Not stated by whoever exported it (`--training-data` states it).",
    )


def _front_matter(facts: Facts) -> str:
    results = [
        EvalResult(
            task_type="speech-enhancement",
            task_name="Speech enhancement",
            dataset_type="audio",
            dataset_name=name,
            dataset_config=name,  # or the hub takes all sets for one
            metric_type=column,
            metric_name=HEADINGS[column],
            metric_value=round(mean, 3),
        )
        for name, scores in facts.scores.items()
        for column, mean in scores.means.items()
    ]
    data = ModelCardData(
        license=facts.licence,
        library_name="speechbrain",
        pipeline_tag="audio-to-audio",
        tags=["speechbrain", "speech-enhancement", "model-as-loss", "noise-reduction"],
        model_name=facts.name,
        eval_results=results or None,
    )
    return data.to_yaml()


def _scores(scores: dict[str, Scores]) -> str:
    if not scores:
        return "None were computed."
    columns = dict.fromkeys(c for one in scores.values() for c in one.means)
    lines = [f"| mean | {' | '.join(scores)} |", f"| --- |{' ---: |' * len(scores)}"]
    for column in columns:
        means = [one.means.get(column) for one in scores.values()]
        cells = ["" if mean is None else f"{mean:.3f}" for mean in means]
        lines.append(f"| {HEADINGS[column]} | {' | '.join(cells)} |")
    commands = dict.fromkeys(one.command for one in scores.values())
    return "\n".join([*lines, "", "```bash", *commands, "```"])
