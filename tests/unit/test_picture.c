/* test_picture.c: decoding against Pillow's digests, damage of every kind, EXIF and turning. */
#include "unit/children.h"
#include "unit/listing.h"
#include "unit/pixels.h"

#include "data/exif.h"

#include <sys/resource.h>
#include <unistd.h>

/* A row of decoded.csv: what the header says of a picture and what Pillow makes of it. */
static void check_decoded(char *row) {
    char name[64], format[16], colour[16], hex[MQ_HEX_SIZE];
    unsigned width, height;
    int orientation, animated;
    assert_int_equal(sscanf(row, "%63[^,],%15[^,],%15[^,],%u,%u,%d,%d,%64s", name, format, colour, &width,
                            &height, &orientation, &animated, hex),
                     8);
    mq_err err = {0};
    mq_picture_info info;
    mq_buf file = golden(name);
    assert_ok(err, mq_picture_probe(&err, name, file.data, file.size, &info));
    assert_string_equal(info.format, format);
    assert_string_equal(info.colour, colour);
    assert_int_equal(info.width, width);
    assert_int_equal(info.height, height);
    if (info.orientation != orientation) fail_msg("%s: orientation %d", name, info.orientation);
    if (info.animated != (animated != 0)) fail_msg("%s: animated %d", name, info.animated);
    mq_pixels pixels = golden_pixels(name);
    assert_picture(name, &pixels, width, height, hex);
    mq_pixels_free(&pixels);
    mq_buf_free(&file);
}

/* Every kind of picture. */
static void test_decoded(void **state) {
    (void)state;
    assert_true(each_row(GOLDEN "decoded.csv", check_decoded) >= 50);
}

static void check_turned(char *row) {
    char name[64], hex[MQ_HEX_SIZE];
    unsigned width, height;
    assert_int_equal(sscanf(row, "%63[^,],%u,%u,%64s", name, &width, &height, hex), 4);
    mq_err err = {0};
    mq_picture_info info;
    mq_buf file = golden(name);
    assert_ok(err, mq_picture_probe(&err, name, file.data, file.size, &info));
    mq_pixels pixels = golden_pixels(name);
    assert_ok(err, mq_pixels_orient(&err, &pixels, info.orientation));
    assert_picture(name, &pixels, width, height, hex);
    mq_pixels_free(&pixels);
    mq_buf_free(&file);
}

static void test_turned(void **state) {
    (void)state;
    assert_true(each_row(GOLDEN "turned.csv", check_turned) >= 13);
}

/* What a box shows is the same whether picture and box are turned, or the cut picture. */
static void test_box_turns_with_picture(void **state) {
    (void)state;
    mq_pixels stored = noise(9, 5, 1);
    const mq_box box = {2, 1, 8, 3};
    for (int orientation = 0; orientation <= 9; orientation++) {
        mq_err err = {0};
        mq_pixels turned = copied(mq_view_of(&stored)), cut = {0};
        assert_ok(err, mq_pixels_orient(&err, &turned, orientation));
        const mq_box there = mq_box_orient(box, 9, 5, orientation);
        mq_pixels shown = copied(mq_view_cut(mq_view_of(&turned), there));
        assert_ok(err, mq_view_orient(&err, mq_view_cut(mq_view_of(&stored), box), orientation, &cut));
        assert_same_pixels(&shown, &cut);
        mq_pixels_free(&turned);
        mq_pixels_free(&shown);
        mq_pixels_free(&cut);
    }
    mq_pixels_free(&stored);
    /* By hand: orientation 6 is turned clockwise, so the left edge of the stored picture becomes the top. */
    const mq_box six = mq_box_orient(box, 9, 5, 6);
    assert_int_equal(six.x1, 2);
    assert_int_equal(six.y1, 2);
    assert_int_equal(six.x2, 4);
    assert_int_equal(six.y2, 8);
}

static mq_status decode_copy(const uint8_t *bytes, size_t size, mq_err *err) {
    uint8_t *copy = malloc(size ? size : 1); /* exactly so long, so that a sanitizer sees reads behind it */
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    mq_pixels pixels = {0};
    mq_picture_info info;
    mq_err ignored = {0};
    (void)!mq_picture_probe(&ignored, "a picture", copy, size, &info);
    *err = (mq_err){0};
    const mq_status status = mq_picture_decode(err, "a picture", copy, size, BACKGROUND, &pixels);
    if (status != MQ_OK) assert_null(pixels.rgb);
    mq_pixels_free(&pixels);
    free(copy);
    return status;
}

static const char *const SAMPLES[] = {
    "rgb-420.jpg",        "rgb-progressive.jpg", "cmyk.jpg",          "grey-8.png",
    "rgb-interlaced.png", "rgba-interlaced.png", "palette-clear.png", "rgb.webp",
    "rgba.webp",          "rgba-lossless.webp",  "animated.webp",     "exif-8.jpg"};

static void test_every_prefix_fails(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof SAMPLES / sizeof *SAMPLES; i++) {
        mq_buf file = golden(SAMPLES[i]);
        for (size_t size = 0; size < file.size; size++) {
            mq_err err;
            if (decode_copy(file.data, size, &err) != MQ_BAD_DATA)
                fail_msg("%s: the first %zu of %zu bytes were taken", SAMPLES[i], size, file.size);
        }
        mq_err err;
        assert_int_equal(decode_copy(file.data, file.size, &err), MQ_OK);
        mq_buf_free(&file);
    }
}

/* One wrong byte anywhere: refused or decoded, never a crash, and never another kind of failure. */
static void test_wrong_bytes(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof SAMPLES / sizeof *SAMPLES; i++) {
        mq_buf file = golden(SAMPLES[i]);
        size_t refused = 0;
        for (size_t at = 0; at < file.size; at += 3) {
            mq_err err;
            const uint8_t right = file.data[at];
            file.data[at] = (uint8_t)(right ^ (at % 2 ? 0xff : 0x10));
            const mq_status status = decode_copy(file.data, file.size, &err);
            if (status != MQ_OK && status != MQ_BAD_DATA)
                fail_msg("%s, byte %zu: %s", SAMPLES[i], at, err.text);
            refused += status != MQ_OK;
            file.data[at] = right;
        }
        assert_true(refused > 0);
        mq_buf_free(&file);
    }
}

/* Read in a process of its own, or not at all. */
#ifdef MARQUE_FOREIGN_PICTURES
#define FOREIGN(format) "damaged " format
#define FOREIGN_UNUSUAL(format) "damaged or unusual " format
#else
#define FOREIGN(format) format " is not supported by this build; convert it to"
#define FOREIGN_UNUSUAL(format) FOREIGN(format)
#endif

static int link_decoder(void **state) {
    (void)state;
    return link_child("marque-pictures");
}

/* What a picture's decoder lacks is not the picture's fault, and no limit ends the process. */
static void test_without_decoder(void **state) {
    (void)state;
#ifdef MARQUE_FOREIGN_PICTURES
    const uint8_t tiff[] = "II*\0\10\0\0\0";
    struct rlimit before, files = {0};
    char path[CHILD_PATH];
    mq_err missing = {0}, limited = {0}, crowded = {0};
    child_path("marque-pictures", path);
    unlink(path);
    assert_int_equal(decode_copy(tiff, 8, &missing), MQ_UNAVAILABLE);
    assert_non_null(strstr(missing.text, "marque-pictures is missing"));
    assert_int_equal(link_decoder(state), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    files = (struct rlimit){4, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &files), 0);
    const mq_status few_bytes = decode_copy(tiff, 8, &limited);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(few_bytes, MQ_NO_MEMORY);
    assert_non_null(strstr(limited.text, "File too large"));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    files = (struct rlimit){4, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    const mq_status few_files = decode_copy(tiff, 8, &crowded);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(few_files, MQ_NO_MEMORY);
    assert_non_null(strstr(crowded.text, "Too many open files"));
#else
    skip();
#endif
}

static void test_foreign(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *says;
    } CASES[] = {
        {"", 0, "is empty"},
        {"<!DOCTYPE html><html>", 21, "looks like HTML"},
        {"\xef\xbb\xbf\n  <HTML lang=en>", 20, "looks like HTML"},
        {"hello, I am no picture\n", 23, "looks like text"},
        {"<svg xmlns=''/>", 15, "SVG is not supported"},
        {"GIF89a\1\0\1\0", 10, FOREIGN("GIF")},
        {"II*\0\10\0\0\0", 8, FOREIGN_UNUSUAL("TIFF")},
        {"MM\0*\0\0\0\10", 8, FOREIGN_UNUSUAL("TIFF")},
        {"BM\1\2\3\4\0\0", 8, "not supported"},
        {"\0\0\0\30ftypheic\0\0\0\0", 16, FOREIGN_UNUSUAL("HEIC")},
        {"\0\0\0\30ftypavif\0\0\0\0", 16, FOREIGN_UNUSUAL("AVIF")},
        {"%PDF-1.4", 8, "looks like a PDF"},
        {"\0\1\2\3\4\5\6\7", 8, "no picture of a known kind"},
        {"\xff\xd8", 2, "no picture of a known kind"},
        {"MM, said the cook", 17, "looks like text"},
        {"BM, said the cook, and went on", 30, "looks like text"},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        mq_err err;
        assert_int_equal(decode_copy((const uint8_t *)CASES[i].bytes, CASES[i].size, &err), MQ_BAD_DATA);
        if (!strstr(err.text, CASES[i].says)) fail_msg("%s, wanted: %s", err.text, CASES[i].says);
        assert_ptr_equal(strstr(err.text, "a picture: "), err.text);
    }
}

/* A header that promises too much is refused by its numbers before memory is taken. */
static void test_huge(void **state) {
    (void)state;
    mq_err err;
    mq_buf jpeg = golden("rgb-420.jpg");
    uint8_t *sof = memmem(jpeg.data, jpeg.size, "\xff\xc0\x00\x11\x08", 5);
    assert_non_null(sof);
    memcpy(sof + 5, "\xff\xdc\xff\xdc", 4);
    assert_int_equal(decode_copy(jpeg.data, jpeg.size, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "65500 x 65500"));
    memcpy(sof + 5, "\x00\x00\x00\x10", 4);
    assert_int_equal(decode_copy(jpeg.data, jpeg.size, &err), MQ_BAD_DATA);
    mq_buf_free(&jpeg);

    /* 30000 x 30000, 8-bit RGB, with the right checksum, then the beginning of pixels. */
    static const uint8_t PNG[] =
        "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x75\x30\0\0\x75\x30\x08\x02\0\0\0\xe9\x45\x6f\xed"
        "\0\0\0\1IDATx\0\0\0\0";
    assert_int_equal(decode_copy(PNG, sizeof PNG - 1, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "30000 x 30000"));

    /* Lossless WebP of 16384 x 16384: signature byte, 14 bits of width - 1, 14 bits of height - 1. */
    static const uint8_t WEBP[] =
        "RIFF\x20\0\0\0WEBPVP8L\x14\0\0\0\x2f\xff\xff\xff\x0f\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    assert_int_equal(decode_copy(WEBP, 40, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "16384 x 16384"));
}

/* An 8 x 8 grey progressive JPEG with as many empty scans as wanted. */
static mq_buf scans(size_t count) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    uint8_t table[64];
    memset(table, 1, sizeof table);
    assert_ok(err, mq_buf_add(&err, &file, "\xff\xd8\xff\xdb\0\x43\0", 7));
    assert_ok(err, mq_buf_add(&err, &file, table, sizeof table));
    assert_ok(err, mq_buf_add(&err, &file, "\xff\xc2\0\x0b\x08\0\x08\0\x08\1\1\x11\0", 13));
    assert_ok(err, mq_buf_add(&err, &file, "\xff\xc4\0\x14\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 22));
    for (size_t i = 0; i < count; i++)
        assert_ok(err, mq_buf_add(&err, &file, "\xff\xda\0\x08\1\1\0\0\0\0\x7f", 11));
    assert_ok(err, mq_buf_add(&err, &file, "\xff\xd9", 2));
    return file;
}

static void test_scan_bomb(void **state) {
    (void)state;
    mq_err err;
    mq_buf few = scans(400), many = scans(600);
    assert_ok(err, decode_copy(few.data, few.size, &err));
    assert_int_equal(decode_copy(many.data, many.size, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "more than 500 scans"));
    mq_buf_free(&few);
    mq_buf_free(&many);
}

/* JPEG of 12 bits a channel, arithmetic coding, lossless, hierarchical: refused in words, or decoded where
 * the library knows it; in no case made up from what is another code. */
static void test_unusual_jpeg(void **state) {
    (void)state;
    mq_err err;
    mq_buf jpeg = golden("rgb-420.jpg");
    uint8_t *sof = memmem(jpeg.data, jpeg.size, "\xff\xc0\x00\x11\x08", 5);
    assert_non_null(sof);
    sof[4] = 12;
    assert_int_equal(decode_copy(jpeg.data, jpeg.size, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "12"));
    sof[4] = 8;
    static const uint8_t kinds[] = {0xc3, 0xc5, 0xc6, 0xc7, 0xc9, 0xca, 0xcb, 0xcd, 0xce, 0xcf};
    for (size_t i = 0; i < sizeof kinds; i++) {
        sof[1] = kinds[i];
        const mq_status status = decode_copy(jpeg.data, jpeg.size, &err);
        /* any bytes are arithmetic code of something */
        if (status == MQ_OK && (kinds[i] == 0xc9 || kinds[i] == 0xca)) continue;
        assert_int_equal(status, MQ_BAD_DATA);
        assert_non_null(strstr(err.text, "damaged or unusual JPEG"));
    }
    mq_buf_free(&jpeg);
}

static void test_exif(void **state) {
    (void)state;
    uint8_t good[] = "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0";
    const size_t size = sizeof good - 1;
    assert_int_equal(mq_exif_orientation(good, size), 6);
    for (size_t cut = 0; cut < 22; cut++) {
        uint8_t *copy = malloc(cut + 1);
        assert_non_null(copy);
        memcpy(copy, good, cut);
        assert_int_equal(mq_exif_orientation(copy, cut), 1);
        free(copy);
    }
    static const struct {
        size_t at;
        uint8_t byte;
        int wanted;
    } CASES[] = {{18, 0, 1},  {18, 9, 1},   {19, 1, 1},  {14, 2, 1},  {12, 2, 1}, {12, 4, 6},
                 {4, 200, 1}, {7, 0xff, 1}, {8, 255, 6}, {0, 'M', 1}, {18, 8, 8}, {10, 0x11, 1}};
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const uint8_t right = good[CASES[i].at];
        good[CASES[i].at] = CASES[i].byte;
        assert_int_equal(mq_exif_orientation(good, size), CASES[i].wanted);
        good[CASES[i].at] = right;
    }
}

/* EXIF whose checksum is wrong is not believed, as libpng believes no such chunk; the pixels are still good.
 */
static void test_png_exif_checksum(void **state) {
    (void)state;
    mq_err err = {0};
    mq_picture_info info;
    mq_buf file = golden("exif-5.png");
    uint8_t *chunk = memmem(file.data, file.size, "eXIf", 4);
    assert_non_null(chunk);
    assert_ok(err, mq_picture_probe(&err, "a picture", file.data, file.size, &info));
    assert_int_equal(info.orientation, 5);
    chunk[4 + 49] ^= 1; /* the last of the block's 8 + 2 + 3 x 12 + 4 bytes */
    assert_ok(err, mq_picture_probe(&err, "a picture", file.data, file.size, &info));
    assert_int_equal(info.orientation, 1);
    assert_ok(err, decode_copy(file.data, file.size, &err));
    mq_buf_free(&file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decoded),
        cmocka_unit_test(test_turned),
        cmocka_unit_test(test_box_turns_with_picture),
        cmocka_unit_test(test_every_prefix_fails),
        cmocka_unit_test(test_wrong_bytes),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_without_decoder),
        cmocka_unit_test(test_huge),
        cmocka_unit_test(test_scan_bomb),
        cmocka_unit_test(test_unusual_jpeg),
        cmocka_unit_test(test_exif),
        cmocka_unit_test(test_png_exif_checksum),
    };
    return cmocka_run_group_tests(tests, link_decoder, NULL);
}
