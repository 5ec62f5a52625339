#!/usr/bin/env python3
"""beetles.py: draws the pictures of README's examples: five kinds of beetles that differ in little, 24 of each, with the
flaws that real collections have. Needs Pillow.

usage: beetles.py FOLDER      writes FOLDER/KIND/NN.jpg, the same at every run"""
import math
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

WIDTH, HEIGHT, FINER, EACH = 400, 320, 2, 24
# Wing covers, length over width, spots (along, across; mirrored where across is not 0).
KINDS = {
    "seven-spot": ((196, 32, 24), 1.2, [(-.62, 0), (-.25, .5), (.15, .72), (.5, .32)]),
    "two-spot": ((190, 36, 22), 1.2, [(.0, .45)]),
    "fourteen-spot": ((232, 196, 60), 1.2, [(-.6, .25), (-.45, .62), (-.1, .3), (.02, .75), (.3, .4), (.4, .75), (.68, .2)]),
    "lily-beetle": ((204, 28, 20), 1.8, []),
    "cockchafer": ((140, 80, 36), 1.9, []),
}


def shade(colour, factor):
    return tuple(max(0, min(255, round(c * factor))) for c in colour)


def ground(rng):
    """A leaf with its veins, or sand; blades and stones, and light from one side."""
    side, size = 560 * FINER, (WIDTH * FINER, HEIGHT * FINER)
    leaf = rng.random() < 0.6
    base = ((rng.randint(60, 110), rng.randint(115, 165), rng.randint(40, 80)) if leaf else
            (rng.randint(180, 210), rng.randint(160, 185), rng.randint(120, 145)))
    image = Image.new("RGB", (side, side), base)
    draw = ImageDraw.Draw(image)
    if leaf:
        middle, gap, reach = rng.uniform(.3, .7) * side, rng.randint(26, 60) * FINER, rng.uniform(.5, 1.4)
        for x in range(-side, side, gap):
            for up in (-1, 1):
                draw.line((x, middle, x + side, middle + up * reach * side), fill=shade(base, 1.18), width=3 * FINER)
        draw.line((0, middle, side, middle), fill=shade(base, 1.3), width=6 * FINER)
    for _ in range(150 if leaf else 4000):
        x, y, r = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(1, 4 if leaf else 3) * FINER
        draw.ellipse((x - r, y - r, x + r, y + r), fill=shade(base, rng.uniform(.75, 1.15)))
    for _ in range(rng.randint(3, 9)):
        x, y, angle, length = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(0, 6.3), rng.uniform(.15, .6) * side
        tint = shade(base, rng.uniform(.45, .85)) if leaf else (rng.randint(60, 120), rng.randint(100, 140), rng.randint(40, 70))
        draw.line((x, y, x + length * math.cos(angle), y + length * math.sin(angle)), fill=tint, width=rng.randint(4, 16) * FINER)
    image = image.rotate(rng.uniform(0, 360), Image.BICUBIC).crop((
        (side - size[0]) // 2, (side - size[1]) // 2, (side + size[0]) // 2, (side + size[1]) // 2))
    light = Image.linear_gradient("L").rotate(rng.uniform(0, 360)).crop((60, 60, 196, 196)).resize(size)
    return Image.composite(image, ImageEnhance.Brightness(image).enhance(rng.uniform(.35, .8)), light)


def beetle(kind, rng):
    """The animal alone, seen from above, its head to the left, on nothing."""
    colour, length, spots = KINDS[kind]
    side = 260 * FINER
    layer = Image.new("RGBA", (side, side))
    draw = ImageDraw.Draw(layer)
    b = 62 * FINER
    a, middle = b * length, side / 2

    def oval(x, y, rx, ry, fill):
        draw.ellipse((middle + x - rx, middle + y - ry, middle + x + rx, middle + y + ry), fill=fill)

    black = (24, 20, 20, 255)
    for along in (-.55, -.05, .4):
        for up in (-1, 1):
            draw.line((middle + along * a, middle, middle + (along + rng.uniform(-.15, .1)) * a, middle + up * b * 1.45), fill=black,
                      width=5 * FINER)
    for up in (-1, 1):
        draw.line((middle - 1.1 * a, middle, middle - 1.1 * a - 24 * FINER, middle + up * rng.uniform(14, 26) * FINER), fill=black,
                  width=3 * FINER)
    body = colour if kind == "cockchafer" else black[:3]
    oval(-1.12 * a, 0, .2 * b + 8 * FINER, .34 * b, shade(body, .8) + (255,))
    oval(-.88 * a, 0, .3 * b + 8 * FINER, .62 * b, shade(body, .7) + (255,))
    if "spot" in kind:
        for up in (-1, 1):
            oval(-.9 * a, up * .42 * b, 7 * FINER, 9 * FINER, (236, 232, 220, 255))
    for step in range(12):  # lit from above left
        part = 1 - step / 12
        oval(-.05 * a * (1 - part), -.12 * b * (1 - part), a * part, b * part, shade(colour, .78 + .45 * (1 - part)) + (255,))
    if kind == "cockchafer":
        for row in (-.6, -.3, 0, .3, .6):
            reach = a * math.sqrt(1 - row * row) * .92
            draw.line((middle - reach, middle + row * b, middle + reach, middle + row * b), fill=shade(colour, .7), width=3 * FINER)
    draw.line((middle - .95 * a, middle, middle + a, middle), fill=shade(colour, .45), width=2 * FINER)
    for along, across in spots:
        r = b * (.155 if kind != "fourteen-spot" else .115) * rng.uniform(.85, 1.15)
        for up in (-1, 1) if across else (1,):
            oval(along * a * .95, up * across * b, r * 1.1, r, black)
    oval(-.35 * a, -.45 * b, .16 * a, .09 * b, (255, 255, 255, 120))
    return layer


def picture(kind, number):
    rng = random.Random(f"{kind} {number}")
    image = ground(rng)
    animal = beetle(kind, rng).rotate(rng.uniform(0, 360), Image.BICUBIC)
    scale = rng.uniform(.65, 1.0)
    animal = animal.resize((round(animal.width * scale),) * 2, Image.LANCZOS)
    place = tuple(round(rng.uniform(-.1, .1) * s + (s - animal.width) / 2) for s in image.size)
    shadow = Image.new("RGBA", animal.size, (0, 0, 0, 110))
    shadow.putalpha(animal.getchannel("A").point(lambda v: v * 110 // 255).filter(ImageFilter.GaussianBlur(5 * FINER)))
    image.paste(shadow, (place[0] + 6 * FINER, place[1] + 8 * FINER), shadow)
    image.paste(animal, place, animal)
    image = image.resize((WIDTH, HEIGHT), Image.LANCZOS)
    return ImageEnhance.Brightness(image).enhance(rng.uniform(.8, 1.15))


def flaws(folder):
    """What a collection picks up in time."""
    def opened(path):
        return Image.open(folder / path)

    opened("two-spot/03.jpg").resize((300, 240)).save(folder / "two-spot/from the web.jpg", quality=80)
    opened("seven-spot/05.jpg").transpose(Image.FLIP_LEFT_RIGHT).save(folder / "two-spot/IMG_0417.jpg", quality=85)
    opened("lily-beetle/07.jpg").filter(ImageFilter.GaussianBlur(9)).save(folder / "lily-beetle/shaken.jpg", quality=85)
    ImageEnhance.Brightness(opened("cockchafer/02.jpg")).enhance(.05).save(folder / "cockchafer/at night.jpg", quality=85)
    Image.new("RGB", (WIDTH, HEIGHT), (255, 255, 255)).save(folder / "fourteen-spot/empty.jpg", quality=85)


def main():
    folder = Path(sys.argv[1])
    for kind in KINDS:
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for number in range(EACH):
            picture(kind, number).save(folder / kind / f"{number:02}.jpg", quality=85)
    flaws(folder)


if __name__ == "__main__":
    main()
