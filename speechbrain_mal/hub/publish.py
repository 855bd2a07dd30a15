"""An exported folder onto the Hugging Face hub, in one commit."""

import os
from pathlib import Path

from huggingface_hub import CommitOperationAdd, HfApi

from speechbrain_mal.files import read_bytes
from speechbrain_mal.hub.repositories import clear_errors, is_repo_id

REQUIRED = ("hyperparams.yaml", "config.json", "enhancer.safetensors", "README.md")
OPTIONAL = ("*.flac", "*.wav", "*.png", "LICENSE")  # example clips, figures
_LARGEST = 2 << 30  # bytes of a file


def publish(
    folder: str | os.PathLike,
    repo_id: str,
    private: bool = False,
    revision: str | None = None,
    token: str | None = None,
    commit_message: str | None = None,
) -> str:
    """Upload an exported folder; the repository is made if there is none.

    Only what `speechbrain-mal export` writes is uploaded (`REQUIRED`, and what matches
    `OPTIONAL`), whatever else lies in the folder. All of it is one commit, so whoever
    loads the repository meanwhile gets the old enhancer or the new one.

    Arguments
    ---------
    folder : path
        What `speechbrain-mal export` wrote.
    repo_id : str
        The repository, `user/name`.
    private : bool
        Whether only its owner may see it. One that is there already stays what it is:
        asked to publish privately into a public one, this stops before the upload.
    revision : str, optional
        A branch, made if there is none; `main` by default.
    token : str, optional
        A token with write access; by default the one stored by `hf auth login`, or of
        the environment variable HF_TOKEN.
    commit_message : str, optional
        The commit's title.

    Returns
    -------
    str
        The commit's address, which ends in the hash that `revision` takes. That of the
        last commit when nothing has changed.

    Raises
    ------
    ValueError
        When the folder is not an exported one, the id has the wrong form, or the hub
        can't be reached or refuses.

    Example
    -------
    >>> publish(getfixture("tmp_path"), "user/name")
    Traceback (most recent call last):
    ValueError: ...: not an exported enhancer, hyperparams.yaml, ... missing; ...
    """
    files = _exported(Path(folder))
    if not is_repo_id(repo_id):
        raise ValueError(f"'{repo_id}' is not the id of a repository, as user/name is.")
    api = HfApi(token=token or True)  # True: the stored one
    with clear_errors(repo_id, publishing=True):
        api.create_repo(repo_id, private=private, exist_ok=True)
        hidden = api.repo_info(repo_id).private
    if private and not hidden:
        raise ValueError(
            f"{repo_id}: it is public already, and was to be private; nothing was "
            "uploaded. Make it private in its settings, or name another one."
        )
    with clear_errors(repo_id, revision, publishing=True):
        if revision is not None:
            api.create_branch(repo_id, branch=revision, exist_ok=True)
        commit = api.create_commit(  # upload_folder may make several commits of it
            repo_id,
            [CommitOperationAdd(name, content) for name, content in files.items()],
            commit_message=commit_message or "Upload of a speech enhancer",
            revision=revision,
        )
    return commit.commit_url


def _exported(folder: Path) -> dict[str, bytes]:
    """Return the files of an exported folder, or say why it is none."""
    if not folder.is_dir():
        raise ValueError(f"{folder}: there is no such folder.")
    missing = [name for name in REQUIRED if not os.path.lexists(folder / name)]
    if missing:
        raise ValueError(
            f"{folder}: not an exported enhancer, {', '.join(missing)} missing; write "
            f"one with `speechbrain-mal export RESULTS_FOLDER {folder}`."
        )
    optional = {
        file.name
        for pattern in OPTIONAL
        for file in folder.glob(pattern)
        if not file.name.startswith(".")
    }
    names = (*REQUIRED, *sorted(optional))
    return {name: read_bytes(folder, name, _LARGEST) for name in names}
