"""The schema of the configuration, for validation, sample and documentation.

A key's type, limits, default and description are defined here and nowhere else, those of
``[hooks]`` in `photoramd.config.hooks`. The values are frozen; `photoramd.config.loader` makes
them from a file, with every path absolute.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from photoramd.config.cluster import Cluster, Worker
from photoramd.config.gallery import Gallery
from photoramd.config.hooks import Hooks
from photoramd.config.section import Section, Text
from photoramd.models.weights.catalog import EMBEDDED, MODELS
from photoramd.system.files import GROUP_READABLE, PRIVATE

_SPAN = r"([01][0-9]|2[0-3]):[0-5][0-9]"


class Watch(Section, frozen=True, kw_only=True):
    """A directory whose photos are tagged, with everything below it. Repeat it for more."""

    path: Annotated[
        Path,
        Meta(description="The directory.", extra={"allowed": "an absolute path, or one below ~"}),
    ]
    write: Annotated[
        Literal["sidecar", "embed", "none"],
        Meta(
            description="Where the tags go besides the database: an XMP file beside the photo, "
            "the photo itself, or nowhere."
        ),
    ] = "sidecar"
    sidecar_names: Annotated[
        Literal["full", "lightroom"],
        Meta(
            description="The name of a new sidecar of a RAW: IMG.CR2.xmp, or IMG.xmp, the only "
            "one that Lightroom reads. A sidecar that is there is used under either name; other "
            "photos always get IMG.JPG.xmp."
        ),
    ] = "full"
    exclude: Annotated[
        tuple[Text, ...],
        Meta(
            description='Patterns of paths below the directory to leave alone, such as "Export/**".'
        ),
    ] = ()
    poll: Annotated[
        Literal["auto", "always", "never"],
        Meta(
            description="Whether to look for changes by walking the directory: auto does so where "
            "the file system reports none, as on network shares."
        ),
    ] = "auto"


class Debounce(Section, frozen=True, kw_only=True):
    """When a new photo counts as whole, and how many are tagged together."""

    quiet_seconds: Annotated[
        float,
        Meta(gt=0, le=3600, description="A file must not have changed for this long."),
    ] = 5.0
    max_wait_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="A photo that is whole waits no longer than this for others to arrive.",
        ),
    ] = 60.0
    batch_size: Annotated[
        int, Meta(ge=1, le=256, description="How many photos the model sees at once.")
    ] = 8


class Scan(Section, frozen=True, kw_only=True):
    """The full comparison of directories and database, which finds what no event reported."""

    interval_minutes: Annotated[
        float,
        Meta(ge=0, le=10080, description="Time between two comparisons; 0: only at the start."),
    ] = 60.0
    poll_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="Shortest time between two looks through a directory that reports no "
            "changes; large ones are looked through less often.",
        ),
    ] = 60.0
    audit_seconds: Annotated[
        float,
        Meta(
            gt=0,
            le=86400,
            description="Time between two checks that every directory is still being watched.",
        ),
    ] = 60.0


class Model(Section, frozen=True, kw_only=True):
    """The network that tags, and which of its tags are kept."""

    name: Annotated[
        str,
        Meta(
            pattern=rf"^({'|'.join(map(re.escape, MODELS))})\Z",
            description="Which network; embedded needs no download.",
            extra={
                "allowed": '"embedded", "ram++" or "torchvision:NAME", as '
                "`photoramd model list` names them"
            },
        ),
    ] = "embedded"
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        Meta(description="What it runs on; models other than ram++ run on the processor."),
    ] = "auto"
    precision: Annotated[
        Literal["auto", "float32", "bfloat16", "int8"],
        Meta(
            description="The numbers it calculates with; others than ram++ have float32 only. "
            "auto is bfloat16 or float32, whichever the processor is faster with; int8 is faster "
            "still, and wants `photoramd model calibrate` first."
        ),
    ] = "auto"
    threshold: Annotated[
        Literal["calibrated"] | Annotated[float, Meta(ge=0, le=1)],
        Meta(
            description="The confidence from which a tag is kept: the one calibrated for each "
            "tag, or one number for all."
        ),
    ] = "calibrated"
    top_n: Annotated[
        int, Meta(ge=1, le=1000, description="At most this many tags for a photo.")
    ] = 15
    idle_unload_minutes: Annotated[
        float,
        Meta(
            ge=0,
            le=10080,
            description="Give the network's memory back after this long without photos; "
            "0: keep it loaded.",
        ),
    ] = 0.0
    threads: Annotated[
        int, Meta(ge=0, le=256, description="Processor threads; 0: one for each core.")
    ] = 0
    retag_on_change: Annotated[
        bool,
        Meta(
            description="After an update of the embedded model tag known photos again, the last "
            "found first, whenever nothing else waits."
        ),
    ] = True

    @property
    def renews(self) -> bool:
        """Whether photos that an earlier revision of the model tagged are tagged again."""
        return self.retag_on_change and self.name == EMBEDDED.name


class Tags(Section, frozen=True, kw_only=True):
    """Your own vocabulary. A change is applied to all photos without running the network."""

    overrides: Annotated[
        Path | None,
        Meta(
            description="A JSON file of other words for tags, "
            '{"tag": "replacement", ...}. A relative path is looked up beside this file, then in '
            "your configuration directory. Without this key, overrides.json is used if there is "
            "one.",
            extra={"allowed": "a path"},
        ),
    ] = Path("overrides.json")
    allow: Annotated[
        tuple[Text, ...], Meta(description="If not empty, no other tags than these are kept.")
    ] = ()
    deny: Annotated[tuple[Text, ...], Meta(description="Tags that are never kept.")] = ()
    parent: Annotated[
        str,
        Meta(
            description="The keyword above all automatic tags where keywords form a hierarchy; "
            "empty: none.",
            extra={"allowed": "a keyword of at most 64 bytes without any of / | , ;"},
        ),
    ] = ""
    fields: Annotated[
        tuple[
            Literal[
                "lr:hierarchicalSubject",
                "digiKam:TagsList",
                "MicrosoftPhoto:LastKeywordXMP",
                "mediapro:CatalogSets",
                "IPTC:Keywords",
            ],
            ...,
        ],
        Meta(
            description="Fields that are made besides dc:subject, each with the user's own "
            "keywords in it. Those that a file already has are kept up in any case.",
            extra={
                "allowed": "a list of some of "
                '"lr:hierarchicalSubject", "digiKam:TagsList", "MicrosoftPhoto:LastKeywordXMP", '
                '"mediapro:CatalogSets" and, inside of JPEG and TIFF photos, "IPTC:Keywords"'
            },
        ),
    ] = ()


class Decode(Section, frozen=True, kw_only=True):
    """Reading photos."""

    max_pixels: Annotated[
        int,
        Meta(
            ge=1,
            le=4_000_000_000,
            description="Photos with more pixels (width times height) are refused before they "
            "are decoded.",
        ),
    ] = 120_000_000


class Schedule(Section, frozen=True, kw_only=True):
    """When the network may run. Photos are found and queued at any time."""

    hours: Annotated[
        tuple[Annotated[str, Meta(pattern=rf"^{_SPAN}-{_SPAN}\Z")], ...],
        Meta(
            description="Times of day, local time; empty: always.",
            extra={"allowed": 'a list of spans of time, such as ["22:00-07:00"]'},
        ),
    ] = ()


class State(Section, frozen=True, kw_only=True):
    """What photoramd remembers."""

    path: Annotated[
        Path,
        Meta(
            description="The database, on a disk of this machine. Without this key it is "
            "/var/lib/photoramd/photoramd.db for a system service and "
            "~/.local/state/photoramd/photoramd.db for a user.",
            extra={"allowed": "an absolute path, or one below ~"},
        ),
    ] = Path("/var/lib/photoramd/photoramd.db")
    backups: Annotated[
        int,
        Meta(
            ge=0,
            le=100,
            description="How many daily copies of the database are kept beside it; 0: none are "
            "made.",
        ),
    ] = 3
    readable_by_group: Annotated[
        bool,
        Meta(
            description="Whether members of the daemon's group may read the database, so that the "
            "gallery can run as a user of its own. They then see the names and tags of all "
            "photos, and could keep the daemon from writing. Changed when the daemon starts."
        ),
    ] = False

    @property
    def file_mode(self) -> int:
        """The mode of the database's files."""
        return GROUP_READABLE if self.readable_by_group else PRIVATE


Searches = Annotated[
    dict[str, Text],
    Meta(
        description="Saved searches by name: beach-2024 is used as @beach-2024 in a query.",
        extra={"example": 'beach-2024 = "beach taken:2024"'},
    ),
]


class Similar(Section, frozen=True, kw_only=True):
    """Finding photos that look alike. Only the embedded model can."""

    enabled: Annotated[
        bool,
        Meta(
            description="Whether what photos are compared by is kept as they are tagged: half a "
            "kilobyte for each, in a second file beside the database, of which no copies are made."
        ),
    ] = True


class Config(Section, frozen=True, kw_only=True):
    """The whole configuration."""

    watch: tuple[Watch, ...] = ()
    debounce: Debounce = Debounce()
    scan: Scan = Scan()
    model: Model = Model()
    tags: Tags = Tags()
    decode: Decode = Decode()
    schedule: Schedule = Schedule()
    hooks: Hooks = Hooks()
    state: State = State()
    searches: Searches = msgspec.field(default_factory=dict)
    similar: Similar = Similar()
    gallery: Gallery = Gallery()
    cluster: Cluster = Cluster()
    worker: Worker = Worker()
