#!/usr/bin/env python3
"""Pack a DNS-Challenge corpus into shards, for storage without fast random access.

> python pack_shards.py /path/to/DNS4 results/baseline/1234 /path/to/shards

takes the manifests of a run's output folder; a packing that was stopped goes on when
the same command is given again. Training reads them with --shards_folder.
"""

import argparse

from speechbrain_mal.data import pack_shards

if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data_folder", help="what the manifests' names are relative to")
    parser.add_argument("manifest_folder", help="with train_clean.json and so on")
    parser.add_argument("output", help="folder of the shards")
    parser.add_argument("--mib", type=int, default=512, help="of a shard (512)")
    options = parser.parse_args()
    print(
        pack_shards(
            options.manifest_folder,
            options.data_folder,
            options.output,
            options.mib * 2**20,
        )
    )
