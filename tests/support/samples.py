"""Real photos that come inside installed packages, so that nothing has to be fetched.

The packages are only located, never imported: importing scikit-image or scikit-learn takes
seconds. Their photos are in the public domain or CC-licensed; see the packages.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

_FILES = {
    "cat": ("skimage", "scikit-image", "data/chelsea.png"),
    "coffee": ("skimage", "scikit-image", "data/coffee.png"),
    "rocket": ("skimage", "scikit-image", "data/rocket.jpg"),
    "astronaut": ("skimage", "scikit-image", "data/astronaut.png"),
    "motorcycle": ("skimage", "scikit-image", "data/motorcycle_left.png"),
    "china": ("sklearn", "scikit-learn", "datasets/images/china.jpg"),
    "flower": ("sklearn", "scikit-learn", "datasets/images/flower.jpg"),
}

ALBUM = {
    "cat.png": "cat",
    "coffee.png": "coffee",
    "rocket.jpg": "rocket",
    "astronaut.png": "astronaut",
    "goose.jpg": "imagenet_99",
    "motorcycle.png": "motorcycle",
}
"""A few of them as users would have them: which `sample_photos`, by the name of the file.
The packages of these few are small without what they require."""


def sample_photos(but: frozenset[str] = frozenset()) -> dict[str, Path]:
    """The photos, by a short name, but for those of some packages.

    Names are what the photo shows (``cat``, ``coffee``, ``rocket``, ``astronaut``,
    ``motorcycle``, ``china``, ``flower``), and ``imagenet_CLASS`` for ImageNet photos, CLASS
    being the index of the right one of ImageNet-1k's 1,000 classes, from 0. A second photo of
    the same class is ``imagenet_CLASS_2``.

    Raises:
        FileNotFoundError: A package, or the photo in it, is missing; the message says which.
    """
    photos = {
        name: _photo(package, distribution, file)
        for name, (package, distribution, file) in _FILES.items()
        if distribution not in but
    }
    directory = _directory("foolbox", "foolbox") / "data"
    imagenet = sorted(directory.glob("imagenet_*_*.jpg"))
    if not imagenet:
        message = f"foolbox is installed without its photos: no imagenet_*.jpg in {directory}"
        raise FileNotFoundError(message)
    for path in imagenet:
        name = f"imagenet_{path.stem.rpartition('_')[2]}"
        photos[f"{name}_2" if name in photos else name] = path
    return photos


def _photo(package: str, distribution: str, file: str) -> Path:
    path = _directory(package, distribution) / file
    if not path.is_file():
        message = f"{distribution} is installed without its photo {file}: {path} is missing"
        raise FileNotFoundError(message)
    return path


def _directory(package: str, distribution: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        message = (
            f"{distribution} is not installed, its photos are needed: pip install {distribution}"
        )
        raise FileNotFoundError(message)
    return Path(spec.submodule_search_locations[0])
