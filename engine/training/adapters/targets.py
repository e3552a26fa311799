"""Which modules of a network get an adapter, and what files call them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from engine.training.config.error import ConfigError

__all__ = ["NetworkTargets", "file_names", "text_targets"]

_ATTENTION = re.compile(r".*\.attn\d\.(to_q|to_k|to_v|to_out\.0)")
_TRANSFORMERS = re.compile(r".*\.(transformer_blocks\..*|proj_in|proj_out)")
_BLOCKS = re.compile(r"(input_blocks|middle_block|output_blocks)\..*")
_TEXT = re.compile(r".*\.(self_attn\.(q_proj|k_proj|v_proj|out_proj)|mlp\.(fc1|fc2))")


@dataclass(frozen=True, slots=True)
class NetworkTargets:
    """layers: the matrices of attention alone, or all of the transformers (as kohya's scripts do), or "none".

    convolutions: also the kernels and matrices of residual blocks, and of the layers that change the size.
    """

    layers: Literal["none", "attention", "transformers"] = "transformers"
    convolutions: bool = False

    def chosen(self, shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
        """Names of the modules of a U-Net with these weights. Raises ConfigError when there are none."""
        found = [module for module in _matrices(shapes) if self._takes(module)]
        if not found:
            raise ConfigError("No layer of the network is chosen.", hint="Set layers to transformers or attention.")
        return found

    def _takes(self, module: str) -> bool:
        is_inside = _TRANSFORMERS.fullmatch(module) is not None
        if is_inside:
            return self.layers == "transformers" or (
                self.layers == "attention" and _ATTENTION.fullmatch(module) is not None
            )
        is_first = module.startswith("input_blocks.0.")
        return self.convolutions and not is_first and _BLOCKS.fullmatch(module) is not None


def text_targets(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    """The matrices of a CLIP text transformer's layers."""
    return [module for module in _matrices(shapes) if _TEXT.fullmatch(module)]


def file_names(modules: Iterable[str], spelled: Mapping[str, str]) -> dict[str, str]:
    """Module → its name in a kohya file, out of every spelling of every module.

    Raises ConfigError for a network whose family has no such names.
    """
    kohya: dict[str, str] = {}
    for spelling, module in spelled.items():
        if spelling.startswith("lora_"):
            kohya.setdefault(module, spelling)
    missing = [module for module in modules if module not in kohya]
    if missing:
        raise ConfigError(f"No name for adapter files is known for {missing[0]} and {len(missing) - 1} more.")
    return {module: kohya[module] for module in modules}


def _matrices(shapes: Mapping[str, tuple[int, ...]]) -> list[str]:
    return [
        name.removesuffix(".weight") for name, shape in shapes.items() if len(shape) > 1 and name.endswith(".weight")
    ]
