/* bmp.c: BMP, without a library. Called through the table in reader.c. Owns
 * nothing. Invariant: no byte is read before its place was checked against the
 * file's end. After "Bitmap Storage" and BITMAPV5HEADER in Microsoft's Win32
 * documentation; OS/2 1.x headers (BITMAPCOREHEADER) too. Run lengths are refused. */
#include "base/mem.h"
#include "pictures/reader.h"

#include <string.h>

enum {
    FILE_HEADER = 14,
    CORE = 12, /* bytes of the header of OS/2 1.x; later ones: */
    INFO = 40,
    MASKS = 52,
    ALPHA = 56,
    HEADER_MAX = 124,
    PLAIN = 0,
    BITFIELDS = 3, /* compression */
    ALPHAFIELDS = 6,
};

typedef struct {
    uint32_t width, height, bits;
    bool top_down;
    size_t pixels, row;    /* where rows begin; bytes from a row to the next */
    uint32_t masks[4];     /* red, green, blue, alpha of 16 and 32 bits; 0: none */
    const uint8_t *colour; /* palette entries, blue first */
    size_t colours, entry; /* how many; bytes of each */
} bitmap;

static uint32_t u16(const uint8_t *p) {
    return (uint32_t)p[1] << 8 | p[0];
}

static uint32_t u32(const uint8_t *p) {
    return u16(p + 2) << 16 | u16(p);
}

static bool knows(const uint8_t *bytes, size_t size) {
    if (size < FILE_HEADER + CORE || memcmp(bytes, "BM", 2) != 0) return false;
    const uint32_t header = u32(bytes + FILE_HEADER);
    return header == CORE || (header >= INFO && header <= HEADER_MAX);
}

/* Which bits are red, green, blue and alpha. */
static void find_masks(const uint8_t *info, size_t header, uint32_t compression, size_t room, bitmap *b) {
    static const uint32_t of_16[4] = {0x7c00, 0x03e0, 0x001f, 0};
    static const uint32_t of_32[4] = {0xff0000, 0x00ff00, 0x0000ff, 0};
    memcpy(b->masks, b->bits == 16 ? of_16 : of_32, sizeof b->masks);
    if (compression == PLAIN) return;
    const size_t count = compression == ALPHAFIELDS || header >= ALPHA ? 4 : 3;
    for (size_t i = 0; i < count && INFO + 4 * i + 4 <= room; i++) b->masks[i] = u32(info + INFO + 4 * i);
}

static mq_status read_header(mq_err *err, const mq_source *in, bitmap *b) {
    mq_status status = MQ_OK;
    const uint8_t *info = in->bytes + FILE_HEADER;
    const size_t room = in->size - FILE_HEADER, header = u32(info);
    const bool core = header == CORE;
    MQ_REQUIRE(room >= header, err, MQ_BAD_DATA, "%s: a BMP that is cut short", in->name);
    const uint32_t compression = core ? PLAIN : u32(info + 16);
    b->width = core ? u16(info + 4) : u32(info + 4);
    b->height = core ? u16(info + 6) : u32(info + 8);
    b->bits = core ? u16(info + 10) : u16(info + 14);
    b->top_down = !core && b->height >> 31;
    if (b->top_down) b->height = 0u - b->height;
    MQ_REQUIRE(compression == PLAIN || ((compression == BITFIELDS || compression == ALPHAFIELDS) &&
                                        (b->bits == 16 || b->bits == 32)),
               err, MQ_BAD_DATA, "%s: a BMP compressed by method %u; convert it to PNG", in->name,
               compression);
    MQ_REQUIRE(b->bits == 1 || b->bits == 4 || b->bits == 8 || b->bits == 16 || b->bits == 24 ||
                   b->bits == 32,
               err, MQ_BAD_DATA, "%s: a BMP of %u bits a pixel; convert it to PNG", in->name, b->bits);
    MQ_TRY(mq_check_size(err, in, b->width, b->height));
    find_masks(info, header, compression, room, b);
    const size_t behind = header + (header == INFO && compression != PLAIN
                                        ? (compression == ALPHAFIELDS ? 16 : 12)
                                        : 0);
    b->entry = core ? 3 : 4;
    b->colours = b->bits > 8 ? 0 : (size_t)1 << b->bits;
    const uint32_t used = core ? 0 : u32(info + 32);
    if (b->bits <= 8 && used && used < b->colours) b->colours = used;
    MQ_REQUIRE(behind + b->colours * b->entry <= room, err, MQ_BAD_DATA, "%s: a BMP that is cut short",
               in->name);
    b->colour = info + behind;
    b->pixels = u32(in->bytes + 10);
    b->row = ((size_t)b->width * b->bits + 31) / 32 * 4;
    MQ_REQUIRE(b->pixels <= in->size && b->row * b->height <= in->size - b->pixels, err, MQ_BAD_DATA,
               "%s: a BMP that is cut short", in->name);
cleanup:
    return status;
}

/* The bits under mask as a number from 0 to 255; absent: full. */
static uint8_t channel(uint32_t pixel, uint32_t mask) {
    if (!mask) return 255;
    const int shift = __builtin_ctz(mask);
    const uint64_t most = mask >> shift, value = (pixel & mask) >> shift;
    return (uint8_t)((value * 255 + most / 2) / most);
}

static void read_row(const bitmap *b, const uint8_t *in, size_t channels, uint8_t *out) {
    for (size_t x = 0; x < b->width; x++, out += channels) {
        if (b->bits <= 8) {
            const size_t bit = x * b->bits;
            const size_t index = in[bit / 8] >> (8 - b->bits - bit % 8) & ((1u << b->bits) - 1);
            static const uint8_t black[3];
            const uint8_t *c = index < b->colours ? b->colour + index * b->entry : black;
            out[0] = c[2], out[1] = c[1], out[2] = c[0];
        } else if (b->bits == 24) {
            out[0] = in[3 * x + 2], out[1] = in[3 * x + 1], out[2] = in[3 * x];
        } else {
            const uint32_t pixel = b->bits == 16 ? u16(in + 2 * x) : u32(in + 4 * x);
            for (size_t c = 0; c < channels; c++) out[c] = channel(pixel, b->masks[c]);
        }
    }
}

static mq_status read_bmp(mq_err *err, const mq_source *in, mq_foreign_head *head, uint8_t **pixels) {
    mq_status status = MQ_OK;
    bitmap b = {0};
    MQ_TRY(read_header(err, in, &b));
    *head = (mq_foreign_head){MQ_BMP, b.width, b.height, b.masks[3] && b.bits >= 16 ? 4 : 3, 0};
    if (!pixels) goto cleanup;
    MQ_TRY(mq_take_memory(err, in, head, pixels));
    for (size_t y = 0; y < b.height; y++) {
        const size_t row = b.top_down ? y : b.height - 1 - y;
        read_row(&b, in->bytes + b.pixels + row * b.row, head->channels,
                 *pixels + y * b.width * head->channels);
    }
cleanup:
    return status;
}

const mq_reader mq_reader_bmp = {knows, read_bmp};
