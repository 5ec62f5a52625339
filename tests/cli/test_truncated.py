"""test_truncated.py: pictures that are cut short: left out by marque import, or with --truncated accept stored as what is left of them.
Pillow's opinion of the same: tests/oracle/truncated.py."""
import csv
import json
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import ROOT, Marque  # noqa: E402
from pictures import png, write_classes  # noqa: E402
from tap import Tap  # noqa: E402

GOLDEN = ROOT / "tests/golden/pixels"
CUT = {"rgb-420.jpg": 1200, "rgb-progressive.jpg": 900, "exif-6.jpg": 1100, "rgb-8.png": 3000, "rgb-interlaced.png": 3000,
       "rgb.webp": 900}  # bytes that are left


def fill(folder):
    """Two classes of whole pictures, those of CUT beside them, and what nothing can be taken of."""
    write_classes(folder, classes=2, each=6)
    for i, (name, size) in enumerate(CUT.items()):
        (folder / f"class-{i % 2}/{name}").write_bytes((GOLDEN / name).read_bytes()[:size])
    jpeg, deflated = (GOLDEN / "rgb-420.jpg").read_bytes(), bytearray((GOLDEN / "rgb-8.png").read_bytes())
    deflated[deflated.index(b"IDAT") + 6] |= 6  # no such kind of block
    for name, data in {"head.jpg": jpeg[:500], "row.jpg": jpeg[:700], "head.png": png(9, 9)[:30], "damaged.png": bytes(deflated),
                       "both.png": bytes(deflated[:4000]), "page.jpg": b"<html>", "cut.gif": b"GIF89a\1\0\1\0"}.items():
        (folder / "class-0" / name).write_bytes(data)
    return sorted(f"class-{i % 2}/{name}" for i, name in enumerate(CUT))


def rows(path):
    with open(path, newline="", encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def probe(m, tool, *args):
    return subprocess.run([Path(m.program).parent / "tests" / tool, *args], check=True, capture_output=True).stdout


def records(m, data):
    """{name: record} as example_probe tells of it."""
    shards = sorted((m.folder / data).glob("*.tfrecord"))
    lines = [json.loads(line) for line in probe(m, "example_probe", *shards).splitlines()]
    return {bytes.fromhex(line["filename"]).decode(): line for line in lines}


def stored(m, data, name):
    """The PNG in the record of a picture."""
    for shard in (m.folder / data).glob("*.tfrecord"):
        at, body = 0, shard.read_bytes()
        while at < len(body):
            size, = struct.unpack_from("<Q", body, at)
            record = body[at + 12:at + 12 + size]
            if name.encode() in record:
                return record[record.index(b"\x89PNG"):record.index(b"IEND") + 8]
            at += size + 16
    return b""


def picture(out):
    head, _, body = out.partition(b"\n")
    width, height, turn = map(int, head.split())
    return width, height, turn, body


def upright(width, height, turn, body):
    """Orientation 6: the stored left column is the upper row, from its lower end on."""
    if turn == 1:
        return width, height, body
    pixel = lambda x, y: body[(y * width + x) * 3:(y * width + x) * 3 + 3]  # noqa: E731
    return height, width, b"".join(pixel(x, y) for x in range(width) for y in range(height - 1, -1, -1))


def test_reject(tap, m):
    names = fill(m.folder / "cut")
    run = m.expect(tap, "cut pictures are left out", ["import", "cut", "-o", "reject.mq"], 0, out="12 pictures, 2 classes")
    left = rows(m.folder / "reject.mq/quarantine.csv")
    tap.check("each with its name and reason", all("cut short" in left[name]["reason"] for name in names) and len(left) == len(names) + 7,
              left)
    info = json.loads((m.folder / "reject.mq/dataset.json").read_text())
    tap.check("no word of truncated", "truncated" not in info and "truncated" not in info["source"] and "cut short," not in run.out, info)


def test_accept(tap, m, names):
    words = ["import", "cut", "-o", "accept.mq", "--truncated", "accept"]
    first = ", ".join(names[:3])
    m.expect(tap, "a dry run of --truncated accept", [*words, "--dry-run"], 0, out=["18 pictures, 2 classes", "6 pictures are cut short"])
    m.expect(tap, "--truncated accept", words, 0,
             out=["18 pictures, 2 classes", f"warning: 6 pictures are cut short, and what is left of them is stored as PNG: {first}, ..."])
    info = json.loads((m.folder / "accept.mq/dataset.json").read_text())
    tap.check("dataset.json has the setting and every name", info["truncated"] == "accept" and info["source"]["truncated"] == names, info)
    left = rows(m.folder / "accept.mq/quarantine.csv")
    tap.check("what has no row of pixels, or is damaged, or is no such picture stays out", sorted(left) == sorted(
        f"class-0/{n}" for n in ("head.jpg", "row.jpg", "head.png", "damaged.png", "both.png", "page.jpg", "cut.gif")), left)
    tap.check("for the reason it always had", "cut short" in left["class-0/row.jpg"]["reason"]
              and "damaged PNG" in left["class-0/both.png"]["reason"] and "HTML" in left["class-0/page.jpg"]["reason"], left)
    taken = rows(m.folder / "accept.mq/split.csv")
    turned = taken["class-0/exif-6.jpg"]
    tap.check("split.csv has the sizes as they came", (turned["width"], turned["height"]) == ("45", "37"), turned)
    for name in names:
        made = stored(m, "accept.mq", name)
        (m.folder / "made.png").write_bytes(made)
        width, height, turn, body = picture(probe(m, "prepare_probe", "decode", m.folder / "made.png"))
        wanted = upright(*picture(probe(m, "prepare_probe", "salvage", m.folder / "cut" / name)))
        tap.check(f"{name} is a whole, upright PNG of what is left", (width, height, body) == wanted and turn == 1, (width, height, turn))
    record = records(m, "accept.mq")["class-0/exif-6.jpg"]
    tap.check("its record says so", (record["format"], record["colorspace"], record["channels"]) == ("png", "RGB", 3)
              and record["height"] > record["width"], record)
    report = json.loads(m.run([*words[:3], "json.mq", *words[4:], "--json"]).out)
    tap.check("--json names them", report["truncated"] == names and report["pictures"] == 18, report)
    scan = m.run(["scan", "accept.mq", "--json"])
    tap.check("scan finds nothing corrupt", scan.code == 0 and json.loads(scan.out)["flaws"]["corrupt"]["pictures"] == 0, scan.err)
    m.expect(tap, "and all are decoded by others", ["inspect", "accept.mq", "--batch", "9", "-o", "sheet.png"], 0)


def test_more(tap, m, names):
    make = ["import", "cut", "-o", "accept.mq", "--update"]
    (m.folder / "cut/class-1/more.png").write_bytes(png(40, 40, seed=77)[:2000])
    m.expect(tap, "an update goes on so", make, 0, out=["18 pictures keep their split, 1 is new", "7 pictures are cut short"])
    info = json.loads((m.folder / "accept.mq/dataset.json").read_text())
    tap.check("and says so", info["truncated"] == "accept" and "class-1/more.png" in info["source"]["truncated"], info)
    m.expect(tap, "another setting is refused", [*make, "--truncated", "reject"], 64, err="accept.mq was made with --truncated accept")
    m.expect(tap, "the other way, too", ["import", "cut", "-o", "reject.mq", "--update", "--truncated", "accept"], 64,
             err="reject.mq was made with --truncated reject")
    turned = "class-0/exif-6.jpg"
    lines = ["path,label,x1,y1,x2,y2", *(f"{name},{name[:7]},2,1,12,9" for name in names)]
    (m.folder / "cut/list.csv").write_text("\n".join(lines) + "\n")
    m.expect(tap, "with boxes", ["import", "cut/list.csv", "-o", "boxed.mq", "--truncated", "accept"], 0, out="6 pictures, 2 classes")
    record = records(m, "boxed.mq")[turned]
    width, height = record["width"], record["height"]
    box = [round(share * side) for share, side in zip(record["box"], (width, height, width, height))]
    tap.check("a box turns with its picture", box == [width - 9, 2, width - 1, 12], (box, width, height))
    for how, size in ((["--store", "crop"], (8, 10)), (["--presize", "24"], (24, 24)), (["--boxes", "ignore", "--max-side", "10"], (8, 10))):
        m.expect(tap, " ".join(how), ["import", "cut/list.csv", "-o", "small.mq", "--truncated", "accept", *how], 0, out="6 pictures")
        record = records(m, "small.mq")[turned]
        tap.check("its size", (record["width"], record["height"]) == size, record)
        subprocess.run(["rm", "-r", m.folder / "small.mq"], check=True)


def main():
    tap = Tap()
    with Marque() as m:
        test_reject(tap, m)
        names = sorted(f"class-{i % 2}/{name}" for i, name in enumerate(CUT))
        test_accept(tap, m, names)
        test_more(tap, m, names)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
