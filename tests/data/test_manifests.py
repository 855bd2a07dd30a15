"""Manifests of one preparation are visible together, whenever the process dies."""

import json
import multiprocessing
import os

import pytest

from speechbrain_mal.data.manifests import is_current, write_manifests

NAMES = ("train.json", "valid.json", "test.json")


def manifests(version):
    return {name: {"p225_001": {"version": version}} for name in NAMES}


def write_and_die(folder, version, successes):
    """Die as by SIGKILL, without any clean-up, at a given replacement."""
    real, calls = os.replace, []

    def replace(*paths):
        if len(calls) == successes:
            os._exit(9)
        calls.append(paths)
        real(*paths)

    os.replace = replace
    write_manifests(folder, manifests(version), {"version": version})


@pytest.mark.parametrize("successes", range(4))
def test_a_kill_never_leaves_a_mixed_set(tmp_path, successes):
    write_manifests(tmp_path, manifests(1), {"version": 1})
    process = multiprocessing.get_context("fork").Process(
        target=write_and_die, args=(tmp_path, 2, successes)
    )
    process.start()
    process.join()
    assert process.exitcode == 9
    visible = [path for path in tmp_path.glob("[!.]*.json")]
    versions = {json.loads(path.read_text())["p225_001"]["version"] for path in visible}
    assert versions <= {2}
    assert not is_current(tmp_path, NAMES, {"version": 1})
    assert not is_current(tmp_path, NAMES, {"version": 2})  # it is prepared again


def test_old_manifests_stay_if_the_new_ones_cannot_be_written(tmp_path):
    write_manifests(tmp_path, manifests(1), {"version": 1})
    unwritable = {**manifests(2), "test.json": {"p225_001": object()}}
    with pytest.raises(TypeError):
        write_manifests(tmp_path, unwritable, {"version": 2})
    assert is_current(tmp_path, NAMES, {"version": 1})
    assert sorted(os.listdir(tmp_path)) == sorted([*NAMES, "prepare.json"])
