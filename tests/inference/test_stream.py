"""A stream gives the whole file's result, whatever the pieces, on either engine."""

import gc
import tracemalloc

import pytest
import torch
from streaming_models import EXACT, KINDS, make_model, noise

from speechbrain_mal.inference import (
    OnnxDeepFilterNet2,
    Stream,
    StreamingDeepFilterNet2,
    export_onnx,
    fold,
)
from speechbrain_mal.inference.stream import noise_gain

ENGINES = ["pytorch", "folded", "onnx"]


def engine_of(model, kind, folder):
    if kind == "onnx":
        path = folder / "enhancer.onnx"
        export_onnx(model, path)
        return OnnxDeepFilterNet2(path)
    return StreamingDeepFilterNet2(fold(model) if kind == "folded" else model)


@pytest.fixture(scope="module", params=KINDS)
def any_model(request):
    return make_model(**KINDS[request.param])


@pytest.fixture(scope="module", params=ENGINES)
def any_engine(any_model, request, tmp_path_factory):
    """Return an engine for each kind of model; its model is `any_model`."""
    return engine_of(any_model, request.param, tmp_path_factory.mktemp("any"))


@pytest.fixture(scope="module")
def model():
    return make_model(sample_rate=16000)


@pytest.fixture(scope="module", params=["pytorch", "onnx"])
def engine(model, request, tmp_path_factory):
    return engine_of(model, request.param, tmp_path_factory.mktemp("one"))


def enhance(stream, noisy, piece):
    pieces = [stream.push(part) for part in noisy.split(piece, dim=-1)]
    return torch.cat([*pieces, stream.flush()], dim=-1)


def assert_near(actual, expected):
    limit = EXACT * max(expected.abs().max().item(), 1e-2)  # noise, of 0.1
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("piece", [100, 1000, 10**6])
def test_pieces_of_any_size_give_the_whole_result(any_model, any_engine, piece):
    noisy = noise(9037)  # not a whole number of hops
    assert_near(enhance(Stream(any_engine), noisy, piece), any_model(noisy[None])[0])


def test_single_samples_give_the_whole_result(model, engine):
    noisy = noise(700)
    assert_near(enhance(Stream(engine), noisy, 1), model(noisy[None])[0])


@pytest.mark.parametrize("samples", [0, 1, 159, 160, 161, 320, 799, 800, 801])
def test_signals_shorter_than_the_latency(any_model, any_engine, samples):
    noisy = noise(samples)
    enhanced = enhance(Stream(any_engine), noisy, 50)
    assert enhanced.shape == noisy.shape
    if samples:
        assert_near(enhanced, any_model(noisy[None])[0])


def test_long_pieces_are_cut_into_blocks(model):
    noisy = noise(5 * 16000)  # 500 frames: two blocks
    stream = Stream(StreamingDeepFilterNet2(model))
    assert_near(enhance(stream, noisy, noisy.shape[0]), model(noisy[None])[0])


def test_every_piece_is_that_of_the_other_engine(any_model, any_engine):
    streams = [Stream(any_engine), Stream(StreamingDeepFilterNet2(any_model))]
    assert streams[0].latency_ms == streams[1].latency_ms
    assert streams[0].sample_rate == streams[1].sample_rate
    for piece in noise(5000).split(333):
        actual, expected = (stream.push(piece) for stream in streams)
        torch.testing.assert_close(actual, expected, rtol=0, atol=EXACT)
    assert_near(*(stream.flush() for stream in streams))


def test_speech(model, engine, speech):
    noisy = speech[0] + noise(speech.shape[1])
    assert_near(enhance(Stream(engine), noisy, 512), model(noisy[None])[0])


def test_streams_of_one_model_do_not_mix(model, engine):
    signals = [noise(4000, seed=i) for i in range(3)]
    streams, outputs = [Stream(engine) for _ in signals], [[] for _ in signals]
    for start in range(0, 4000, 250):
        for signal, stream, output in zip(signals, streams, outputs, strict=True):
            output.append(stream.push(signal[start : start + 250]))
    for signal, stream, output in zip(signals, streams, outputs, strict=True):
        enhanced = torch.cat([*output, stream.flush()])
        assert_near(enhanced, model(signal[None])[0])


def test_channels_are_enhanced_each_on_its_own(model, engine):
    noisy = noise(2, 4037)
    together = enhance(Stream(engine, channels=2), noisy, 333)
    for row, channel in zip(together, noisy, strict=True):
        assert_near(row, model(channel[None])[0])


# Latency


@pytest.mark.parametrize(
    ("changes", "latency"), [({}, 60.0), ({"lookahead": 0, "df_lookahead": 0}, 20.0)]
)
def test_no_sample_waits_longer_than_the_latency(changes, latency):
    stream = Stream(StreamingDeepFilterNet2(make_model(sample_rate=16000, **changes)))
    assert stream.latency_ms == latency
    heard, returned, longest = 0, 0, 0
    for piece in noise(8000).split(10):
        returned += len(stream.push(piece))
        heard += 10
        longest = max(longest, heard - returned)
    # The latency, less the pieces' step: the wait ends as the last piece arrives.
    assert longest == latency * 16 - 10


def test_memory_in_onnxruntime_does_not_grow(model, tmp_path):
    stream = Stream(engine_of(model, "onnx", tmp_path), atten_lim_db=12)
    numbers = []
    tracemalloc.start()
    for samples in (16000, 16000, 80000):
        for piece in noise(samples).split(160):
            stream.push(piece)
        numbers.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    # A hop leaves a state of some 30 kB in place of the last; 500 would be 15 MB.
    assert numbers[2] < numbers[1] + 100_000


def test_state_does_not_grow(model):
    stream = Stream(StreamingDeepFilterNet2(model), atten_lim_db=12)

    def numbers():
        gc.collect()
        # Not isinstance: it asks weak proxies, whose object may be gone.
        live = [x for x in gc.get_objects() if issubclass(type(x), torch.Tensor)]
        return sum(x.untyped_storage().nbytes() for x in live)

    for piece in noise(16000).split(160):
        stream.push(piece)
    before = numbers()
    for piece in noise(32000).split(160):
        stream.push(piece)
    del piece
    assert numbers() <= before + 160 * 4


# Attenuation limit


def test_attenuation_limit_leaves_its_share_of_the_noisy_signal(model, engine):
    noisy = noise(4037)
    stream = Stream(engine, atten_lim_db=20)
    expected = 0.1 * noisy + 0.9 * model(noisy[None])[0]
    assert_near(enhance(stream, noisy, 333), expected)


def test_limit_of_zero_changes_nothing(model):
    noisy = noise(4037)
    stream = Stream(StreamingDeepFilterNet2(model), atten_lim_db=0)
    torch.testing.assert_close(enhance(stream, noisy, 333), noisy)


@pytest.mark.parametrize("limit", [-1, float("nan")])
def test_negative_limit_is_an_error(limit):
    with pytest.raises(ValueError, match="0 dB or more"):
        noise_gain(limit)


# Errors


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (torch.zeros(2, 100), r"takes samples \[n\], not \[2, 100\]"),
        (torch.zeros(100, dtype=torch.int16), r"floating point.*not torch\.int16"),
        (torch.tensor([0.0, float("nan")]), "NaN or infinite"),
        (torch.tensor([0.0, float("inf")]), "NaN or infinite"),
    ],
)
def test_bad_samples_are_an_error_and_change_nothing(model, engine, samples, message):
    noisy = noise(2000)
    stream = Stream(engine)
    first = stream.push(noisy[:999])
    with pytest.raises(ValueError, match=message):
        stream.push(samples)
    rest = [stream.push(noisy[999:]), stream.flush()]
    assert_near(torch.cat([first, *rest]), model(noisy[None])[0])


def test_another_number_of_channels_is_an_error(model):
    stream = Stream(StreamingDeepFilterNet2(model), channels=2)
    with pytest.raises(ValueError, match=r"\[2, n\], not \[3, 10\]"):
        stream.push(torch.zeros(3, 10))


def test_flushed_stream_takes_nothing_more(model):
    stream = Stream(StreamingDeepFilterNet2(model))
    stream.flush()
    for call in (stream.flush, lambda: stream.push(torch.zeros(10))):
        with pytest.raises(RuntimeError, match="flushed; a new signal needs a new one"):
            call()


def test_digital_silence_stays_finite(engine):
    stream = Stream(engine)
    enhanced = enhance(stream, torch.zeros(16000), 4000)
    assert enhanced.shape == (16000,)
    assert enhanced.abs().max() == 0
