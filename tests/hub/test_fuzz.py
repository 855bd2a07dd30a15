"""Folders changed at random: a clear error or a correct load, in bounded memory."""

import json
import os
import random
import resource
import shutil
import struct
import subprocess
import sys
import time

from speechbrain_mal.hub.folder import load_folder

WEIGHTS = "enhancer.safetensors"
ATTEMPTS = 500
MEMORY = 1 << 30  # bytes above what the process has when it begins
TOKENS = (
    "0 -1 1 2 4095 4097 1e9 1e999 9223372036854775808 true null NaN [] {} [[1]]".split()
)
TOKENS += ['"F32"', '"I64"', '"BF16"', '"C64"', '"\\u001b"', '"\\ud800"', '"os.system"']
TOKENS += ['{"class": "torch.nn.Sigmoid", "arguments": {}}', '"' + "x" * 70_000 + '"']


def mutated_json(rng: random.Random, value: object) -> bytes:
    """Return JSON, one or more of its values or keys replaced, swapped or left out."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        inside, key = value, None
        for _ in range(rng.randrange(1, 7)):
            if not (isinstance(inside, dict | list) and inside):
                break
            outer = inside
            key = rng.choice(
                list(inside) if isinstance(inside, dict) else range(len(inside))
            )
            inside = outer[key]
        if key is None:
            continue
        kind = rng.randrange(6)
        if kind == 0:
            del outer[key]
        elif kind == 1 and isinstance(outer, dict):
            outer[rng.choice((f"{key}x", "*", "__class__", "later", ""))] = inside
        elif kind == 2 and type(inside) is int:
            outer[key] = inside + rng.choice((-1, 1, inside, 1 << 40, -inside))
        elif kind == 3:
            outer[key] = [inside] * rng.randrange(3)
        else:
            outer[key] = f"\0{rng.randrange(len(TOKENS))}\0"
    text = json.dumps(value)
    for number, token in enumerate(TOKENS):
        text = text.replace(f'"\\u0000{number}\\u0000"', token)
    return text.encode()


def mutated_bytes(rng: random.Random, data: bytes) -> bytes:
    """Return bytes, some of them flipped, cut out, repeated or put in."""
    data = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        at, length = rng.randrange(len(data) + 1), rng.randrange(1, 30)
        kind = rng.randrange(4)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + length]
        elif kind == 2:
            data[at:at] = data[at : at + length]
        else:
            data[at:at] = rng.randbytes(length)
    return bytes(data)


def main(folder: str) -> None:
    """Load mutants of a folder; print what became of them."""
    rng, outcomes, longest = random.Random(0), {"loaded": 0, "refused": 0}, 0.0
    config_path, path = (
        os.path.join(folder, "config.json"),
        os.path.join(folder, WEIGHTS),
    )
    with open(config_path, "rb") as file:
        config = file.read()
    with open(path, "rb") as file:
        whole = file.read()
    (length,) = struct.unpack("<Q", whole[:8])
    header, data = whole[8 : 8 + length], whole[8 + length :]
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    expected = {k: v.sum() for k, v in load_folder(folder)[0].state_dict().items()}
    for number in range(ATTEMPTS):
        kind, parts = number % 4, (config, header)
        part = parts[kind % 2]
        if kind < 2:
            new = mutated_json(rng, json.loads(part))
        else:
            new = mutated_bytes(rng, part)
        if kind % 2:
            size = (
                len(new)
                if rng.random() < 0.9
                else rng.choice((0, 1, 1 << 40, 2**64 - 1))
            )
            mutant = struct.pack("<Q", size) + new + data
        with open(path if kind % 2 else config_path, "wb") as file:
            file.write(mutant if kind % 2 else new)
        begin = time.perf_counter()
        try:
            model, rate = load_folder(folder)
        except ValueError as error:
            assert folder in str(error) and str(error).isprintable(), repr(error)
            assert len(str(error)) < 1500, len(str(error))
            outcomes["refused"] += 1
        else:  # what does not count was changed, or nothing at all
            assert rate == 16000
            weights = model.state_dict()
            assert {k: v.sum() for k, v in weights.items()} == expected
            outcomes["loaded"] += 1
        longest = max(longest, time.perf_counter() - begin)
        if kind % 2:
            with open(path, "wb") as file:
                file.write(whole)
        else:
            with open(config_path, "wb") as file:
                file.write(config)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    outcomes |= {"cpu_s": usage.ru_utime + usage.ru_stime, "longest_s": longest}
    print(json.dumps({**outcomes, "peak_mib": usage.ru_maxrss / 1024}))


def test_mutants_are_refused_or_load_correctly(exported, tmp_path):
    copy = shutil.copytree(exported, tmp_path / "mutant")
    begin = time.perf_counter()
    done = subprocess.run(
        [sys.executable, __file__, str(copy)],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["loaded"] + result["refused"] == ATTEMPTS
    # Both ends are reached, and none takes long: loading takes 0.05 s.
    assert result["loaded"] > 10 and result["refused"] > ATTEMPTS / 2, result
    assert result["longest_s"] < 5, result
    print(result, f"{time.perf_counter() - begin:.1f} s")
    assert sorted(os.listdir(tmp_path)) == ["exported", "mutant"]


if __name__ == "__main__":
    main(sys.argv[1])
