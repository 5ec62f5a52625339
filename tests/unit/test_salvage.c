/* test_salvage.c: pictures that end too early, cut behind every byte: what is left of them, and what is
 * refused. */
#include "unit/pixels.h"

static const char *const SAMPLES[] = {"rgb-420.jpg",
                                      "rgb-444.jpg",
                                      "rgb-restarts.jpg",
                                      "rgb-progressive.jpg",
                                      "cmyk.jpg",
                                      "exif-8.jpg",
                                      "grey-8.png",
                                      "rgb-8.png",
                                      "palette-clear.png",
                                      "rgb-interlaced.png",
                                      "rgba-interlaced.png",
                                      "grey-4-clear.png",
                                      "grey-1-interlaced.png",
                                      "rgb.webp",
                                      "rgb-lossless.webp",
                                      "rgba.webp",
                                      "rgba-lossless.webp",
                                      "exif-6.webp",
                                      "animated.webp"};
enum { COUNT = sizeof SAMPLES / sizeof *SAMPLES };

/* Exactly so long, so that a sanitizer sees reads behind it. */
static mq_status salvage_copy(const uint8_t *bytes, size_t size, mq_picture_info *info, mq_pixels *pixels,
                              mq_err *err) {
    uint8_t *copy = malloc(size ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    *err = (mq_err){0};
    const mq_status status = mq_picture_salvage(err, &(mq_encoded){"a picture", copy, size}, BACKGROUND, info,
                                                pixels);
    assert_int_equal(status, err->code);
    free(copy);
    return status;
}

/* Rows from the top that are those of the whole picture. */
static size_t same_rows(const mq_pixels *a, const mq_pixels *b) {
    const size_t row = (size_t)a->width * 3;
    size_t y = 0;
    while (y < a->height && memcmp(a->rgb + y * row, b->rgb + y * row, row) == 0) y++;
    return y;
}

static bool is_plain(const mq_pixels *p) {
    for (size_t i = 3; i < (size_t)p->width * p->height * 3; i++)
        if (p->rgb[i] != p->rgb[i - 3]) return false;
    return true;
}

/* Of each picture a beginning is refused; from some byte on every longer one is taken, with never fewer rows
 * than a shorter one had; and of the last one, which lacks a byte, all pixels. */
static void test_every_prefix(void **state) {
    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        const char *name = SAMPLES[i];
        mq_buf file = golden(name);
        mq_pixels whole = golden_pixels(name), part = {0};
        mq_picture_info info, header;
        mq_err err = {0};
        size_t first = 0, rows = 0;
        assert_ok(err, mq_picture_probe(&err, name, file.data, file.size, &header));
        for (size_t size = 0; size < file.size; size++) {
            const mq_status status = salvage_copy(file.data, size, &info, &part, &err);
            if (status == MQ_BAD_DATA && !first) continue;
            if (status != MQ_OK) fail_msg("%s: %zu of %zu bytes: %s", name, size, file.size, err.text);
            assert_int_equal(part.width, whole.width);
            assert_int_equal(part.height, whole.height);
            assert_int_equal(info.width, header.width);
            assert_int_equal(info.height, header.height);
            assert_string_equal(info.colour, header.colour);
            const size_t now = same_rows(&part, &whole);
            const bool by_rows = !strstr(name, "interlaced") && !strstr(name, "progressive");
            if (!first && (by_rows ? now == 0 : is_plain(&part)))
                fail_msg("%s: no row of the picture in %zu bytes", name, size);
            if (!first) first = size;
            if (now < rows) fail_msg("%s: %zu rows of %zu bytes, %zu of fewer", name, now, size, rows);
            rows = now;
            mq_pixels_free(&part);
        }
        if (!first || first > file.size * 9 / 10)
            fail_msg("%s: taken from byte %zu of %zu on", name, first, file.size);
        /* libwebp gives lossless rows 16 by 16 */
        assert_true(rows >= (strstr(name, "lossless") ? whole.height / 16 * 16 : whole.height));
        assert_int_equal(salvage_copy(file.data, file.size, &info, &part, &err), MQ_BAD_DATA);
        assert_null(part.rgb);
        assert_non_null(strstr(err.text, "is whole"));
        mq_pixels_free(&whole);
        mq_buf_free(&file);
    }
}

/* What is damaged, too, is refused, and so is what has another end than its own: none of it is made up. */
static void test_other_damage(void **state) {
    (void)state;
    mq_picture_info info;
    mq_pixels part = {0};
    mq_err err;
    mq_buf jpeg = golden("rgb-420.jpg"), png = golden("rgb-8.png"), webp = golden("rgb.webp");
    assert_int_equal(salvage_copy(jpeg.data, 1300, &info, &part, &err), MQ_OK);
    mq_pixels_free(&part);
    memcpy(jpeg.data + 1000, "\xff\x01", 2); /* no such marker */
    assert_int_equal(salvage_copy(jpeg.data, 1300, &info, &part, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "damaged or unusual JPEG"));
    memcpy(jpeg.data + 1000, "\xff\xd9", 2); /* an end before the end: no byte is missing behind it */
    assert_int_equal(salvage_copy(jpeg.data, 1300, &info, &part, &err), MQ_BAD_DATA);

    uint8_t *deflated = memmem(png.data, png.size, "IDAT", 4);
    assert_non_null(deflated);
    memset(deflated + 2000, 0xff, 16); /* behind some rows */
    assert_int_equal(salvage_copy(png.data, 4000, &info, &part, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "damaged PNG (IDAT: "));

    memcpy(webp.data + 20, "\xff\xff\xff", 3); /* the frame's tag */
    assert_int_equal(salvage_copy(webp.data, 800, &info, &part, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "damaged WebP"));
    mq_buf_free(&jpeg);
    mq_buf_free(&png);
    mq_buf_free(&webp);
}

/* Formats whose readers are processes of their own are taken whole or not at all. */
static void test_others(void **state) {
    (void)state;
    mq_picture_info info;
    mq_pixels part = {0};
    mq_err err;
    static const char *const OTHERS[] = {"", "GIF89a\1\0\1\0", "hello, I am no picture"};
    for (size_t i = 0; i < sizeof OTHERS / sizeof *OTHERS; i++)
        assert_int_equal(salvage_copy((const uint8_t *)OTHERS[i], strlen(OTHERS[i]), &info, &part, &err),
                         MQ_BAD_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_prefix),
        cmocka_unit_test(test_other_damage),
        cmocka_unit_test(test_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
