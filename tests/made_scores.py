"""Made-up scores of an experiment, where its steps would have written them."""

import pandas as pd

from experiments.gains import Scores


def write_scores(folder, runs, columns):
    """Write and return scores `[clips, columns]`, by "round/set/system/seed"."""
    for path, values in runs.items():
        file = folder / f"{path}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        table = pd.DataFrame(values, columns=columns).add_prefix("c", axis="index")
        table.to_csv(file, index_label="clip")
    about = [f"{name},s{i % 8},n{i // 5}" for i, name in enumerate(table.index)]
    (folder / "clips.csv").write_text("\n".join(["clip,speaker,noise", *about]))
    return Scores(folder)
