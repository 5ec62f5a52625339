/* fuzz_picture.c: JPEG, PNG and WebP, from the header to turned pixels; JPEG at fractions of its size, too;
 * and what is left of those that are cut short. */
#include "fuzz/fuzz.h"

#include "data/picture.h"

#include <string.h>

enum { PIXELS = 1 << 20 /* more is only slow */ };

/* At eighths of its size a picture has as many pixels as its header promises, all there to be read. */
static void decode_smaller(const mq_encoded *in, const mq_picture_info *info, uint32_t eighths) {
    static const uint8_t white[3] = {255, 255, 255};
    mq_err err = {0};
    mq_pixels pixels = {0};
    if (!fuzz_judge(mq_picture_decode_smaller(&err, in, white, eighths, &pixels), &err)) return;
    fuzz_require(pixels.width == (info->width * eighths + 7) / 8 &&
                     pixels.height == (info->height * eighths + 7) / 8,
                 "another size than asked for");
    uint32_t sum = 0;
    for (size_t i = 0; i < (size_t)pixels.width * pixels.height * 3; i++) sum += pixels.rgb[i];
    fuzz_require(sum <= UINT32_MAX, "");
    mq_pixels_free(&pixels);
}

/* Only what is cut is salvaged, and never what decodes as it is. */
static bool salvage(const uint8_t *data, size_t size) {
    static const uint8_t white[3] = {255, 255, 255};
    mq_err err = {0};
    mq_picture_info info = {0};
    mq_pixels pixels = {0};
    const mq_status status = mq_picture_salvage(&err, &(mq_encoded){"a", data, size}, white, &info, &pixels);
    if (!fuzz_judge(status, &err)) return false;
    fuzz_require(pixels.width == info.width && pixels.height == info.height,
                 "another size than the header's");
    uint32_t sum = 0;
    for (size_t i = 0; i < (size_t)pixels.width * pixels.height * 3; i++) sum += pixels.rgb[i];
    fuzz_require(sum <= UINT32_MAX, "");
    mq_pixels_free(&pixels);
    return true;
}

/* The size that a WebP's first chunk tells, also of one that is cut (RIFF container: VP8X, VP8L, VP8). */
static uint64_t webp_pixels(const uint8_t *b, size_t size) {
    if (size < 30 || memcmp(b, "RIFF", 4) != 0) return 0;
    const uint32_t low = b[24] | (uint32_t)b[25] << 8 | (uint32_t)b[26] << 16,
                   high = b[27] | (uint32_t)b[28] << 8;
    if (memcmp(b + 12, "VP8X", 4) == 0) return (uint64_t)(low + 1) * (high + ((uint32_t)b[29] << 16) + 1);
    const uint32_t lossless = b[21] | (uint32_t)b[22] << 8 | (uint32_t)b[23] << 16 | (uint32_t)b[24] << 24;
    if (memcmp(b + 12, "VP8L", 4) == 0)
        return (uint64_t)((lossless & 0x3fff) + 1) * ((lossless >> 14 & 0x3fff) + 1);
    return (uint64_t)((b[26] | (uint32_t)b[27] << 8) & 0x3fff) * ((b[28] | (uint32_t)b[29] << 8) & 0x3fff);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t white[3] = {255, 255, 255};
    mq_err err = {0};
    mq_picture_info info = {0};
    mq_pixels pixels = {0};
    const bool known = fuzz_judge(mq_picture_probe(&err, "a", data, size, &info), &err);
    const uint64_t count = known ? (uint64_t)info.width * info.height : webp_pixels(data, size);
    const bool salvaged = count && count <= PIXELS && salvage(data, size);
    if (!known) return 0;
    fuzz_require(info.width > 0 && info.height > 0 && info.orientation >= 1 && info.orientation <= 8,
                 "a header that makes no sense");
    fuzz_require(count <= MQ_PIXELS_MAX, "a picture too large");
    if (count > PIXELS) return 0;
    for (uint32_t eighths = 1; info.scales && eighths < 8; eighths *= 2)
        decode_smaller(&(mq_encoded){"a", data, size}, &info, eighths);
    if (!fuzz_judge(mq_picture_decode(&err, "a", data, size, white, &pixels), &err)) return 0;
    fuzz_require(!salvaged, "a whole picture salvaged");
    fuzz_require(pixels.width == info.width && pixels.height == info.height,
                 "another size than the header's");
    uint32_t sum = 0; /* every pixel is there to be read */
    for (size_t i = 0; i < (size_t)pixels.width * pixels.height * 3; i++) sum += pixels.rgb[i];
    fuzz_require(sum <= UINT32_MAX, "");
    fuzz_judge(mq_pixels_orient(&err, &pixels, info.orientation), &err);
    mq_pixels_free(&pixels);
    return 0;
}
