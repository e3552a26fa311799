"""The published safety checker of Stable Diffusion: a CLIP vision tower and the concepts it compares pictures with.

Key names are those of the published file. Source: Rando et al. 2022, arXiv:2210.04610, who describe it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from engine.nn.layers import Linear
from engine.nn.vision_transformer import VisionConfig, VisionTransformer, vision_config

__all__ = ["SafetyCheckerConfig", "SafetyCheckerNetwork", "safety_checker_config"]


@dataclass(frozen=True, slots=True)
class SafetyCheckerConfig:
    """Sizes: of the tower (without a projection of its own), of the shared space, and how many concepts there are."""

    vision: VisionConfig
    projection_width: int
    num_concepts: int
    num_special: int


class SafetyCheckerNetwork(nn.Module):
    """Pictures → how much more alike a concept they are than its threshold allows."""

    def __init__(self, config: SafetyCheckerConfig) -> None:
        super().__init__()
        self.vision_model = VisionTransformer(config.vision)
        self.visual_projection = Linear(config.vision.width, config.projection_width, bias=False)
        self.concept_embeds = nn.Parameter(torch.empty(config.num_concepts, config.projection_width))
        self.special_care_embeds = nn.Parameter(torch.empty(config.num_special, config.projection_width))
        self.concept_embeds_weights = nn.Parameter(torch.empty(config.num_concepts))
        self.special_care_embeds_weights = nn.Parameter(torch.empty(config.num_special))

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels [b 3 s s] as CLIP wants them → excess over the threshold of concepts [b n] and special ones [b m]."""
        picture = functional.normalize(self.visual_projection(self.vision_model(pixels).pooled))
        concepts = picture @ functional.normalize(self.concept_embeds.to(picture)).T
        special = picture @ functional.normalize(self.special_care_embeds.to(picture)).T
        return (
            concepts.float() - self.concept_embeds_weights.float(),
            special.float() - self.special_care_embeds_weights.float(),
        )


def safety_checker_config(shapes: Mapping[str, tuple[int, ...]]) -> SafetyCheckerConfig | None:
    """Sizes of the safety checker with these weights; None when they are something else."""
    tower, projection = vision_config(shapes, "vision_model."), shapes.get("visual_projection.weight")
    concepts, special = shapes.get("concept_embeds"), shapes.get("special_care_embeds")
    if tower is None or projection is None or concepts is None or special is None:
        return None
    return SafetyCheckerConfig(replace(tower, projection_width=None), projection[0], concepts[0], special[0])
