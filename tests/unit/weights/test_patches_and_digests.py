"""Weight patches, and content digests of files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from engine.weights.checkpoint import FileStamp
from engine.weights.digests import MemoryDigestStore, content_digest
from engine.weights.patches import NO_PATCHES, PatchSet


@dataclass(frozen=True)
class Scale:
    factor: float
    name: str = "w"

    @property
    def identity(self) -> str:
        return f"scale {self.name} {self.factor}"

    @property
    def names(self) -> frozenset[str]:
        return frozenset({self.name})

    def apply(self, name: str, weight: torch.Tensor) -> torch.Tensor:
        return weight.mul_(self.factor)


def test_patches_are_applied_in_order_to_the_weights_they_name() -> None:
    patches = PatchSet((Scale(2),)).plus(PatchSet((Scale(3), Scale(5, "v"))))
    assert patches.apply("w", torch.ones(1)).item() == 6
    assert patches.apply("v", torch.ones(1)).item() == 5
    assert patches.apply("u", torch.ones(1)).item() == 1
    assert patches.names == {"w", "v"}
    assert patches.touches(["u", "v"])
    assert not patches.touches(["u"])


def test_equal_patches_have_equal_identity_and_order_matters() -> None:
    assert PatchSet((Scale(2), Scale(3))).identity == PatchSet((Scale(2), Scale(3))).identity
    assert PatchSet((Scale(2), Scale(3))).identity != PatchSet((Scale(3), Scale(2))).identity
    assert NO_PATCHES.identity == ""


def test_a_digest_is_computed_once_for_each_version_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"one")
    store = MemoryDigestStore()
    assert content_digest(path, store) == hashlib.sha256(b"one").hexdigest()
    stamp = FileStamp.of(path)
    path.write_bytes(b"two")
    os.utime(path, ns=(stamp.modified_ns, stamp.modified_ns))
    assert content_digest(path, store) == hashlib.sha256(b"one").hexdigest()
    os.utime(path, ns=(stamp.modified_ns + 1, stamp.modified_ns + 1))
    assert content_digest(path, store) == hashlib.sha256(b"two").hexdigest()
