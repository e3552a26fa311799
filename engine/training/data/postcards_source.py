"""The procedural postcards as an endless source: a new scene for every draw, painted in the loader's processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import torch

from engine.core.digest import digest_bytes, digest_value
from engine.training.config.resolve import to_plain
from engine.training.data.collate import Example
from engine.training.data.pictures import to_pixels
from engine.training.data.place import Place
from engine.training.data.source import OpenContext, item_chance
from engine.training.postcards import Scene, caption_of, render, scene_at
from engine.training.postcards.place_map import place_map
from engine.training.postcards.vocabulary import HELD_OUT_PAIRS, KINDS, STYLES

__all__ = ["PostcardsRecipe", "PostcardsSource"]

_NUM_PARAPHRASES = 1 << 20
_NUM_PROBES = 8
_SOUGHT = 1000
"""Scenes looked through for one that shows what is asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PostcardsRecipe:
    """Illustrated scenes with captions, `image` [3 size size] and `text`; `places`, what is where
    (`engine.training.postcards.place_map`).

    split: "train", or "held_out" for scenes that no training run sees.
    seed: which series of scenes; not the run's, so that runs with other seeds share a cache of latents.
    exclude_styles, exclude_kinds: styles and kinds of object that never occur.
    shows: only scenes with one of these, each a colour and a kind, as "purple house"; the pairs kept from training
        scenes may be among them. Empty for all scenes.
    plain_captions: share of examples whose caption names everything in the plainest words.
    """

    kind: Literal["postcards"] = "postcards"
    size: int = 256
    split: Literal["train", "held_out"] = "train"
    seed: int = 0
    exclude_styles: tuple[str, ...] = ()
    exclude_kinds: tuple[str, ...] = ()
    shows: tuple[str, ...] = ()
    plain_captions: float = 0.2

    def __post_init__(self) -> None:
        for name, words, known in (
            ("exclude_styles", self.exclude_styles, STYLES),
            ("exclude_kinds", self.exclude_kinds, tuple(KINDS)),
        ):
            if unknown := [word for word in words if word not in known]:
                raise ValueError(f"{name} has {unknown[0]!r}; known are {', '.join(known)}")
            if set(words) == set(known):
                raise ValueError(f"{name} leaves nothing")
        pairs = {f"{colour} {kind.name}" for kind in KINDS.values() for colour in kind.colours}
        if unknown := [pair for pair in self.shows if pair not in pairs]:
            raise ValueError(f"shows has {unknown[0]!r}; it names a colour and a kind that has it, as 'red house'")
        if {pair.split(" ", 1)[1] for pair in self.shows} & set(self.exclude_kinds):
            raise ValueError("shows names a kind that exclude_kinds leaves out")
        if not 0 <= self.plain_captions <= 1:
            raise ValueError("plain_captions is a share between 0 and 1")

    def open(self, context: OpenContext) -> PostcardsSource:
        """The source. Nothing is stored; a few scenes are painted for the digest."""
        return PostcardsSource(self, context.seed)


class PostcardsSource:
    """The opened source: `place.draw` is the number of the scene."""

    def __init__(self, recipe: PostcardsRecipe, seed: int) -> None:
        self._recipe = recipe
        self._seed = seed
        held_out = {f"{colour} {kind}" for colour, kind in HELD_OUT_PAIRS}
        self._asks_for_held_out = not held_out.isdisjoint(recipe.shows)
        self.digest = self._probe()

    def __len__(self) -> int:
        return 1

    def __getitem__(self, place: Place) -> Example:
        scene = self._scene(place)
        chance = item_chance(self._seed, "postcards", place)
        is_plain = chance.stream("plain").happens(self._recipe.plain_captions)
        paraphrase = 0 if is_plain else 1 + chance.stream("paraphrase").below(_NUM_PARAPHRASES)
        example: dict[str, Any] = {"image": to_pixels(render(scene, self._recipe.size))}
        return {**example, "text": caption_of(scene, paraphrase).text, "places": torch.from_numpy(place_map(scene))}

    def captions(self, place: Place, num_captions: int) -> tuple[str, ...]:
        """The plain caption and paraphrases of it, without repetitions."""
        scene = self._scene(place)
        return tuple(dict.fromkeys(caption_of(scene, paraphrase).text for paraphrase in range(num_captions)))

    def _scene(self, place: Place) -> Scene:
        if not self._recipe.shows:
            return self._scene_at(place.draw)
        for number in range(place.draw * _SOUGHT, (place.draw + 1) * _SOUGHT):
            scene = self._scene_at(number)
            if any(f"{group.colour} {group.kind}" in self._recipe.shows for group in scene.groups):
                return scene
        raise ValueError(f"None of {_SOUGHT} scenes shows {' or '.join(self._recipe.shows)}.")

    def _scene_at(self, number: int) -> Scene:
        recipe = self._recipe
        return scene_at(
            number,
            seed=recipe.seed,
            split=recipe.split,
            exclude_styles=recipe.exclude_styles,
            exclude_kinds=recipe.exclude_kinds,
            holds_out_pairs=not self._asks_for_held_out,
        )

    def _probe(self) -> str:
        """Digest of the recipe and of the first scenes' pixels and words, so a change of the painter shows."""
        scenes = [self._scene(Place(0, number)) for number in range(_NUM_PROBES)]
        words = [caption_of(scene, number).text for number, scene in enumerate(scenes)]
        pixels = [render(scene, self._recipe.size).tobytes() for scene in scenes]
        asked = to_plain(self._recipe)
        if not self._recipe.shows:
            del asked["shows"]  # latents kept by runs that knew of no such wish stay of use
        return digest_bytes(digest_value([asked, words]).encode(), *pixels)
