"""small_model.py: what the tests of installed things share: a model that takes seconds to make, pictures to ask it about,
and their pixels as raw frames."""
import json
import os
import struct
from pathlib import Path

from marque import ROOT
from pictures import write_classes

BUILD = Path(os.environ.get("MARQUE_BIN") or ROOT / "build/release/marque").parent
# Colour, grey, upright by EXIF, transparent.
ASKED = ("rgb-420.jpg", "grey.jpg", "exif-1.jpg", "rgba-8.png", "rgb-16.png")


def make_model(tap, m):
    """Trains at 71 pixels on pictures made up on the spot; the path of the model file. m has the real weights."""
    write_classes(m.folder / "pictures")
    m.expect(tap, "import", ["import", "pictures", "-o", "data.mq"], 0)
    m.expect(tap, "train", ["train", "data.mq", "--imgsz", "71", "--stages", "head:2@1e-4", "-o", "run"], 0)
    return m.folder / "run/weights/best.safetensors"


def pictures(m):
    """Files to ask about: real decoders' food, and two that the model has learned from."""
    learned = [m.folder / f"pictures/class-{n}/03.png" for n in (0, 2)]
    return [ROOT / "tests/golden/pixels" / name for name in ASKED] + learned


def single(number):
    """The nearest float of C: nine digits tell it from every other."""
    return struct.unpack("f", struct.pack("f", float(number)))[0]


def top_answers(text):
    """(class, confidence as a float of C, name) of each line of `marque predict --json`."""
    best = [json.loads(line)["predictions"][0] for line in text.splitlines()]
    return [(one["class"], single(one["confidence"]), one["name"]) for one in best]
