"""test_lists.py: lists of pictures as people write them: paths spelled in other ways, through links, boxes and parts
that contradict each other."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from tap import Tap  # noqa: E402
from test_import import fill, splits  # noqa: E402
from test_sources import coco  # noqa: E402


def write(m, name, *lines):
    (m.folder / name).write_text("\n".join([*lines, ""]))
    return name


def test_spellings(tap, m):
    """A picture is one however its path is written."""
    fill(m.folder / "pics", {"x": 4, "y": 4})
    for again in ("x//000.png", "x/./000.png", "./x/000.png", f"{m.folder}//pics/./x/000.png"):
        source = write(m, "pics/twice.csv", "path,label", "x/000.png,a", "y/000.png,b", f"{again},b")
        m.expect(tap, f"{again} is x/000.png", ["import", source, "-o", "x.mq"], 65, err="lines 2 and 4 are both about x/000.png")
    source = write(m, "pics/odd.csv", "path,label", "x//000.png,a", "x/./001.png,a", "y/000.png,b", ".//y///001.png,b")
    run = m.expect(tap, "a list of odd spellings", ["import", source, "-o", "odd.mq"], 0, out="4 pictures lie beside these without annotation")
    tap.check("names are plain", set(splits(m.folder / "odd.mq")) == {"x/000.png", "x/001.png", "y/000.png", "y/001.png"}, run.out)
    source = write(m, "pics/out.csv", "path,label", "x/./../../pics/x/000.png,a")
    m.expect(tap, "but none that climbs", ["import", source, "-o", "x.mq"], 65, err="lies outside")


def test_linked_root(tap, m):
    """Absolute paths may begin with the root as it was given, be it through a link."""
    fill(m.folder / "real/pics", {"x": 3, "y": 3})
    (m.folder / "link").symlink_to("real")
    names = [f"{c}/{i:03}.png" for c in "xy" for i in range(3)]
    far = [f"{m.folder}/link/pics/{name}" for name in names]
    lines = "".join(f"{path}\n" for path in far).encode()
    for root in (f"{m.folder}/link/pics", "link/pics/"):
        m.expect(tap, f"paths through a link below --root {root}", ["import", "-", "--root", root, "-o", "lines.mq"], 0,
                 stdin=lines, out="6 pictures, 2 classes")
        tap.check("are named below it", sorted(splits(m.folder / "lines.mq")) == names)
        (m.folder / "lines.mq").rename(m.folder / f"lines-{len(root)}.mq")
    write(m, "real/pics/list.csv", "path,label", *(f"{path},{name[0]}" for path, name in zip(far, names)))
    for source in (f"{m.folder}/link/pics/list.csv", "link/pics/list.csv"):
        m.expect(tap, f"the list {source}", ["import", source, "-o", f"list-{len(source)}.mq"], 0, out="6 pictures, 2 classes")
        tap.check("names them so, too", sorted(splits(m.folder / f"list-{len(source)}.mq")) == names)
    (m.folder / "real/deep/er").mkdir(parents=True)
    (m.folder / "real/deep/pics").mkdir()
    (m.folder / "turn").symlink_to("real/deep/er")
    fill(m.folder / "pics", {"x": 3})
    m.expect(tap, "a root that goes back behind a link is not the folder it reads like", ["import", "-", "--root", f"{m.folder}/turn/../pics", "-o", "x.mq"],
             65, stdin=f"{m.folder}/pics/x/000.png\n".encode(), err="lies outside --root")


def test_capitals(tap, m):
    """Endings of lists in capitals."""
    fill(m.folder / "pics", {"x": 2, "y": 2})
    for name, comma in (("L.CSV", ","), ("L.TSV", "\t")):
        write(m, f"pics/{name}", *(comma.join(row) for row in (("path", "label"), ("x/000.png", "a"), ("y/000.png", "b"))))
        m.expect(tap, name, ["import", f"pics/{name}", "-o", f"{name}.mq"], 0, out="2 pictures, 2 classes")
    coco(m.folder / "coco/L.JSON", [(f"{n}.png", True) for n in range(4)], [(n, (3, 17)[n % 2], [], {}) for n in range(4)], m.folder / "coco")
    m.expect(tap, "L.JSON", ["import", "coco/L.JSON", "-o", "coco.mq"], 0, out="4 pictures, 2 classes")


def test_torn(tap, m):
    """What the source tears does not share a split, and is not said to."""
    fill(m.folder / "pics", {"x": 4, "y": 4}, (40, 30))
    source = write(m, "pics/boxes.csv", "path,label,x1,y1,x2,y2,split", "x/000.png,a,1,1,9,9,train", "x/000.png,b,11,1,19,9,test",
                   *(f"y/00{i}.png,{'ab'[i % 2]},,,,,train" for i in range(4)))
    run = m.expect(tap, "boxes of one picture in two parts", ["import", source, "-o", "boxes.mq"], 0, out="they are boxes of 5 pictures\n",
                   err="warning: 2 boxes lie in another split than others of their picture, as the source has it")
    tap.check("are nothing else", "share a split" not in run.out and "copies" not in run.err, run.out + run.err)


def test_split_file(tap, m):
    fill(m.folder / "pics", {"x": 6, "y": 6})
    make = ["import", "pics", "-o", "pics.mq", "--split-file", "split.csv"]
    write(m, "split.csv", "path,split", "./x/000.png,test", "y//001.png,test", f"{m.folder}/pics/y/002.png,test")
    m.expect(tap, "a split file's paths are those of lists", make, 0, out="test 3")
    placed = {name for name, split in splits(m.folder / "pics.mq").items() if split == "test"}
    tap.check("are found", placed == {"x/000.png", "y/001.png", "y/002.png"}, placed)
    write(m, "split.csv", "path,split", "x/000.png,test", "x/9.png,test", "z/1.png,train", "z/2.png,train", "z/3.png,val")
    m.expect(tap, "rows of no picture are named", [*make[:3], "x.mq", *make[4:]], 65,
             err="split.csv: 4 of its 5 rows name no picture of the source: line 3 (x/9.png), line 4 (z/1.png), line 5 (z/2.png), ...; a path")
    write(m, "split.csv", "path,split", "x/001.png,test", "x/000.png,test", "./x/001.png,train")
    m.expect(tap, "so are two of one", [*make[:3], "x.mq", *make[4:]], 65, err="split.csv: lines 2 and 4 are both about x/001.png")


def test_called_train(tap, m):
    """A file may be called as a folder of a split is."""
    for split in ("train", "val"):
        fill(m.folder / "all" / split, {"x": 4, "y": 4})
    (m.folder / "all/val/x/000.png").rename(m.folder / "all/test")
    paths = "".join(f"{path}\n" for path in sorted((m.folder / "all").rglob("*")) if path.is_file())
    m.expect(tap, "a list of it", ["import", "-", "-o", "x.mq"], 0, stdin=paths.encode(), out="15 pictures, 2 classes")
    placed = splits(m.folder / "x.mq")
    tap.check("it lies in no class folder", len(placed) == 15 and not any(name.endswith("test") for name in placed), placed)


def test_carriage_returns(tap, m):
    """Some programs write CR CR LF."""
    fill(m.folder / "pics", {"x": 2, "y": 2})
    for ends in (("\r\r\n",) * 5, ("\r\n", "\r\n", "\r\r\n", "\n", "\r\r")):
        rows = ("path,label", "x/000.png,a", "x/001.png,a", "y/000.png,b", "y/001.png,b")
        (m.folder / "pics/list.csv").write_bytes("".join(row + end for row, end in zip(rows, ends)).encode())
        m.expect(tap, f"rows that end in {ends}", ["import", "pics/list.csv", "-o", "x.mq", "--dry-run"], 0, out="4 pictures, 2 classes")


def test_pattern(tap, m):
    """What a pattern matches hangs on no locale."""
    made = []
    fill(m.folder / "pics", {"x": 12, "y": 12})
    for path in sorted((m.folder / "pics").rglob("*.png")):
        path.rename(path.with_name("äöüé"[int(path.stem) % 4] + path.name))
    for name in ("C", "C.UTF-8"):
        m.expect(tap, f"groups under {name}", ["import", "pics", "-o", f"{name}.mq", "--group-by", "/(.)[^/]*$"], 0, env={"LC_ALL": name})
        made.append((m.folder / f"{name}.mq/split.csv").read_bytes())
    tap.check("are the same", made[0] == made[1])


def main():
    tap = Tap()
    for test in (test_spellings, test_linked_root, test_capitals, test_torn, test_split_file, test_called_train, test_carriage_returns,
                 test_pattern):
        with Marque() as m:
            test(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
