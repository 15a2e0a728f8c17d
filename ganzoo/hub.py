"""Models on the Hugging Face hub, or on another one at $HF_ENDPOINT: one file of weights, and a README.

The hub's own library does the work, in its own cache and with its own login; nothing that it fetches is run.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ganzoo.errors import GanzooError, Offline

WEIGHTS, CARD = "model.safetensors", "README.md"
NAME = re.compile(r"[A-Za-z0-9][\w-]{0,95}/[A-Za-z0-9][\w-]{0,95}", re.ASCII)
LOGIN = "Log in with `hf auth login`, or set HF_TOKEN"


def is_name(name: str) -> bool:
    """Whether it is "user/name", and no path in a folder that there is."""
    return (
        NAME.fullmatch(name) is not None and not Path(name).parent.exists()
    )  # "runs/old" is a path where there are runs


def pull(name: str) -> Path:
    """The weights of "user/name", downloaded where the hub's cache has not got them; nothing else but its README is.

    Raises Offline where the hub cannot be reached and the cache has nothing; GanzooError where there is no such model,
    or it is private, or the extra "hub" is not installed.
    """
    library = _library()
    with _told(library, name):
        if not isinstance(library.try_to_load_from_cache(name, WEIGHTS), str):
            library.model_info(name)  # fails at once, where the download tries again for long
        weights = library.hf_hub_download(name, WEIGHTS, library_name="ganzoo")
        with suppress(library.errors.EntryNotFoundError):
            library.hf_hub_download(name, CARD, library_name="ganzoo")
    return Path(weights)


def may_push(name: str, public: bool) -> None:
    """Raises GanzooError where nothing can be pushed as "user/name": see `push`. Nothing is changed."""
    if not NAME.fullmatch(name):
        raise GanzooError(f'"{name}" is no name on the hub. Write user/name, of letters, digits, "-" and "_".')
    library = _library()
    if not library.get_token():
        raise GanzooError(f"Pushing to the hub needs a login. {LOGIN}.")
    with _told(library, name):
        try:
            info = library.model_info(name)
        except library.errors.RepositoryNotFoundError:
            return
    if not public and not info.private:
        raise GanzooError(
            f"{name} is public already, and so would be what is pushed: add --public, or take another name."
        )


def push(folder: Path, name: str, public: bool = False) -> str:
    """Puts the files of the folder on the hub as "user/name", privately unless `public`; gives the address.

    A model that is there already gets them as a new revision. Raises GanzooError where nobody is logged in, the name is
    another one's, the model is public and `public` is not given, or the hub cannot be reached.
    """
    may_push(name, public)
    library = _library()
    with _told(library, name):
        api = library.HfApi(library_name="ganzoo")
        url = api.create_repo(name, private=not public, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, commit_message="Push with ganzoo")
    return str(url)


def _library() -> Any:
    try:
        import huggingface_hub
        from huggingface_hub import errors, utils
    except ImportError:
        raise GanzooError('The hub needs more than is installed: pip install "ganzoo[hub]"') from None
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    assert errors
    return huggingface_hub


@contextmanager
def _told(library: Any, name: str) -> Iterator[None]:
    """Inside, what the hub's library raises becomes a sentence."""
    errors, place = library.errors, library.constants.ENDPOINT
    try:
        yield
    except errors.GatedRepoError as error:
        raise GanzooError(f"{name} is given to those only who agree to its terms: {place}/{name}") from error
    except errors.RepositoryNotFoundError as error:
        raise GanzooError(f"There is no model {name} at {place}, or it is private. {LOGIN} if it is yours.") from error
    except errors.LocalEntryNotFoundError as error:
        raise Offline(
            f"{place} cannot be reached, and {name} is not in its cache yet. Connect to the internet."
        ) from error
    except errors.EntryNotFoundError as error:
        raise GanzooError(f"{name} at {place} holds no {WEIGHTS}, so it is none of ganzoo's models.") from error
    except errors.HfHubHTTPError as error:
        code = error.response.status_code
        known = {
            401: f"it does not know you. {LOGIN}.",
            403: f"your token may not do that to {name}. {LOGIN} with one that may.",
        }
        raise GanzooError(f"{place} refused: {known.get(code, f'it answered {code}. Try again later.')}") from error
    except errors.OfflineModeIsEnabled as error:
        raise Offline(f"{place} is not asked, as HF_HUB_OFFLINE is set.") from error
    except (errors.HTTPError, ConnectionError) as error:
        raise Offline(f"{place} cannot be reached ({type(error).__name__}). Connect to the internet.") from error
    except OSError as error:
        raise GanzooError(f"The cache of the hub cannot be used ({error.strerror or error}).") from error
