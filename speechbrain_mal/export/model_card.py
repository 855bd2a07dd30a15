"""The model card: what a model is, how good, trained on what, and how one uses it."""

from collections.abc import Mapping

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

_LISTEN = """
`example_noisy.flac` is speech in noise, `example_enhanced.flac` what the model makes of
it.
"""
_REGISTER = (
    "# after speechbrain_mal.hub.registry.register_model: it is no network of ours\n"
)


# Of one test set: mean scores by column of `speechbrain_mal.metrics`, and the command.
Scores = tuple[Mapping[str, float], str]


def model_card(
    source: str,
    system: str,
    sample_rate: int,
    facts: Mapping[str, object],
    scores: Mapping[str, Scores],
    training_data: str,
    licence: str | None,
    example: bool,
    registered: bool,
) -> str:
    """Return a model card, with the front matter that the hub reads; see `export`.

    `source` is what the usage names, `facts` are by name and `scores` by the test
    set's; `example` says whether there are clips beside the card, `registered` whether
    `MALEnhancement` knows the network.
    """
    name = source.rpartition("/")[2]
    results = [
        EvalResult(
            task_type="speech-enhancement",
            task_name="Speech enhancement",
            dataset_type="audio",
            dataset_name=test_set,
            dataset_config=test_set,  # or the hub takes all sets for one
            metric_type=column,
            metric_name=HEADINGS[column],
            metric_value=round(mean, 3),
        )
        for test_set, (means, _) in scores.items()
        for column, mean in means.items()
    ]
    data = ModelCardData(
        license=licence,
        library_name="speechbrain",
        pipeline_tag="audio-to-audio",
        tags=["speechbrain", "speech-enhancement", "model-as-loss", "noise-reduction"],
        model_name=name,
        eval_results=results or None,
    )
    return _CARD.format(
        front_matter=data.to_yaml(),
        name=name,
        rate=f"{sample_rate / 1000:g}",
        rate_hz=sample_rate,
        system=system,
        source=source,
        register="" if registered else _REGISTER,
        listen=_LISTEN if example else "",
        facts="\n".join(f"| {name} | {value} |" for name, value in facts.items()),
        scores=_table(scores),
        training_data=training_data
        or "Not stated by whoever exported it (`--training-data` states it).",
    )


def _table(scores: Mapping[str, Scores]) -> str:
    if not scores:
        return "None were computed."
    lines = [f"| mean | {' | '.join(scores)} |", f"| --- |{' ---: |' * len(scores)}"]
    for column in dict.fromkeys(c for means, _ in scores.values() for c in means):
        values = [means.get(column) for means, _ in scores.values()]
        cells = ["" if mean is None else f"{mean:.3f}" for mean in values]
        lines.append(f"| {HEADINGS[column]} | {' | '.join(cells)} |")
    commands = dict.fromkeys(command for _, command in scores.values())
    return "\n".join([*lines, "", "```bash", *commands, "```"])
