"""Decode photos: upright, 8-bit RGB, never more pixels than allowed.

The model sees what a viewer would show: EXIF orientation applied, transparency on white, deep
colours scaled to 8 bits. Colour profiles are not applied, as models were trained without.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, TiffImagePlugin

from photoramd.images import raw
from photoramd.images.looks import look_of
from photoramd.images.opener import OpenFile, OpenPhoto, open_file, open_image, require_end
from photoramd.images.orientation import transposition, transposition_of
from photoramd.photo import Fingerprint, Look


@dataclass(frozen=True, slots=True)
class Decoded:
    """A photo's pixels, and the file they were read from.

    Attributes:
        image: Upright, mode RGB. Smaller than the photo if it was reduced while decoding.
        fingerprint: The fingerprint of the file, which did not change while it was read.
        look: What the file says of the photo.
        profile: The ICC profile of its colours; empty if it has none.
    """

    image: Image.Image
    fingerprint: Fingerprint
    look: Look
    profile: bytes = b""


def decode(
    path: str | os.PathLike[str],
    *,
    side: int,
    max_pixels: int,
    reserve: Callable[[int], object] = lambda _: None,
) -> Decoded:
    """Decode one photo: the first frame of an animation, the main image of a collection.

    Of a camera RAW it is the preview; see `raw`.

    Args:
        path: The photo; symbolic links are not followed.
        side: A JPEG, and the preview in a RAW, may be reduced by 2, 4 or 8 while it is decoded,
            which is several times faster, as long as its shorter side keeps at least this many
            pixels.
        max_pixels: The limit of width times height; above it, nothing is decoded.
        reserve: Called before the pixels are decoded, with how many bytes that will take.

    Raises:
        DecodeError: It cannot be read, is not a photo, or is damaged, truncated or too large.
        ChangedError: The file changed while it was read.
    """
    with open_file(path) as opened:
        if raw.is_raw(opened):
            reserve(_needed_for_raw(opened.fingerprint.size, max_pixels))
            return _decode_raw(opened, side, max_pixels)
        with open_image(opened, max_pixels=max_pixels) as photo:
            return _decode_image(photo, path, side, reserve)


def _decode_raw(opened: OpenFile, side: int, max_pixels: int) -> Decoded:
    picture = raw.develop(opened, side=side, max_pixels=max_pixels)
    profile = _profile(picture.image)
    image = _upright(to_rgb(picture.image), transposition(picture.orientation))
    return Decoded(image, opened.fingerprint, picture.look, profile)


def _decode_image(
    photo: OpenPhoto, path: str | os.PathLike[str], side: int, reserve: Callable[[int], object]
) -> Decoded:
    image = photo.image
    size = image.size
    image.draft("RGB", (side, side))
    reduced = image.size != size
    reserve(_needed(photo, size))
    image.load()
    require_end(photo, path)
    if not reduced:
        size = image.size  # some readers know the real size only now
    found = look_of(photo, size)
    profile = _profile(image)
    upright = _upright(to_rgb(image), transposition_of(photo))
    return Decoded(upright, photo.fingerprint, found, profile)


def _profile(image: Image.Image) -> bytes:
    found = image.info.get("icc_profile")
    return found if isinstance(found, bytes) else b""


# --- Memory ---

_PIXEL_BYTES = 8
"""What decoding takes for each pixel of the image that comes out: it, and a copy in other colours
or turned upright."""

_DEEP_PIXEL_BYTES = 13
"""The same of formats with 16 bits for each of four channels; measured."""

_RAW_PIXEL_BYTES = 6
_COEFFICIENT_BYTES = 2


def _needed(photo: OpenPhoto, full_size: tuple[int, int]) -> int:
    """Return how many bytes of memory decoding an open photo takes, about.

    Args:
        photo: The photo, reduced as it will be decoded.
        full_size: Its width and height in the file.
    """
    image = photo.image
    deep = photo.format in ("PNG", "TIFF")
    needed = image.width * image.height * (_DEEP_PIXEL_BYTES if deep else _PIXEL_BYTES)
    if photo.format in ("WEBP", "AVIF", "HEIF"):
        needed += 2 * photo.fingerprint.size  # read whole, and copied
    if image.info.get("progressive"):
        # All coefficients are kept to the end, of all components, in full size.
        width, height = full_size
        needed += width * height * len(image.getbands()) * _COEFFICIENT_BYTES
    return needed


def _needed_for_raw(size: int, max_pixels: int) -> int:
    # libraw tells the number of pixels only once it has them. There is one for two bytes, or two
    # where they are compressed. The file is read whole.
    return size + _RAW_PIXEL_BYTES * min(size // 2, max_pixels)


def _upright(image: Image.Image, turned: Image.Transpose | None) -> Image.Image:
    if turned is not None:
        image = image.transpose(turned)
    elif isinstance(image, ImageFile.ImageFile):
        image = image.copy()  # lets go of the file's bytes, which some readers hold
    # The orientation must not be found and applied a second time.
    image.info = {}
    return image


# --- Colours ---


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the image in mode RGB, 8 bits: transparency on white, deeper values scaled.

    Raises:
        ValueError: Pillow cannot convert its mode.
    """
    mode = image.mode
    if mode.startswith("I;16"):
        return _over_white(_from_16_bits(image))
    if mode in ("I", "F"):
        return _from_any_range(image).convert("RGB")
    if image.has_transparency_data:
        return _over_white(image)
    return image if mode == "RGB" else image.convert("RGB")


def _over_white(image: Image.Image) -> Image.Image:
    if not image.has_transparency_data:
        return image.convert("RGB")
    if image.mode == "La":  # grey with premultiplied alpha has no direct way to RGBA
        image = image.convert("LA")
    rgba = image.convert("RGBA")
    alpha = rgba.getchannel("A")
    # Opaque everywhere, or zero everywhere, as some programs write it: then it is ignored.
    histogram = alpha.histogram()
    if alpha.width * alpha.height in (histogram[0], histogram[255]):
        return rgba.convert("RGB")
    white = Image.new("RGB", rgba.size, "white")
    white.paste(rgba, mask=alpha)
    return white


def _from_16_bits(image: Image.Image) -> Image.Image:
    """Convert grey of 12 or 16 bits to 8, with alpha if one value is transparent."""
    values = np.asarray(image)
    tags = image.tag_v2 if isinstance(image, TiffImagePlugin.TiffImageFile) else {}
    shift = 4 if tags.get(TiffImagePlugin.BITSPERSAMPLE) == (12,) else 8
    grey = (values >> shift).astype(np.uint8)
    if tags.get(TiffImagePlugin.PHOTOMETRIC_INTERPRETATION) == 0:  # white is zero
        grey = np.invert(grey)
    transparent = image.info.get("transparency")
    if not isinstance(transparent, int):
        return Image.fromarray(grey)
    alpha = np.where(values == transparent, 0, 255).astype(np.uint8)
    return Image.fromarray(np.stack([grey, alpha], axis=-1))


_FULL_SCALES = (1.0, 255.0, 65535.0, 4294967295.0)


def _from_any_range(image: Image.Image) -> Image.Image:
    """Convert grey of 32-bit integers or floats to 8 bits.

    Nothing in the file tells which value is white. It is usually 1 (for floats), 255, 65535 or
    the largest integer; the least of these that no value exceeds is taken. If some values are
    negative or larger, their range is taken instead.
    """
    values: npt.NDArray[np.float32] = np.nan_to_num(
        np.asarray(image, dtype=np.float32), posinf=0, neginf=0
    )
    low, high = float(values.min()), float(values.max())
    scales = _FULL_SCALES if image.mode == "F" else _FULL_SCALES[1:]
    white = next((scale for scale in scales if high <= scale), high)
    if low < 0:
        values, white = values - low, high - low
    if white > 0:
        values = values * (255 / white)
    return Image.fromarray(values.round().astype(np.uint8))
