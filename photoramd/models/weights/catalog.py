"""The models that photoramd knows, and what the bytes of their files must be.

Data only: `photoramd.models.weights.verified` locates and checks the files, and
`photoramd.models.weights.install` installs them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from photoramd.errors import PIP, ModelError

_DIGEST_DIGITS = 64


@dataclass(frozen=True, slots=True)
class HubFile:
    """A place on the Hugging Face hub.

    Attributes:
        repository: Owner and name.
        revision: The commit, 40 hexadecimal digits: a branch could move.
    """

    repository: str
    revision: str


@dataclass(frozen=True, slots=True)
class PinnedFile:
    """A file whose bytes are known.

    Attributes:
        name: File name, in the model store and in messages.
        size_bytes: Exact size; None where it is not published.
        sha256: Digest of the whole file, 64 lower-case hexadecimal digits; fewer where only
            the first ones are published: see `is_full`.
        source: Where it comes from, as a phrase.
        remedy: The command that installs the right file.
        package: The import name of the package that contains it, if one does.
        member: Its path within the package, parts separated by ``/``.
        folder: Its directory in the model store, if it is kept there.
        hub: Its place on the hub, if it is fetched from there.
        url: Its address, if it is fetched from another server.
        about_bytes: A published, rounded size.
    """

    name: str
    size_bytes: int | None
    sha256: str
    source: str
    remedy: str
    package: str = ""
    member: str = ""
    folder: str = ""
    hub: HubFile | None = None
    url: str = ""
    about_bytes: int = 0

    @property
    def is_full(self) -> bool:
        """Whether the whole digest is known in advance.

        If not, the digest is noted when the file is installed, and checked from then on.
        """
        return len(self.sha256) == _DIGEST_DIGITS

    @property
    def needed_bytes(self) -> int:
        """The space that it needs, exact where the size is published."""
        return self.about_bytes if self.size_bytes is None else self.size_bytes

    def could_have(self, size_bytes: int) -> bool:
        """Return whether a file of that size could be this one."""
        if self.size_bytes is not None:
            return size_bytes == self.size_bytes
        # Published sizes are rounded to a thousandth of a megabyte, at times of another build.
        return abs(size_bytes - self.about_bytes) <= self.about_bytes // 100

    def agrees(self, digest: str) -> bool:
        """Return whether a whole digest is the pinned one, or begins with the published part."""
        return digest.startswith(self.sha256)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that photoramd knows.

    Attributes:
        name: Its name in the configuration.
        description: What it is, in one line.
        license: SPDX identifier of the weights' licence.
        weights: The file of its weights.
        companions: Other files that it needs.
        precisions: The precisions that it supports.
        devices: The devices that it supports.
    """

    name: str
    description: str
    license: str
    weights: PinnedFile
    companions: tuple[PinnedFile, ...] = ()
    precisions: tuple[str, ...] = ("float32",)
    devices: tuple[str, ...] = ("cpu",)

    def require(self, *, device: str = "auto", precision: str = "auto") -> None:
        """Refuse a device or precision that it does not support; its files are not looked at.

        Raises:
            ModelError: With those that it supports.
        """
        for key, value, known in (
            ("device", device, self.devices),
            ("precision", precision, self.precisions),
        ):
            if value not in ("auto", *known):
                raise ModelError(
                    f"the model {self.name} has no {key} {value!r}",
                    remedy=f"set model.{key} to one of: auto, {', '.join(known)}",
                )

    @property
    def files(self) -> tuple[PinnedFile, ...]:
        """All its files, the weights first."""
        return (self.weights, *self.companions)


EMBEDDED = Model(
    name="embedded",
    description="1,000 things and the kinds above them, people, 80 objects, places",
    license="Apache-2.0",
    weights=PinnedFile(
        name="embedded.onnx",
        size_bytes=18_099_197,
        sha256="7952dd8aa3e4ee2a9d6cf522ded8be25cbd45b604c8b6779e8b03d5e97e41858",
        source="photoramd itself, made by contrib/embedded_model.py",
        package="photoramd.models.embedded",
        member="embedded.onnx",
        remedy=f"{PIP} --force-reinstall --no-deps photoramd",
    ),
)


_RAM_PLUS = "ram++"
_RAM_PLUS_HUB = HubFile(
    "xinyu1205/recognize-anything-plus-model", "6afd703f04b23e1c18d4c7d9882c4f5f954848f8"
)
_RAM_PLUS_DATA = (
    "https://raw.githubusercontent.com/xinyu1205/recognize-anything/"
    "7cb804a8609e9f4b1a50b7f31436d2df40bb9481/ram/data/"
)


def _ram_plus_data(name: str, size_bytes: int, sha256: str) -> PinnedFile:
    return PinnedFile(
        name=name,
        size_bytes=size_bytes,
        sha256=sha256,
        source="GitHub, xinyu1205/recognize-anything 7cb804a8",
        remedy=f"photoramd model fetch {_RAM_PLUS}",
        folder=_RAM_PLUS,
        url=_RAM_PLUS_DATA + name,
    )


RAM_PLUS_TAGS = _ram_plus_data(
    "ram_tag_list.txt", 41_904, "5d96d2f7225527480ad773aaac76b6e5c08a18adf6eae9ca7d2ab923d5e7bd8b"
)
"""The keywords, one a line, in the order of the network's outputs."""

RAM_PLUS_THRESHOLDS = _ram_plus_data(
    "ram_tag_list_threshold.txt",
    22_016,
    "b6f81d0de1bc7f9c251af512c413eae976c77dbfbadf700d4e3d90510f4c6447",
)
"""The threshold of each of them, one a line."""

RAM_PLUS = Model(
    name=_RAM_PLUS,
    description="RAM++ (Recognize Anything Plus, Swin-L): 4,585 tags",
    license="Apache-2.0",
    weights=PinnedFile(
        name="ram_plus_swin_large_14m.pth",
        size_bytes=3_010_210_801,
        sha256="497c178836ba66698ca226c7895317e6e800034be986452dbd2593298d50e87d",
        source=f"Hugging Face hub, {_RAM_PLUS_HUB.repository} {_RAM_PLUS_HUB.revision[:8]}",
        remedy=f"photoramd model fetch {_RAM_PLUS}",
        folder=_RAM_PLUS,
        hub=_RAM_PLUS_HUB,
    ),
    companions=(RAM_PLUS_TAGS, RAM_PLUS_THRESHOLDS),
    precisions=("float32", "bfloat16", "int8"),
    devices=("cpu", "cuda", "mps"),
)


def _torchvision(architecture: str, file: str, megabytes: float, description: str) -> Model:
    """Return a model of torchvision's zoo.

    Of the weights' bytes torchvision publishes only the first 8 digits of their SHA-256, at the
    end of the file's name, and the size in units of 2**20 bytes.
    """
    name = f"torchvision:{architecture}"
    return Model(
        name=name,
        description=description,
        license="BSD-3-Clause",
        weights=PinnedFile(
            name=file,
            size_bytes=None,
            sha256=file.rpartition("-")[2].removesuffix(".pth"),
            source="torchvision, download.pytorch.org",
            remedy=f"photoramd model fetch {name}",
            folder=name.replace(":", "-"),
            url=f"https://download.pytorch.org/models/{file}",
            about_bytes=round(megabytes * 2**20),
        ),
    )


_TORCHVISION = (
    _torchvision(
        "mobilenet_v3_large",
        "mobilenet_v3_large-5c1a4163.pth",
        21.107,
        "MobileNetV3, ImageNet-1k: 75.3 % top-1, 0.2 GFLOP a photo",
    ),
    _torchvision(
        "efficientnet_b0",
        "efficientnet_b0_rwightman-7f5810bc.pth",
        20.451,
        "EfficientNet-B0, ImageNet-1k: 77.7 % top-1, 0.4 GFLOP a photo",
    ),
    _torchvision(
        "convnext_tiny",
        "convnext_tiny-983f1562.pth",
        109.119,
        "ConvNeXt-T, ImageNet-1k: 82.5 % top-1, 4.5 GFLOP a photo",
    ),
    _torchvision(
        "efficientnet_v2_s",
        "efficientnet_v2_s-dd5fe13b.pth",
        82.704,
        "EfficientNetV2-S, ImageNet-1k: 84.2 % top-1, 8.4 GFLOP a photo",
    ),
    _torchvision(
        "swin_v2_b",
        "swin_v2_b-781e5279.pth",
        336.372,
        "Swin-B v2, ImageNet-1k: 84.1 % top-1, 20 GFLOP a photo",
    ),
    _torchvision(
        "convnext_large",
        "convnext_large-ea097f82.pth",
        754.537,
        "ConvNeXt-L, ImageNet-1k: 84.4 % top-1, 34 GFLOP a photo",
    ),
)

MODELS: Mapping[str, Model] = MappingProxyType(
    {model.name: model for model in (EMBEDDED, RAM_PLUS, *_TORCHVISION)}
)
"""All known models by name."""


def known_model(name: str, models: Mapping[str, Model] = MODELS) -> Model:
    """Return the model of that name.

    Raises:
        ModelError: There is none.
    """
    try:
        return models[name]
    except KeyError:
        raise ModelError(
            f"unknown model {name!r}", remedy=f"known models: {', '.join(sorted(models))}"
        ) from None
