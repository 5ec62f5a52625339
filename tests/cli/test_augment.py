"""test_augment.py: what users type to change training pictures and to look at them: policies, sheets, and words for
what is wrong. No weights are needed."""
import struct
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from marque import Marque  # noqa: E402
from pictures import write_classes  # noqa: E402
from tap import Tap  # noqa: E402

SMALL = ["inspect", "small.mq", "--imgsz", "40"]
GAP = 4


def size_of_png(path):
    return struct.unpack(">2I", path.read_bytes()[16:24])


def test_sheets(tap, m):
    def sheet(name, *more):
        m.expect(tap, f"{name} is written", [*SMALL, *more, "-o", name], 0, out=f"{name}: ")
        return (m.folder / name).read_bytes()

    one = sheet("one.png", "--batch", "5")
    tap.check("five pictures lie side by side", size_of_png(m.folder / "one.png") == (5 * (40 + GAP) + GAP, 40 + 2 * GAP))
    tap.check("the same words give the same picture", sheet("again.png", "--batch", "5") == one)
    tap.check("flips are the default", sheet("flips.png", "--batch", "5", "--augment", "reference") == one)
    plain = sheet("plain.png", "--batch", "5", "--augment", "none")
    tap.check("what does nothing changes nothing",
              sheet("zero.png", "--batch", "5", "--augment", "rotate=0,blur@0") == plain != one)
    others = [sheet("other.png", "--batch", "5", "--augment", "rotate", *more)
              for more in ([], ["--seed", "7"], ["--epoch", "2"])]
    tap.check("seed and epoch choose other draws", len(set(others)) == 3 and one not in others)
    sheet("strong.jpg", "--batch", "17", "--augment", "strong")
    tap.check("a sheet ending in .jpg is a JPEG", (m.folder / "strong.jpg").read_bytes()[:3] == b"\xff\xd8\xff")
    m.expect(tap, "more than there are", [*SMALL, "-b", "4000", "-o", "all.png"], 0, out=["all.png: 18 pictures", "of epoch 1, hflip@0.5"])
    width, height = size_of_png(m.folder / "all.png")
    tap.check("and eight are in a row", width == 8 * (40 + GAP) + GAP and height > 2 * (40 + GAP), (width, height))
    (m.folder / "policy.txt").write_text("# both\nreference\nrotate=5\n")
    m.expect(tap, "a policy in a file", [*SMALL, "--batch", "3", "--augment", "policy.txt", "-o", "file.png"], 0,
             out="hflip@0.5,rotate=5@1")
    left = [path.name for path in m.folder.iterdir() if path.name not in (
        "home", "pictures", "small.mq", "policy.txt", "strong.jpg") and path.suffix != ".png"]
    tap.check("nothing else is left", not left, left)


def test_wrong_words(tap, m):
    def refused(name, args, code, err):
        m.expect(tap, name, [*SMALL, *args], code, err=err)

    refused("a batch and nowhere to put it", ["--batch", "3"], 64, "-o sheet.jpg")
    refused("a picture as JSON", ["--batch", "4", "-o", "a.jpg", "--json"], 64, "leave out --json")
    refused("a place and no batch", ["-o", "a.jpg"], 64, "--batch N -o a.jpg")
    refused("a sheet of another kind", ["--batch", "3", "-o", "a.gif"], 64, "a.gif: a sheet of pictures is written as")
    refused("an augmentation nobody knows", ["--batch", "3", "-o", "a.jpg", "--augment", "rotat=3"], 64,
            ['"rotat"', "did you mean rotate?"])
    refused("a folder that is not there", ["--batch", "3", "-o", "none/a.jpg"], 73, "none/a.jpg")
    run = m.expect(tap, "of a policy for each stage the first", [*SMALL, "--batch", "4", "-o", "stages.png", "--augment",
                   "none; strong"], 0, out="none (of the first stage")
    m.expect(tap, "of one for all", [*SMALL, "--batch", "4", "-o", "one.png", "--augment", "none"], 0, out="none\n")
    tap.check("is what is drawn", (m.folder / "stages.png").read_bytes() == (m.folder / "one.png").read_bytes(), run)
    m.expect(tap, "a batch of no data set", ["inspect", "none.mq", "--batch", "3", "-o", "a.jpg"], 66, err="none.mq")
    m.expect(tap, "a batch of plain pictures", ["inspect", "pictures", "--batch", "3", "-o", "a.jpg"], 64,
             err="marque import pictures")
    tap.check("and nothing was written", not (m.folder / "a.jpg").exists())

    def untrained(name, policy, code, err, *more):
        m.expect(tap, name, ["train", "small.mq", "--augment", policy, *more], code, err=err)

    untrained("training by a policy nobody knows", "fine-graned", 64, "did you mean fine-grained?")
    untrained("an argument out of range", "rotate=200", 64, "rotate: the argument is a number from 0 to 180")
    untrained("more policies than stages", "none; none; none", 64, "3 policies for 2 stages")
    untrained("no policy", ";", 64, "0 policies for 2 stages")
    untrained("a policy for each stage gets as far as the weights", "reference; strong,rotate=3", 66, "marque pull xception")
    untrained("mixup of batches of one", "none; mixup", 64, "take -b 2 or more", "-b", "1")
    untrained("cutmix of batches of one", "reference,cutmix", 64, "take -b 2 or more", "-b", "1")
    untrained("cutmix of batches of two gets as far as the weights", "cutmix", 66, "marque pull xception", "-b", "2")
    untrained("so does cutmix that is never drawn, of one", "cutmix@0", 66, "marque pull xception", "-b", "1")
    (m.folder / "config.json").write_text('{"version": 1, "data": "small.mq", "augment": "strnog"}')
    m.expect(tap, "a wrong policy in a config", ["train", "--config", "config.json"], 64, err="did you mean strong?")


def main():
    tap = Tap()
    with Marque() as m:
        write_classes(m.folder / "pictures")
        m.expect(tap, "a small data set", ["import", "pictures", "-o", "small.mq"], 0)
        test_sheets(tap, m)
        test_wrong_words(tap, m)
    return tap.done()


if __name__ == "__main__":
    sys.exit(main())
