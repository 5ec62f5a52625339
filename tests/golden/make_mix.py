#!/usr/bin/env python3
"""Writes mix.h: shares of mixup and cutmix as Python draws them, from a Philox of its own and the logarithm of its
libm. usage: make_mix.py > mix.h"""
import math

SEED, EPOCH, FIRST, PURPOSE, SHARE, DRAWS = 123, 5, 96, 9, 4, 1 << 16
ALPHAS = [0.05, 0.2, 0.4, 1.0, 1.5, 8.0]


def philox(counter, key):
    """The first word of Philox4x32-10."""
    c, k = list(counter), list(key)
    for _ in range(10):
        p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [(q >> 32) ^ c[1] ^ k[0], q & 0xFFFFFFFF, (p >> 32) ^ c[3] ^ k[1], p & 0xFFFFFFFF]
        k = [(k[0] + 0x9E3779B9) & 0xFFFFFFFF, (k[1] + 0xBB67AE85) & 0xFFFFFFFF]
    return c[0]


def draw(row, number):
    sample = (FIRST + row) * DRAWS + number
    word = philox((sample & 0xFFFFFFFF, sample >> 32, EPOCH, PURPOSE), (SEED & 0xFFFFFFFF, SEED >> 32))
    return (word + 0.5) / 2**32


def share(row, alpha):
    """Of Beta(alpha, alpha), by Joehnk below 1 and by rejection from 1 on."""
    number = SHARE
    while True:
        u, v = draw(row, number), draw(row, number + 1)
        number += 2
        if alpha >= 1:
            if v <= (4 * u * (1 - u)) ** (alpha - 1):
                return u
        else:
            a, b = math.log(u) / alpha, math.log(v) / alpha
            if math.exp(a) + math.exp(b) <= 1:
                return 1 / (1 + math.exp(b - a))


def main():
    print("/* Made by make_mix.py: alpha, and the shares of rows 0 to 3 with seed 123, epoch 5, first 96. */")
    for alpha in ALPHAS:
        print(f"{{{alpha}, {{{', '.join(repr(share(row, alpha)) for row in range(4))}}}}},")


if __name__ == "__main__":
    main()
