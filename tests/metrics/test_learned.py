from urllib.error import URLError

import pytest
import torch

from speechbrain_mal.metrics.learned import one_thread, weights_file


def test_weights_are_fetched_once(tmp_path):
    source, cached = tmp_path / "source.tar", tmp_path / "cache" / "weights.tar"
    source.write_bytes(b"weights")
    for _ in range(2):  # the second time without the source
        path = weights_file(None, str(cached), source.as_uri())
        assert path == str(cached) and cached.read_bytes() == b"weights"
        source.unlink(missing_ok=True)
    assert [*cached.parent.iterdir()] == [cached]


def test_what_is_said_without_a_network(tmp_path, monkeypatch):
    def fail(*args, **kwargs):
        raise URLError("Name or service not known")

    monkeypatch.setattr("urllib.request.urlopen", fail)
    monkeypatch.setattr("torch.hub.urlopen", fail)
    cached = tmp_path / "weights.tar"
    with pytest.raises(FileNotFoundError) as error:
        weights_file(None, str(cached), "https://example.org/weights.tar")
    for part in (str(cached), "https://example.org/weights.tar", "`weights`"):
        assert part in str(error.value)
    assert not cached.exists()


def test_threads_are_given_back_after_an_error():
    threads = torch.get_num_threads()
    with pytest.raises(ZeroDivisionError), one_thread():
        assert not torch.is_grad_enabled()
        1 / 0  # noqa: B018
    assert torch.get_num_threads() == threads
