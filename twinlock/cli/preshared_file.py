"""A new peer's pre-shared key on the device that enrols it: shown once, as a file of 0600, and wrapped for the others.

The file is there before the peer: a peer whose key nobody has would be of no use. Refused, and it is gone again.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from twinlock.cli.cloud import Environment
from twinlock.cli.private_key import write_private
from twinlock.registry.errors import Refused
from twinlock.registry.ground import tenant_of
from twinlock.registry.model import Wanted
from twinlock.registry.preshared import DataKey, PresharedKey, make_preshared_key, preshared_key_from_text


@contextmanager
def made_for(opened: Environment, tenant: str, public_key: str, file: Path | None) -> Generator[str | None]:
    """The wrapped key of a peer that is enrolled in the block; None where the tenant has none."""
    if _wants(opened, tenant):
        if file is None:
            raise Refused(f"tenant {tenant} has pre-shared keys: pass --preshared-key-file FILE, which is written here")
        with _made(current_data_key(opened, tenant), public_key, file) as wrapped:
            yield wrapped
    elif file is not None:
        raise Refused(f"tenant {tenant} has no pre-shared keys: leave out {file}")
    else:
        yield None


@contextmanager
def made_for_some(
    opened: Environment, tenant: str, wanted: Sequence[Wanted], folder: Path | None
) -> Generator[list[Wanted]]:
    """The same for several: TENANT.NAME.psk in the folder that `check_folder` has seen."""
    if folder is None or not _wants(opened, tenant):
        yield list(wanted)
        return
    data_key = current_data_key(opened, tenant)
    with ExitStack() as files:
        yield [
            replace(
                one,
                preshared=files.enter_context(_made(data_key, one.public_key, folder / f"{tenant}.{one.name}.psk")),
            )
            for one in wanted
        ]


def check_folder(opened: Environment, tenants: Iterable[str], folder: Path | None) -> None:
    """Raises Refused before anything is done, if there is no folder to write to."""
    wanting = [tenant for tenant in tenants if _wants(opened, tenant)]
    if wanting and folder is None:
        raise Refused(f"tenant {wanting[0]} has pre-shared keys: pass --preshared-keys FOLDER, where they are written")
    if folder is not None and not folder.is_dir():
        raise Refused(f"{folder} is no folder: make it, readable by you alone")


def current_data_key(opened: Environment, tenant: str) -> DataKey:
    """The one that wraps now. Raises Refused if there is none yet, or the caller may not open it."""
    sealed = opened.registry.data_keys.current(tenant)
    if sealed is None:
        raise Refused(f"no gateway has made the data key of tenant {tenant} yet: try again in a minute")
    return opened.envelope().open(sealed)


def read_preshared_key(path: Path) -> PresharedKey:
    """Raises Refused."""
    try:
        return preshared_key_from_text(path.read_text("ascii"), str(path))
    except (OSError, UnicodeDecodeError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "not base64"
        raise Refused(f"can't read a pre-shared key from {path}: {reason}") from exc


@contextmanager
def _made(data_key: DataKey, public_key: str, file: Path) -> Generator[str]:
    key = make_preshared_key()
    write_private(file, key.reveal() + "\n", replace=False)
    try:
        yield data_key.wrap(key, public_key)
    except Refused:
        file.unlink()
        raise


def _wants(opened: Environment, tenant: str) -> bool:
    return tenant_of(opened.registry.definition(), tenant).preshared_keys
