from __future__ import annotations

import pytest

from photoramd.images.camera_names import named


@pytest.mark.parametrize(
    ("make", "model", "name"),
    [
        ("Canon", "Canon EOS R6", "Canon EOS R6"),
        ("Apple", "iPhone 13", "Apple iPhone 13"),
        ("NIKON CORPORATION", "NIKON D850", "NIKON D850"),
        ("NIKON", "E995", "NIKON E995"),
        ("SONY", "ILCE-7M3", "SONY ILCE-7M3"),
        ("samsung", "Galaxy S24 FE", "samsung Galaxy S24 FE"),
        ("OLYMPUS IMAGING CORP.", "E-M5", "OLYMPUS E-M5"),
        ("OLYMPUS OPTICAL CO.,LTD", "C960Z,D460Z", "OLYMPUS C960Z,D460Z"),
        ("EASTMAN KODAK COMPANY", "KODAK DX4330 DIGITAL CAMERA", "KODAK DX4330 DIGITAL CAMERA"),
        ("Minolta Co., Ltd.", "DiMAGE 5", "Minolta DiMAGE 5"),
        ("Leica Camera AG", "M9 Digital Camera", "Leica M9 Digital Camera"),
        ("LEICA CAMERA AG", "LEICA Q2", "LEICA Q2"),
        ("PENTAX Corporation", "PENTAX K10D", "PENTAX K10D"),
        ("Google", "Pixel 8", "Google Pixel 8"),
        ("Camera", "X1", "Camera X1"),
        ("RICOH", "", "RICOH"),
        ("FLIR Systems AB", "", "FLIR Systems AB"),
        ("", "DSC-1", "DSC-1"),
        ("", "", None),
        ("...", "---", None),
    ],
)
def test_a_camera_has_its_maker_once(make: str, model: str, name: str | None) -> None:
    assert named(make, model) == name


def test_a_name_has_at_most_a_hundred_characters() -> None:
    assert named("m" * 100, "n" * 100) == "m" * 100
    assert named("m" * 50, "n" * 100) == f"{'m' * 50} {'n' * 49}"
