"""A setting is recommended where it is better by the rule, and nothing else is."""

import numpy as np

from experiments.sweep import recommend


def runs(gains, seeds="123"):
    rng = np.random.default_rng(0)
    base = rng.normal(3, 1, 40)
    return {
        name: {
            seed: {
                str(c): {"nisqa_mos": x + nisqa + 0.02 * rng.normal(), "pesq": x + pesq}
                for c, x in enumerate(base)
            }
            for seed in seeds
        }
        for name, (nisqa, pesq) in gains.items()
    }


def choose(gains, seeds="123"):
    names = [name for name in gains if name != "default"]
    found = runs(gains, seeds)
    return recommend(found, "default", [*names, "lost"], "nisqa_mos", "pesq", 0.05)


def test_the_best_that_keeps_the_guard():
    gains = {"default": (0, 0), "a": (0.1, 0), "b": (0.2, -0.04), "c": (0.3, -0.2)}
    found = choose(gains)
    assert found.setting == "b" and list(found.gains) == ["c", "b", "a"]


def test_the_default_stays_unless_another_is_clearly_better():
    found = choose({"default": (0, 0), "a": (0.0, 0), "b": (-0.1, 0)})
    assert found.setting == "default" and "not better by the rule" in found.reason
    found = choose({"default": (0, 0), "a": (0.1, 0)}, seeds="1")
    assert found.setting == "default" and "1 seed" in found.reason
    found = choose({"default": (0, 0), "a": (0.1, -0.2)})
    assert found.setting == "default" and "keeps pesq" in found.reason
