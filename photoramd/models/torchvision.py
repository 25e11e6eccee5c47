"""Taggers from torchvision's model zoo: other networks for the embedded one's keywords.

Network, transforms and category names are torchvision's; its ImageNet-1k models have the
1,000 classes of the embedded tagger in the same order, so its keywords and the kinds above
them apply. Their thresholds were fitted on the embedded network.

Importing this module imports torch and torchvision; nothing else imports torchvision.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision import models
from torchvision.transforms import InterpolationMode, functional

from photoramd.errors import ModelError
from photoramd.models.imagenet import CLASSES, KeywordEntry, membership, read_table, vocabulary_of
from photoramd.models.preprocessing import Pixels, ResizedCenter
from photoramd.models.tagger import Scores
from photoramd.models.vocabulary import Vocabulary
from photoramd.models.weights import verified
from photoramd.models.weights.catalog import Model

if TYPE_CHECKING:
    from torchvision.transforms._presets import ImageClassification

_INFERENCE_VERSION = 1
"""Raise it with any change of what this module makes of pixels."""

_BATCH = 4
"""Larger batches are no faster on a CPU and take more memory."""


class ZooTagger:
    """See `photoramd.models.tagger.Tagger`.

    Args:
        name: The model's name in the configuration.
        network: In evaluation mode, float32: (N, 3, side, side) to logits (N, 1000).
        preset: torchvision's transforms for these weights.
        table: The keywords.
        digest: SHA-256 of the weights.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        preset: ImageClassification,
        table: Sequence[KeywordEntry],
        digest: str,
    ) -> None:
        self.name = name
        self.vocabulary: Vocabulary = vocabulary_of(table)
        self.revision = _revision(name, preset, self.vocabulary, digest)
        self.crop = crop_of(preset)
        self.decode_side = self.crop.decode_side
        self._network = network
        self._preset = preset
        self._members = torch.from_numpy(membership(table))

    @classmethod
    def load(
        cls, model: Model, *, threads: int | None = None, precision: str = "auto"
    ) -> ZooTagger:
        """Verify and load the weights.

        Args:
            model: One of torchvision's.
            threads: The number of torch's threads in the whole process; None leaves it to torch.
            precision: ``float32`` (also ``auto``).

        Raises:
            IntegrityError: The weights are not the pinned bytes, or others could change them.
            ModelError: They are missing, or do not fit the network.
        """
        model.require(precision=precision)
        if threads is not None:
            torch.set_num_threads(threads)
        pin = verified.resolve_digest(model.weights)
        # Checked before the network is built, which can take longer.
        with verified.open_verified(verified.locate(pin), pin) as file:
            state = verified.load_state_dict(file)
        weights = _weights_enum(model)
        network = _network(model, state)
        return cls(model.name, network, weights.transforms(), read_table(), pin.sha256)

    def pixels(self, image: Image.Image) -> Pixels:
        """Return what the network sees, before normalisation: uint8 RGB, shape (side, side, 3)."""
        return self.crop.pixels(image)

    def scores(self, batch: Sequence[Pixels]) -> Scores:
        """Return probabilities, float32, shape (photos, labels)."""
        chunks = [batch[start : start + _BATCH] for start in range(0, len(batch), _BATCH)]
        parts = [np.zeros((0, len(self.vocabulary.labels)), np.float32)]
        try:
            with torch.inference_mode():
                parts += [self._scores(chunk).numpy() for chunk in chunks]
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the model {self.name} failed: {error}") from error
        return np.concatenate(parts)

    def _scores(self, batch: Sequence[Pixels]) -> Tensor:
        x = torch.from_numpy(np.stack(batch)).permute(0, 3, 1, 2)
        x = functional.convert_image_dtype(x, torch.float32)
        x = functional.normalize(x, mean=self._preset.mean, std=self._preset.std)
        # Sums of many classes can exceed 1 by a rounding error.
        logits: Tensor = self._network(x)
        return (logits.softmax(1) @ self._members).clamp_(max=1)


def crop_of(preset: ImageClassification) -> ResizedCenter:
    """Return what these transforms do to an image before it becomes a tensor."""
    return ResizedCenter(
        preset.resize_size[0],
        preset.crop_size[0],
        Image.Resampling[preset.interpolation.name],
        # Twice the input, so that the decoder's coarse shrinking leaves no trace.
        decode_side=2 * preset.resize_size[0],
    )


def architecture_of(model: Model) -> str:
    """Return torchvision's name of a model's network, such as ``convnext_tiny``."""
    return model.name.partition(":")[2]


def _weights_enum(model: Model) -> models.Weights:
    """Return torchvision's entry for the pinned weights, which may not be its default."""
    name = architecture_of(model)
    try:
        entries = list(models.get_model_weights(name))
    except ValueError as error:
        raise ModelError(f"torchvision does not know {name}: {error}") from error
    for entry in entries:
        if entry.url == model.weights.url:
            _check_categories(entry.meta["categories"], model)
            return entry
    raise ModelError(
        f"this version of torchvision does not describe {model.weights.name}",
        remedy="install a version of torchvision from 0.24 on",
    )


def _check_categories(categories: Sequence[str], model: Model) -> None:
    """Refuse classes in another order: every keyword would be wrong.

    Many of the keywords have other, plainer names than torchvision's, but most do not.
    """
    leaves = [entry for entry in read_table() if not entry.is_kind and len(entry.classes) == 1]
    same = sum(entry.keyword == categories[entry.classes[0]] for entry in leaves)
    if len(categories) != CLASSES or same < len(leaves) / 2:
        raise ModelError(f"the classes of {model.name} are not those of ImageNet-1k")


def _network(model: Model, state: dict[str, Tensor]) -> nn.Module:
    # On the meta device nothing is allocated or initialised; the tensors of the file become
    # the network's own.
    with torch.device("meta"):
        network: nn.Module = models.get_model(architecture_of(model), weights=None)
    try:
        network.load_state_dict(state, assign=True)
    except RuntimeError as error:
        summary = str(error).partition("\n")[0]
        raise ModelError(f"the weights do not fit the network: {summary}") from error
    return network.eval().requires_grad_(False)


def _revision(name: str, preset: ImageClassification, vocabulary: Vocabulary, digest: str) -> str:
    """Return a digest of weights, network, transforms and labels: 12 hexadecimal digits."""
    interpolation: InterpolationMode = preset.interpolation
    transforms = (
        preset.resize_size, preset.crop_size, interpolation.value, preset.antialias,
        preset.mean, preset.std,
    )  # fmt: skip
    parts = (digest, name, transforms, vocabulary, _INFERENCE_VERSION)
    whole = hashlib.sha256()
    for part in parts:
        whole.update(hashlib.sha256(repr(part).encode()).digest())
    return whole.hexdigest()[:12]
