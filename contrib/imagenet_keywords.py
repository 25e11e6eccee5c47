#!/usr/bin/env python3
"""Write the table of the embedded tagger's keywords.

    python contrib/imagenet_keywords.py [--wordnet DIR] [--synsets FILE] TABLE

The 1,000 ImageNet classes are WordNet 3.0 noun synsets, so WordNet knows the kinds above
them. Its names and its tree are made for linguists, though: this script picks the kinds that
somebody would look for (`KINDS`), corrects their members where WordNet means something else
than the photos show, and gives classes everyday names (`NAMES`). Classes with one name are
one keyword, and a class with the name of a kind is absorbed by it.

Inputs: ``data.noun`` of WordNet 3.0 (Debian: wordnet-base; format: wndb(5WN)) and the synset
of each class, one per line in the order of the classes (timm carries the list).

Output, tab-separated: keyword, ``leaf`` or ``kind``, class indices, keywords above it (the
most general first, separated by ``|``).
"""

from __future__ import annotations

import argparse
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

# Everyday names. Without an entry the first word of the synset stands.
NAMES = {
    7: "rooster", 15: "American robin", 20: "dipper", 21: "kite (bird)", 24: "owl",
    25: "fire salamander", 33: "loggerhead turtle", 37: "box turtle", 40: "anole",
    41: "whiptail lizard", 47: "chameleon", 49: "crocodile", 50: "alligator", 52: "worm snake",
    62: "python", 63: "cobra", 67: "diamondback rattlesnake", 75: "black widow spider",
    87: "African grey parrot", 96: "toucan", 117: "nautilus", 132: "egret", 134: "crane (bird)",
    136: "gallinule", 137: "coot", 140: "dunlin", 145: "penguin", 154: "Pekingese",
    157: "papillon (dog)", 160: "Afghan hound", 161: "basset hound", 163: "bloodhound",
    164: "bluetick coonhound", 166: "Walker hound", 168: "redbone coonhound",
    177: "Scottish deerhound", 179: "Staffordshire bull terrier", 190: "Sealyham terrier",
    191: "Airedale terrier", 192: "cairn terrier", 194: "Dandie Dinmont terrier",
    195: "Boston terrier", 199: "Scottish terrier", 204: "Lhasa apso", 216: "clumber spaniel",
    217: "English springer spaniel", 242: "boxer (dog)", 243: "bullmastiff", 248: "husky",
    251: "Dalmatian", 255: "Leonberger", 256: "Newfoundland dog", 260: "chow chow",
    262: "Brussels griffon", 263: "Pembroke Welsh corgi", 264: "Cardigan Welsh corgi",
    268: "Mexican hairless dog", 269: "grey wolf", 270: "Arctic wolf", 275: "African wild dog",
    281: "tabby cat", 295: "black bear", 296: "polar bear", 313: "stick insect", 319: "dragonfly",
    321: "admiral butterfly", 322: "ringlet butterfly", 323: "monarch butterfly",
    326: "lycaenid butterfly", 330: "cottontail rabbit", 332: "Angora rabbit", 335: "squirrel",
    339: "horse", 341: "pig", 349: "bighorn sheep", 354: "camel", 364: "sloth",
    371: "patas monkey", 375: "colobus monkey", 378: "capuchin monkey", 380: "titi monkey",
    383: "ring-tailed lemur", 387: "red panda", 391: "coho salmon", 392: "rock beauty (fish)",
    397: "pufferfish", 408: "amphibious vehicle", 412: "trash can", 418: "ballpoint pen",
    419: "adhesive bandage", 421: "banister", 428: "wheelbarrow", 436: "station wagon",
    437: "lighthouse", 439: "bearskin hat", 444: "tandem bicycle", 446: "ring binder",
    452: "bonnet (hat)", 456: "bow (weapon)", 458: "memorial plaque", 459: "bra", 468: "taxi",
    469: "cauldron", 477: "tool kit", 487: "mobile phone", 489: "chain-link fence",
    491: "chainsaw", 492: "chest (box)", 493: "chest of drawers", 502: "clog (shoe)",
    506: "spiral", 509: "candy store", 511: "convertible (car)", 513: "trumpet",
    517: "crane (machine)", 521: "slow cooker", 533: "dishcloth", 542: "drumstick (music)",
    553: "filing cabinet", 564: "four-poster bed", 570: "gas mask", 575: "golf cart",
    581: "radiator grille", 586: "half-track", 589: "hair dryer", 590: "handheld computer",
    592: "hard disk", 606: "clothes iron", 608: "jeans", 610: "T-shirt", 612: "rickshaw",
    628: "ocean liner", 630: "loafer (shoe)", 634: "sawmill", 638: "one-piece swimsuit",
    639: "one-piece swimsuit", 651: "microwave oven", 657: "missile", 661: "Ford Model T",
    664: "computer monitor", 666: "mortar (bowl)", 672: "tent", 673: "computer mouse",
    677: "nail (metal)", 680: "baby bottle", 681: "laptop", 687: "pipe organ", 697: "pajamas",
    705: "railway carriage", 707: "payphone", 714: "guitar pick", 717: "pickup truck",
    724: "pirate ship", 725: "pitcher (jug)", 726: "carpenter's plane", 738: "flowerpot",
    744: "missile", 746: "hockey puck", 751: "race car", 767: "eraser", 769: "ruler",
    773: "salt shaker", 776: "saxophone", 778: "weighing scale", 782: "computer monitor",
    800: "slot machine", 824: "stole (scarf)", 829: "tram", 831: "sofa", 836: "sunglasses",
    840: "mop", 844: "electric switch", 847: "tank (military)", 850: "teddy bear",
    853: "thatched roof", 861: "toilet", 867: "semi-trailer truck", 876: "bathtub",
    881: "upright piano", 882: "vacuum cleaner", 884: "vaulted ceiling", 896: "sink",
    897: "washing machine", 906: "necktie", 908: "aircraft wing", 912: "rail fence",
    913: "shipwreck", 916: "website", 921: "book cover", 925: "consommé", 927: "trifle (dessert)",
    930: "baguette", 934: "hot dog", 936: "cabbage", 948: "apple", 964: "pot pie", 970: "mountain",
    976: "headland", 981: "baseball player", 982: "bridegroom", 986: "lady's slipper orchid",
    989: "rose hip", 990: "horse chestnut", 998: "corn", 999: "toilet paper",
}  # fmt: skip

# One kind per line, indented below the kind it belongs to. Behind the name: WordNet synsets
# whose classes it has, then single classes with + and -. A kind has its children's classes.
# A class has one path of kinds above it: the first in this text that leads to it, so kinds
# that cut across others stand behind them.
KINDS = """
animal: 00015388
  bird: 01503061
    songbird: 01525720
      finch: 01529672
    bird of prey: 01604330
    game bird: 02153203
      grouse: 01795088
    parrot: 01816887
    waterfowl: 01845132 +100
      duck: 01846331
    wading bird: 02000954
      heron: 02008041
      stork: 02002075
      shorebird: 02022684
    seabird: 02021795
    chicken: +7 +8
  dog: 02084071
    hound: 02087551
    terrier: 02092468
    spaniel: 02101108
    retriever: 02099029
    setter: 02100399
    sheepdog: 02104523
    poodle: 02113335
    corgi: 02112826
    schnauzer: 02096756
    pinscher: 02106966
    spitz: 02111626
    mountain dog: 02107420
    sled dog: 02109811 +248
    toy dog: 02085374
  cat: 02121808
  big cat: 02127808 +286
  wolf: 02114100 -272
  fox: 02118333
  bear: 02131653
  primate: 02469914
    monkey: 02484322
    ape: 02470325
    lemur: 02496913
  rodent: 02329401
  rabbit: 02323902
  marine mammal: 02062017
    whale: 02062744
  elephant: 02503517 +101
  cattle: +345 +346 +347
  sheep: +348 +349
  antelope: 02419796
  pig: 02395003
  marsupial: 01874434
  farm animal: +7 +8 +99 +339 +341 +345 +348
  reptile: 01661091
    snake: 01726692
      rattlesnake: 01754876
    lizard: 01674464
    turtle: 01662784
      sea turtle: 01663401
  amphibian: 01627424
    frog: 01639765
    salamander: 01629276
  fish: 02512053
    shark: 01482330
    ray (fish): 01495701
  insect: 02159955
    beetle: 02164464
    butterfly: 02274259
    dragonfly: 02268148
  spider: 01772222
  crustacean: 01974773
    crab: 01976957 +125
    lobster: 01982650
  mollusc: 01940736
  marine animal: 01482071 01909422 02316707 02062017 01663401 01976146 +112 +115 +117 +146 \
      +389 +390 +392 +393 +396 +397 -124
landscape: 09287968 -973
  mountain: 09359803
  coast: +976 +977 +978
    beach: +977 +978
food: 07555863 07566340 07570720 +987 +998 -946 -947
  fruit: 07705931
    citrus fruit: 07747055
  vegetable: 07707451 +987 +998 -935 -946 -947
    squash: 07715561
  bread: 07679356 -962
  dessert: 07609840
  fast food: +933 +934 +963 +965
  soup: +925 +926 +809
drink: 07881800 +441 -968
plant: 00017222 12992868 +738 +984 +987 +998 +988 +989 +990 +944 +946 \
    -991 -992 -993 -994 -995 -996 -997
  flower: 11669921 +984 +946
mushroom: 12992868 +947
vehicle: 04524313 04019101 +565 +705 -428 -791
  car: 02958343 +475 +479 +581
  truck: 04490091 +803 -656 -734
  van: 04520170
  bus: 02924116
  bicycle: 02834778
  motorcycle: +665 +670
  train: +466 +547 +565 +705 +820
  boat: 04530566
    ship: 04194289 -833
    sailboat: +484 +780 +871 +914
  aircraft: 02686568 +908
    airplane: +404 +895 +908
  sled: 04235291
  emergency vehicle: +407 +555 +734
  farm machinery: +595 +730 +856 +866
rocket: +657 +744 +812
building: 02913152 03953020 03546340 +437 +442 +663 +668 +698 +832 +538 +858 -660
  religious building: 03953416 +442 +663 +406 +884
  shop: 03748162 +424
  tower: +437 +442 +900
  roof: 04105068 -884
bridge: 02898711
fence: 03327234 -825
monument: 03743902 +682 +863 -458
furniture: 03405725
  chair: 03001627
  table: +526 +532
  bed: 02766320 +564
  cabinet: +453 +493 +495 +553 +648 +894
lamp: +619 +818 +846
clothing: 03051540 +443 +501 -496 -785
  coat: +568 +617 +735 +869
  skirt: 04230808
  sweater: 04370048
  swimwear: 04371563 +638 +639
  hat: 03497657 +667
  helmet: 03513137 +715
  footwear: 03380867 +806
    shoe: 03380867 -514
  tie: 03815615
armour: 02739668 +461
mask: +570 +643 +691 +796
bag: 02773037 -797
basket: 02801938
musical instrument: 03800933
  string instrument: 04338517 -579 -881
    guitar: 03467517
  wind instrument: 04586932 -401 -687
  piano: 03928116
  drum: +541 +822
weapon: 04565375 -657 -744
  gun: 03467984
sports equipment: 04285146 02778669 +746 +747 +752 +795 -575
  ball: 02778669 -747
  gym equipment: +416 +422 +543 +602 +702
toy: +611 +723 +850
electronics: 03278248 +605 +632 +650 +745 +754 +761 +848 +851
  computer: 03918480 +508 +664 +673 +782
  telephone: 04401088
  camera: 02942699 +622
clock: 03046257
appliance: 02729837 +827
kitchenware: 03620052 03621049 +499 +534 +567 +618 +760 +813 +827 +828 +909 +910
tableware: 04381994 03438257 +504 +505 +725 +773 +849 +923 +968 -712
  bowl: 02880940
  cup: +504 +967 +968
coffee: +504 +505 +550 +967
bottle: 02876657 +680 -899 -901
tool: 04451818
knife: 03623556
stationery: 03906997 +446 +549 +709 +710 +767 +769
toiletries: 04447443
medical equipment: +419 +523 +678 +720 +823 +830 +845
bathroom: +434 +435 +793 +794 +804 +861 +876 +896 +999
book: +453 +454 +624 +917 +921
person: 00007846
"""

CLASSES = 1000
SEPARATORS = frozenset("/|,;\t\n")
INDENT = "  "


@dataclass
class Kind:
    """A keyword for several classes."""

    name: str
    parents: tuple[str, ...]
    classes: frozenset[int]
    children: list[Kind] = field(default_factory=list)


class WordNet:
    """The nouns of WordNet: their words and the synsets above them."""

    def __init__(self, directory: Path) -> None:
        self.words: dict[str, list[str]] = {}
        self._above: dict[str, list[str]] = {}
        for line in (directory / "data.noun").read_text("ascii").splitlines():
            if not line.startswith(INDENT):  # the licence stands in front, indented
                self._add(line.partition(" | ")[0].split())

    def _add(self, fields: list[str]) -> None:
        synset, word_count = fields[0], int(fields[3], 16)
        self.words[synset] = [fields[4 + 2 * i].replace("_", " ") for i in range(word_count)]
        pointers = fields[5 + 2 * word_count :]
        self._above[synset] = [
            pointers[i + 1] for i in range(0, len(pointers) - 3, 4) if pointers[i] in {"@", "@i"}
        ]

    def ancestors(self, synset: str) -> set[str]:
        """The synset and all above it."""
        found, waiting = {synset}, [synset]
        while waiting:
            for above in self._above[waiting.pop()]:
                if above not in found:
                    found.add(above)
                    waiting.append(above)
        return found


def parse_kinds(members: dict[str, set[int]]) -> list[Kind]:
    """The kinds in the order of the text, each with its children's classes."""
    kinds: list[Kind] = []
    open_kinds: list[Kind] = []
    for line in KINDS.strip().splitlines():
        depth = (len(line) - len(line.lstrip())) // len(INDENT)
        name, _, rest = line.strip().partition(":")
        del open_kinds[depth:]
        kind = Kind(name, tuple(k.name for k in open_kinds), parse_classes(rest, members))
        if open_kinds:
            open_kinds[-1].children.append(kind)
        open_kinds.append(kind)
        kinds.append(kind)
    for kind in reversed(kinds):
        kind.classes = kind.classes.union(*(child.classes for child in kind.children))
    return kinds


def parse_classes(text: str, members: dict[str, set[int]]) -> frozenset[int]:
    """The classes of synsets, and single ones with + and -."""
    classes: set[int] = set()
    for word in text.split():
        if word.startswith("+"):
            classes.add(int(word[1:]))
        elif word.startswith("-"):
            if int(word[1:]) not in classes:
                raise SystemExit(f"{word} takes away what is not there:{text}")
            classes.remove(int(word[1:]))
        else:
            classes |= members[word]
    return frozenset(classes)


def leaves(words: list[str], kinds: list[Kind]) -> Iterator[Kind]:
    """The classes' own keywords, those that no kind absorbs, below their kinds."""
    named: dict[str, set[int]] = {}
    for index, word in enumerate(words):
        named.setdefault(NAMES.get(index, word), set()).add(index)
    by_name = {kind.name: kind for kind in kinds}
    roots = [kind for kind in kinds if not kind.parents]
    for name, classes in named.items():
        if name not in by_name:
            yield Kind(name, path_to(classes, roots), frozenset(classes))
        elif not classes <= by_name[name].classes:
            raise SystemExit(f"{name}: a class of that name is not in the kind")


def path_to(classes: set[int], kinds: list[Kind]) -> tuple[str, ...]:
    """The kinds down to some classes; of several ways the first in the text."""
    for kind in kinds:
        if classes <= kind.classes:
            return (kind.name, *path_to(classes, kind.children))
    return ()


def rows(words: list[str], members: dict[str, set[int]]) -> Iterator[str]:
    """The lines of the table, leaves first."""
    kinds = parse_kinds(members)
    seen: set[str] = set()
    groups = (("leaf", list(leaves(words, kinds))), ("kind", kinds))
    for label, group in groups:
        for entry in group:
            check_name(entry.name, seen)
            if label == "kind" and len(entry.classes) < 2:
                raise SystemExit(f"{entry.name}: a kind of one class")
            classes = " ".join(str(index) for index in sorted(entry.classes))
            yield f"{entry.name}\t{label}\t{classes}\t{'|'.join(entry.parents)}"


def check_name(name: str, seen: set[str]) -> None:
    """Refuse a name that cannot be a keyword or was there before."""
    folded = name.casefold()
    if folded in seen:
        raise SystemExit(f"{name}: twice")
    seen.add(folded)
    normal = unicodedata.normalize("NFC", name).strip()
    if name != normal or len(name.encode()) > 64 or not SEPARATORS.isdisjoint(name):
        raise SystemExit(f"{name}: no keyword")


def synsets_of_timm() -> Path:
    """The list of classes in an installed timm, which is not imported."""
    spec = find_spec("timm")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("timm is not installed: install it or give --synsets")
    return Path(spec.submodule_search_locations[0]) / "data/_info/imagenet_synsets.txt"


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description="Write the embedded tagger's keywords.")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet"))
    parser.add_argument("--synsets", type=Path, help="one synset per line; default: timm's list")
    parser.add_argument("table", type=Path)
    arguments = parser.parse_args()
    wordnet = WordNet(arguments.wordnet)
    synsets = (arguments.synsets or synsets_of_timm()).read_text().split()
    synsets = [synset.removeprefix("n") for synset in synsets]
    if len(synsets) != CLASSES:
        raise SystemExit(f"{len(synsets)} synsets, expected {CLASSES}")
    members: dict[str, set[int]] = {}
    for index, synset in enumerate(synsets):
        for above in wordnet.ancestors(synset):
            members.setdefault(above, set()).add(index)
    words = [wordnet.words[synset][0] for synset in synsets]
    header = "keyword\tlevel\tclasses\tabove"
    lines = [header, *rows(words, members)]
    arguments.table.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    print(f"{len(lines) - 1} keywords in {arguments.table}")


if __name__ == "__main__":
    main()
