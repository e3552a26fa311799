"""Textual inversion as a kind of training run: vectors for a new word, everything else fixed.

Source: Gal et al. 2022, arXiv:2208.01618.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from engine.families.contract import Warn
from engine.families.text.clip_encoder import TextTools
from engine.families.text.textual_inversion import EmbeddingFiles, FoundEmbedding
from engine.training.adapters.base_model import BaseModel, BaseModelRecipe, LossRecipe, assemble, learned_by
from engine.training.adapters.direct_host import text_encoders
from engine.training.config.error import ConfigError
from engine.training.context import BuildContext
from engine.training.diffusion_module import DiffusionModule
from engine.weights.writer import write_safetensors

__all__ = ["EmbeddingExportRecipe", "LearnedWord", "TextualInversionRecipe"]

_TABLE = "text_model.embeddings.token_embedding.weight"
_USUAL_KEY = "clip_l"
_FILE_KEYS = {"g": "clip_g"}
"""Encoder → key of its vectors in files and in `EmbeddingFiles.find`, where that is not the usual one."""
_TEMPLATES = ("a picture of {word}", "{word}", "a rendering of {word}", "a close-up of {word}", "one {word}, centred")


class LearnedWord(nn.Module):
    """Vectors [n d] float32 of one word for each text encoder, by the key files have for the encoder."""

    def __init__(self, word: str, vectors: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.word = word
        self.vectors = nn.ParameterDict({key: nn.Parameter(value) for key, value in vectors.items()})


class _WithLearnedWord(EmbeddingFiles):
    """Embeddings as prompts name them, with one that is being learned."""

    def __init__(self, learned: LearnedWord) -> None:
        super().__init__((), _no_file)
        self._learned = learned

    def find(self, text: str, width: int, warn: Warn | None = None, encoder_key: str = "clip_l") -> FoundEmbedding:
        """The learned vectors when the text begins with the word."""
        name, _, rest = text.partition(" ")
        if name != self._learned.word or encoder_key not in self._learned.vectors:
            return super().find(text, width, warn, encoder_key)
        return FoundEmbedding(self._learned.vectors[encoder_key], rest)


@dataclass(frozen=True, slots=True)
class TextualInversionRecipe:
    """word: what prompts call it, `embedding:<word>`; without spaces. num_vectors: how many tokens it stands for.

    initial: a text whose tokens the vectors begin as, in turn.
    placeholder: this in a caption, or its plural with an s, is replaced by the word. Captions without it are not used:
    one of `templates` is, where `{word}` stands for the word.
    """

    kind: Literal["textual_inversion"]
    base: BaseModelRecipe
    word: str
    num_vectors: int = 4
    initial: str = "picture"
    placeholder: str = "*"
    templates: tuple[str, ...] = _TEMPLATES
    loss: LossRecipe = field(default_factory=LossRecipe)

    def __post_init__(self) -> None:
        if self.num_vectors < 1 or not self.word or " " in self.word:
            raise ValueError("num_vectors must be at least 1, and word one word without spaces")
        if not self.templates or any("{word}" not in template for template in self.templates):
            raise ValueError("templates must be given, each with {word} in it")

    def build(self, context: BuildContext) -> DiffusionModule:
        """The module; only the word has gradients. Raises CheckpointError, ConfigError."""
        base = self.base.open(context)
        learned = LearnedWord(self.word, self._first_vectors(base))

        def with_word(tools: TextTools) -> TextTools:
            return replace(tools, embeddings=_WithLearnedWord(learned))

        module = assemble(
            base,
            base.network(),
            base.texts(),
            self.loss,
            context,
            learned=learned,
            trains_texts=True,
            tools=with_word,
            rewrite=self.rewrite,
        )
        module.add_module("word", learned)
        return module

    def rewrite(self, text: str, draw: int) -> str:
        """The text an example is trained with."""
        name = f"embedding:{self.word}"
        if self.placeholder and self.placeholder in text:
            is_word = self.placeholder[-1].isalnum()
            replaced = re.sub(
                re.escape(self.placeholder) + (r"(?:s\b)?" if is_word else ""), lambda _: f" {name} ", text
            )
            return " ".join(replaced.split())
        return self.templates[draw % len(self.templates)].replace("{word}", name)

    def _first_vectors(self, base: BaseModel) -> dict[str, Tensor]:
        """Rows of each encoder's token table."""
        found: dict[str, Tensor] = {}
        for encoder in text_encoders(base.clip):
            table = encoder.weights.read(_TABLE)
            ids = self._tokens(base, encoder.key, len(table))
            rows = table[[ids[number % len(ids)] for number in range(self.num_vectors)]]
            found[_FILE_KEYS.get(encoder.key, _USUAL_KEY)] = rows.clone()
        return found

    def _tokens(self, base: BaseModel, key: str, num_rows: int) -> list[int]:
        plain = {int(entry[0]) for entry in base.clip.tokenize("")[key][0]}
        tokens = [int(entry[0]) for entry in base.clip.tokenize(self.initial)[key][0]]
        ids = [token for token in tokens if token not in plain and token < num_rows]
        if not ids:
            raise ConfigError(f"initial is {self.initial!r}, which has no token.", hint="Give a word for a beginning.")
        return ids


@dataclass(frozen=True, slots=True)
class EmbeddingExportRecipe:
    """A file of the word's vectors. file: below the run folder unless absolute; its ending says the form.

    `.safetensors`: `emb_params` [n d], or `clip_l` and `clip_g` for two encoders. `.pt`: the form of the A1111 web UI.
    """

    kind: Literal["embedding"]
    file: Path = Path("embedding.safetensors")

    def write(self, module: DiffusionModule, path: Path, facts: Mapping[str, str]) -> None:
        """Write the vectors as they are. Raises ConfigError when the run learns no word."""
        learned = learned_by(module, LearnedWord, "an embedding")
        vectors = {key: value.detach().float().cpu().contiguous() for key, value in learned.vectors.items()}
        if len(vectors) == 1:
            vectors = {"emb_params": next(iter(vectors.values()))}
        if path.suffix == ".pt":
            torch.save(_web_ui_form(learned.word, vectors, int(facts.get("atelier.steps", 0))), path)
            return
        specs = {key: (value.dtype, tuple(value.shape)) for key, value in vectors.items()}
        write_safetensors(path, specs, lambda key: vectors[key], {"modelspec.title": learned.word, **facts})


def _web_ui_form(word: str, vectors: Mapping[str, Tensor], steps: int) -> dict[str, Any]:
    if set(vectors) != {"emb_params"}:
        raise ConfigError("The .pt form holds vectors for one text encoder.", hint="Set export.file to a .safetensors.")
    return {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors["emb_params"]},
        "name": word,
        "step": steps,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }


def _no_file(path: Path) -> Any:
    raise ConfigError(f"{path} is not opened in training.")
