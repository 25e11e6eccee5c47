"""Let a real digiKam read what photoramd wrote, in both modes.

    python -m tests.digikam

A photo with a rating, a title, a caption and ``Personen/Oma`` is tagged; then digiKam imports it
into a database of its own, in which all of that must be, and our keywords too. It needs Debian's
packages digikam, xvfb, xdotool, dbus and libimage-exiftool-perl, and takes a minute.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path

from skimage import data

from tests.support.programs import running

TIMEOUT_SECONDS = 120.0
PROGRAMS = ("digikam", "Xvfb", "xdotool", "dbus-run-session", "exiftool")
THEIRS = [
    "-XMP-xmp:Rating=4",
    "-XMP-dc:Title=Oma im Garten",
    "-XMP-dc:Description=Der erste Sommer",
    "-XMP-dc:Subject=Oma",
    "-XMP-lr:HierarchicalSubject=Personen|Oma",
    "-XMP-digiKam:TagsList=Personen/Oma",
]
CONFIGURATION = """
[Album Settings]
Show Splash=false
[General Settings]
Version=7.9.0
[Database Settings]
Database Type=QSQLITE
Database Name={database}/
Database Name Thumbnails={database}/
Database Name Face={database}/
Database Name Similarity={database}/
[Metadata Settings]
Use XMP Sidecar For Reading=true
"""


def tagged(directory: Path, mode: str) -> Path:
    """Tag a photo; return its album."""
    album = directory / "album"
    album.mkdir()
    photo = album / "rocket.jpg"
    shutil.copyfile(Path(data.data_dir) / "rocket.jpg", photo)
    subprocess.run(["exiftool", "-q", "-overwrite_original", *THEIRS, photo], check=True)
    config = directory / "photoramd.toml"
    config.write_text(
        f'[[watch]]\npath = "{album}"\nwrite = "{mode}"\n[debounce]\nquiet_seconds = 0.1\n'
        f'[state]\npath = "{directory}/photoramd.db"\n'
    )
    command = [sys.executable, "-m", "photoramd", "--config", config, "scan"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return album


def imported(directory: Path, album: Path) -> dict[str, object]:
    """Have digiKam import an album; return what it has of the photo."""
    database = directory / "digikam"
    for each in (database, directory / "home" / ".config", directory / "run"):
        each.mkdir(parents=True)
    (directory / "run").chmod(0o700)
    settings = directory / "home" / ".config" / "digikamrc"
    settings.write_text(CONFIGURATION.format(database=database))
    display = f":{os.getpid() % 10_000 + 100}"
    environment = {
        **os.environ,
        "HOME": str(directory / "home"),
        "XDG_CONFIG_HOME": str(settings.parent),
        "XDG_RUNTIME_DIR": str(directory / "run"),
        "DISPLAY": display,
        "QTWEBENGINE_DISABLE_SANDBOX": "1",
    }
    command = ["dbus-run-session", "--", "digikam", "--database-directory", str(database)]
    file = database / "digikam4.db"
    with running(["Xvfb", display, "-screen", "0", "1280x900x24"], environment):
        wait(lambda: pressed(environment), environment)
        with running(command, environment):
            # Escape would end it now.
            wait(lambda: bool(asked(file, "SELECT 1 FROM Settings")), None)
        with closing(sqlite3.connect(file)) as connection, connection:
            connection.execute(
                """INSERT INTO AlbumRoots (label, status, type, identifier, specificPath)
                   VALUES ('album', 0, 1, ?, '/')""",
                (f"volumeid:?path={album}",),
            )
        with running(command, environment):
            wait(lambda: bool(asked(file, "SELECT 1 FROM ImageTags")), environment)
            time.sleep(3)  # the rest of the photo's rows
    pairs = asked(
        file,
        """SELECT t.name, p.name FROM ImageTags i JOIN Tags t ON t.id = i.tagid
           LEFT JOIN Tags p ON p.id = t.pid""",
    )
    comments = dict(asked(file, "SELECT type, comment FROM ImageComments"))
    ((rating,),) = asked(file, "SELECT rating FROM ImageInformation")
    return {
        "rating": rating,
        "title": comments.get(3),
        "caption": comments.get(1),
        "Oma below": dict(pairs).get("Oma"),
        "ours": "rocket" in dict(pairs),
    }


def asked(file: Path, sql: str) -> list[tuple[object, ...]]:
    with suppress(sqlite3.Error), closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
        return db.execute(sql).fetchall()
    return []


def pressed(environment: dict[str, str]) -> bool:
    """Press the Escape key, which dismisses a dialog; return whether the screen took it."""
    command = ["xdotool", "key", "Escape"]
    done = subprocess.run(command, env=environment, check=False, stderr=subprocess.DEVNULL)
    return done.returncode == 0


def wait(condition: Callable[[], bool], environment: dict[str, str] | None) -> None:
    """Wait for a condition; dismiss dialogs meanwhile if an environment is given."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not condition():
        assert time.monotonic() < deadline, "digiKam did not get that far"
        if environment is not None:
            pressed(environment)
        time.sleep(1)


def main() -> None:
    """Check both modes."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        sys.exit(f"missing: {', '.join(missing)}")
    wanted = {
        "rating": 4,
        "title": "Oma im Garten",
        "caption": "Der erste Sommer",
        "Oma below": "Personen",
        "ours": True,
    }
    is_good = True
    for mode in ("sidecar", "embed"):
        with tempfile.TemporaryDirectory() as name:
            found = imported(Path(name), tagged(Path(name), mode))
        print(f"{mode}: {found}")
        is_good = is_good and found == wanted
    sys.exit(0 if is_good else 1)


if __name__ == "__main__":
    main()
