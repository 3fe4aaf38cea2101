"""What a command may write to, found before its hours of work. Imports no torch."""

from pathlib import Path

from splitwire.destination import check_replaceable, check_writable
from splitwire.errors import BundleError, CheckpointError, ConfigError
from trainer.config import CHECKPOINT

__all__ = ["check_bundle", "check_run"]


def check_run(folder: Path, bundle: Path, *, resume: bool, overwrite: bool) -> None:
    """Return if a training may write its checkpoints to `folder` and then a bundle to `bundle`.

    Raises:
        CheckpointError: nothing to resume, or a run in `folder` that neither resume nor overwrite covers.
        ConfigError: `folder` is within `bundle`, which is replaced as a whole; or as `check_bundle`.
        BundleError: as `check_bundle`.
    """
    there = (folder / CHECKPOINT).exists()
    if resume and not there:
        raise CheckpointError(f"no checkpoint at {folder / CHECKPOINT}")
    if there and not (resume or overwrite):
        raise CheckpointError(f"{folder} has a run already: --resume continues it, --overwrite starts anew")
    if _resolved(folder).is_relative_to(_resolved(bundle)):
        raise ConfigError(
            f"the bundle {bundle} would take the place of the run in {folder}: name another --bundle"
        )
    check_bundle(bundle, replace=resume or overwrite)


def check_bundle(bundle: Path, *, replace: bool) -> None:
    """Return if a bundle may be written to `bundle`. replace: in the place of one that is there.

    Raises:
        ConfigError: one is there, and is not to be replaced.
        BundleError: something else is there, or it cannot be written.
    """
    check_replaceable(bundle)
    if not replace and bundle.exists() and any(bundle.iterdir()):  # an empty folder is none yet
        raise ConfigError(f"{bundle} is there already: --overwrite replaces it")
    check_writable(bundle)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: links in a circle
        raise BundleError(f"{path} cannot be followed: {error}") from error
