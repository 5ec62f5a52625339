/* fuzz_picture.c: JPEG, PNG and WebP, from the header to turned pixels. */
#include "fuzz/fuzz.h"

#include "data/picture.h"

enum { PIXELS = 1 << 20 /* more is only slow */ };

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
