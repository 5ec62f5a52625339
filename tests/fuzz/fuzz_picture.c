/* fuzz_picture.c: JPEG, PNG and WebP, from the header to turned pixels; JPEG at fractions of its size, too.
 */
#include "fuzz/fuzz.h"

#include "data/picture.h"

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t white[3] = {255, 255, 255};
    mq_err err = {0};
    mq_picture_info info = {0};
    mq_pixels pixels = {0};
    if (!fuzz_judge(mq_picture_probe(&err, "a", data, size, &info), &err)) return 0;
    fuzz_require(info.width > 0 && info.height > 0 && info.orientation >= 1 && info.orientation <= 8,
                 "a header that makes no sense");
    fuzz_require((uint64_t)info.width * info.height <= MQ_PIXELS_MAX, "a picture too large");
    if ((uint64_t)info.width * info.height > PIXELS) return 0;
    for (uint32_t eighths = 1; info.scales && eighths < 8; eighths *= 2)
        decode_smaller(&(mq_encoded){"a", data, size}, &info, eighths);
    if (!fuzz_judge(mq_picture_decode(&err, "a", data, size, white, &pixels), &err)) return 0;
    fuzz_require(pixels.width == info.width && pixels.height == info.height,
                 "another size than the header's");
    uint32_t sum = 0; /* every pixel is there to be read */
    for (size_t i = 0; i < (size_t)pixels.width * pixels.height * 3; i++) sum += pixels.rgb[i];
    fuzz_require(sum <= UINT32_MAX, "");
    fuzz_judge(mq_pixels_orient(&err, &pixels, info.orientation), &err);
    mq_pixels_free(&pixels);
    return 0;
}
