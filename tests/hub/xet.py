"""The Xet lane: tokens that point the real Xet client at a store in a local folder.

A commit names a Xet file by its sha256 alone, so the Xet hash is read from the store's shard
files. The bytes are fetched once from a copy of the store (the client's process keeps a lock on
the original), because plain and ranged GETs are served from them.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from hub.access import find_readable, find_writable
from hub.state import HubState
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

RECORD_BYTES = 48
END_OF_FILES = b"\xff" * 32
WITH_VERIFICATION, WITH_SHA256 = 1 << 31, 1 << 30


def spell_hash(raw: bytes) -> str:
    """Return a hash as Xet writes it: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


def read_shard(content: bytes) -> Iterator[tuple[str, str]]:
    """Yield (sha256, Xet hash) of the files that a shard describes."""
    at = RECORD_BYTES  # the first record is the shard's header
    while content[at : at + 32] != END_OF_FILES and at + RECORD_BYTES <= len(content):
        raw, (flags, n_parts) = content[at : at + 32], struct.unpack_from("<2I", content, at + 32)
        at += RECORD_BYTES * (1 + n_parts * (2 if flags & WITH_VERIFICATION else 1))
        if flags & WITH_SHA256:
            yield spell_hash(content[at : at + 32]), spell_hash(raw)
            at += RECORD_BYTES


def fetch_file(xet_store: Path, xet_hash: str, target: Path) -> None:
    """Write the bytes behind a Xet hash to ``target``."""
    from hf_xet import XetFileInfo, XetSession  # type: ignore[import-untyped]

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "store"
        shutil.copytree(xet_store, copy)
        with XetSession().new_file_download_group(endpoint=f"local://{copy}") as group:
            group.start_download_file(XetFileInfo(xet_hash), str(target))


def adopt_xet_file(store: Path, sha256: str) -> str | None:
    """Return the Xet hash of an uploaded file, if it came through the Xet store."""
    xet_store = store / "xet"
    for shard in sorted(xet_store.glob("**/shards/*.mdb")):
        xet_hash = dict(read_shard(shard.read_bytes())).get(sha256)
        if xet_hash is not None:
            if not (store / sha256).exists():
                fetch_file(xet_store, xet_hash, store / sha256)
            return xet_hash
    return None


async def give_token(state: HubState, request: Request, at: dict[str, str]) -> Response:
    find = find_writable if at["kind"] == "write" else find_readable
    find(state, request, at["type"], at["id"])
    expiry = int(time.time()) + 3600
    address = state.xet_address or f"local://{state.store / 'xet'}"
    body = {"casUrl": address, "accessToken": "xet", "exp": expiry}
    headers = {
        "X-Xet-Cas-Url": address,
        "X-Xet-Access-Token": "xet",
        "X-Xet-Token-Expiration": str(expiry),
    }
    return JSONResponse(body, headers=headers)
