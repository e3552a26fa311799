"""Recognising autoencoder files by their keys: KL (LDM or diffusers names), tiny (one file or a pair)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from engine.core.digest import digest_bytes
from engine.core.errors import CheckpointError
from engine.families.autoencoder.forms import KlForm, TinyForm
from engine.families.autoencoder.handle import NetworkAutoencoder
from engine.memory.network import NetworkHost, NetworkSource
from engine.nn.autoencoder import AutoencoderConfig
from engine.nn.tiny_autoencoder import TinyDecoder, TinyEncoder
from engine.weights.checkpoint import Checkpoint
from engine.weights.remap import KeyRule, WeightReader, WeightSpec, read_part, refuse_unknown_keys

__all__ = [
    "HARMLESS_AUTOENCODER_KEYS",
    "autoencoder_config",
    "open_autoencoder",
    "open_kl_part",
    "open_tiny_pair",
    "shapes_of",
]

_PREFIXES = ("first_stage_model.", "vae.", "")
HARMLESS_AUTOENCODER_KEYS = (r"loss\..*", r"model_ema\.(decay|num_updates)", r"global_step")
"""Keys of published autoencoder files that are not part of the network (training losses, EMA scalars)."""

_TINY_SCALES: Mapping[str, tuple[float, float]] = {
    "taesdxl": (0.13025, 0.0), "taesd3": (1.5305, 0.0609), "taef1": (0.3611, 0.1159), "taesd": (0.18215, 0.0),
}  # fmt: skip
"""Scale and shift of the latents each published tiny autoencoder was made for; files do not say."""

_ATTENTION_NAMES = (("query|to_q", "q"), ("key|to_k", "k"), ("value|to_v", "v"), (r"proj_attn|to_out\.0", "proj_out"))


def shapes_of(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a network's weights."""
    return {name: tuple(weight.shape) for name, weight in module.state_dict().items()}


def autoencoder_config(shapes: Mapping[str, tuple[int, ...]], prefix: str) -> AutoencoderConfig | None:
    """Sizes of the KL or VQ autoencoder (LDM names) below `prefix`; None when there is none."""
    first = shapes.get(f"{prefix}encoder.conv_in.weight")
    last = shapes.get(f"{prefix}decoder.conv_in.weight")
    if first is None or last is None or f"{prefix}encoder.down.0.block.0.conv1.weight" not in shapes:
        return None
    channels, mults = first[0], []
    while (shape := shapes.get(f"{prefix}encoder.down.{len(mults)}.block.0.conv1.weight")) is not None:
        mults.append(shape[0] // channels)
    blocks = 0
    while f"{prefix}encoder.down.0.block.{blocks}.conv1.weight" in shapes:
        blocks += 1
    codebook = shapes.get(f"{prefix}quantize.embedding.weight")
    return AutoencoderConfig(
        channels,
        tuple(mults),
        blocks,
        last[1],
        first[1],
        has_quant_convs=f"{prefix}quant_conv.weight" in shapes,
        codebook_size=None if codebook is None else codebook[0],
        attention_levels=tuple(n for n in range(len(mults)) if f"{prefix}encoder.down.{n}.attn.0.q.weight" in shapes),
        has_middle_attention=f"{prefix}encoder.mid.attn_1.q.weight" in shapes,
    )


def open_kl_part(
    checkpoint: Checkpoint,
    prefix: str,
    host: NetworkHost,
    digest: Callable[[], str],
    rules: Sequence[KeyRule] = (),
    config: AutoencoderConfig | None = None,
) -> tuple[NetworkAutoencoder, WeightReader]:
    """The KL autoencoder below `prefix` and the reader that knows its keys. Raises CheckpointError."""
    config = config or autoencoder_config(checkpoint.shapes, prefix)
    if config is None:
        raise CheckpointError(f"{checkpoint.path.name} holds no autoencoder.", hint="Choose a VAE file.")
    form = KlForm(config)
    with torch.device("meta"):
        expected = shapes_of(form.build())
    harmless = [KeyRule(pattern, ()) for pattern in HARMLESS_AUTOENCODER_KEYS]
    reader = read_part(checkpoint, prefix, expected, [*harmless, *rules], "autoencoder")
    identity = digest_bytes(checkpoint.identity.encode(), b"vae", prefix.encode())
    source = NetworkSource(identity, "vae", form.build, reader, file=checkpoint.path.name)
    return NetworkAutoencoder(form, source, host, digest), reader


def open_autoencoder(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkAutoencoder:
    """The autoencoder of a file: KL with LDM or diffusers names, alone or within a checkpoint, or a tiny one.

    Raises CheckpointError naming what the file holds when it is none of these.
    """
    shapes = checkpoint.shapes
    for prefix in _PREFIXES:
        if autoencoder_config(shapes, prefix) is not None:
            handle, reader = open_kl_part(checkpoint, prefix, host, digest)
            if not prefix:
                refuse_unknown_keys(checkpoint, reader.used_keys, HARMLESS_AUTOENCODER_KEYS)
            return handle
    config = _diffusers_config(shapes)
    if config is not None:
        return open_kl_part(checkpoint, "", host, digest, _diffusers_rules(len(config.channel_mult)), config)[0]
    if "encoder.layers.0.weight" in shapes and "decoder.layers.0.weight" in shapes:
        return _open_tiny_file(checkpoint, host, digest)
    found = ", ".join(list(shapes)[:3])
    raise CheckpointError(
        f"{checkpoint.path.name} holds no autoencoder that is known here; its keys begin with {found}.",
        code="unknown_autoencoder",
        hint="Choose a VAE file, or a checkpoint that contains one.",
    )


def open_tiny_pair(
    encoder: Checkpoint, decoder: Checkpoint, host: NetworkHost, digest: Callable[[], str]
) -> NetworkAutoencoder:
    """The tiny autoencoder of two files of bare layer numbers. Raises CheckpointError."""
    first, inner = decoder.shapes.get("1.weight"), encoder.shapes.get("0.weight")
    if first is None or inner is None:
        raise CheckpointError(
            f"{encoder.path.name} and {decoder.path.name} are not a tiny autoencoder's encoder and decoder.",
            code="unknown_autoencoder",
        )
    channels, widths = first[1], (inner[0], first[0])
    with torch.device("meta"):
        halves = {
            "encoder": shapes_of(TinyEncoder(channels, widths[0])),
            "decoder": shapes_of(TinyDecoder(channels, widths[1])),
        }
    readers = {
        "encoder.": read_part(encoder, "", halves["encoder"], what="tiny encoder"),
        "decoder.": read_part(decoder, "", halves["decoder"], what="tiny decoder"),
    }
    return _tiny_handle(decoder, channels, widths, _JoinedReader(readers), host, digest, encoder.identity)


def _open_tiny_file(checkpoint: Checkpoint, host: NetworkHost, digest: Callable[[], str]) -> NetworkAutoencoder:
    """The diffusers form: both halves in one file; its decoder does not count the layer without weights."""
    first = checkpoint.shapes["decoder.layers.0.weight"]
    channels, widths = first[1], (checkpoint.shapes["encoder.layers.0.weight"][0], first[0])
    rules = [KeyRule(rf"decoder\.layers\.{n}\.(.*)", (rf"decoder.{n + 1}.\1",)) for n in range(19)]
    rules.append(KeyRule(r"encoder\.layers\.(.*)", (r"encoder.\1",)))
    with torch.device("meta"):
        expected = shapes_of(TinyForm(channels, 1.0, encoder_width=widths[0], decoder_width=widths[1]).build())
    return _tiny_handle(
        checkpoint, channels, widths, read_part(checkpoint, "", expected, rules, "tiny autoencoder"), host, digest
    )


def _tiny_handle(
    named: Checkpoint,
    channels: int,
    widths: tuple[int, int],
    weights: WeightReader | _JoinedReader,
    host: NetworkHost,
    digest: Callable[[], str],
    other_identity: str = "",
) -> NetworkAutoencoder:
    stem = named.path.name.lower()
    name = next((name for name in _TINY_SCALES if stem.startswith(name)), "taesd" if channels == 4 else "taesd3")
    scale, shift = _TINY_SCALES[name]
    form = TinyForm(channels, scale, shift, encoder_width=widths[0], decoder_width=widths[1])
    identity = digest_bytes(named.identity.encode(), other_identity.encode(), b"tiny")
    source = NetworkSource(identity, "vae", form.build, weights, file=named.path.name)
    return NetworkAutoencoder(form, source, host, digest)


@dataclass(frozen=True, slots=True)
class _JoinedReader:
    """Several readers as one, each below a prefix of its own."""

    readers: Mapping[str, WeightReader]

    @property
    def specs(self) -> Mapping[str, WeightSpec]:
        """Shape and stored dtype of every weight."""
        return {prefix + name: spec for prefix, reader in self.readers.items() for name, spec in reader.specs.items()}

    def read(self, name: str) -> torch.Tensor:
        """The stored weight."""
        prefix = next(prefix for prefix in self.readers if name.startswith(prefix))
        return self.readers[prefix].read(name[len(prefix) :])

    def prefetch(self, names: Iterable[str]) -> None:
        """These weights will be read soon."""
        wanted = tuple(names)
        for prefix, reader in self.readers.items():
            reader.prefetch([name[len(prefix) :] for name in wanted if name.startswith(prefix)])

    def release(self, names: Iterable[str]) -> None:
        """These weights will not be read soon."""
        wanted = tuple(names)
        for prefix, reader in self.readers.items():
            reader.release([name[len(prefix) :] for name in wanted if name.startswith(prefix)])


def _diffusers_config(shapes: Mapping[str, tuple[int, ...]]) -> AutoencoderConfig | None:
    if "encoder.down_blocks.0.resnets.0.conv1.weight" not in shapes or "decoder.conv_in.weight" not in shapes:
        return None
    first, last = shapes["encoder.conv_in.weight"], shapes["decoder.conv_in.weight"]
    mults: list[int] = []
    while (shape := shapes.get(f"encoder.down_blocks.{len(mults)}.resnets.0.conv1.weight")) is not None:
        mults.append(shape[0] // first[0])
    blocks = 0
    while f"encoder.down_blocks.0.resnets.{blocks}.conv1.weight" in shapes:
        blocks += 1
    return AutoencoderConfig(first[0], tuple(mults), blocks, last[1], first[1], "quant_conv.weight" in shapes)


def _diffusers_rules(num_levels: int) -> list[KeyRule]:
    """From diffusers names to LDM names; the decoder's levels are counted from the other end."""
    rules = [
        KeyRule(rf"(encoder|decoder)\.mid_block\.attentions\.0\.(?:{old})\.(.*)", (rf"\1.mid.attn_1.{new}.\2",))
        for old, new in _ATTENTION_NAMES
    ]
    rules.append(KeyRule(r"(encoder|decoder)\.mid_block\.attentions\.0\.group_norm\.(.*)", (r"\1.mid.attn_1.norm.\2",)))
    rules += [
        KeyRule(rf"(encoder|decoder)\.mid_block\.resnets\.{n}\.(.*)", (rf"\1.mid.block_{n + 1}.\2",)) for n in (0, 1)
    ]
    rules.append(KeyRule(r"(encoder|decoder)\.conv_norm_out\.(.*)", (r"\1.norm_out.\2",)))
    for level in range(num_levels):
        for block, half, place, change in (
            ("down", "encoder", level, "downsample"),
            ("up", "decoder", num_levels - 1 - level, "upsample"),
        ):
            old, new = rf"{half}\.{block}_blocks\.{level}", f"{half}.{block}.{place}"
            rules += [
                KeyRule(rf"{old}\.resnets\.(\d+)\.conv_shortcut\.(.*)", (rf"{new}.block.\1.nin_shortcut.\2",)),
                KeyRule(rf"{old}\.resnets\.(\d+)\.(.*)", (rf"{new}.block.\1.\2",)),
                KeyRule(rf"{old}\.{change}rs\.0\.conv\.(.*)", (rf"{new}.{change}.conv.\1",)),
            ]
    return rules
