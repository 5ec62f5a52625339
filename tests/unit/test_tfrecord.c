/* test_tfrecord.c: the frame, its checksums and tf.train.Example, against
 * TensorFlow's own file (tests/golden/make_tfrecord.py) and damaged ones. */
#include "unit/unit.h"

#include "base/crc32c.h"
#include "base/file.h"
#include "data/bytes.h"
#include "data/example.h"
#include "data/tfrecord.h"
#include "unit/temporary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/tfrecord/tensorflow.tfrecord"

static void test_crc(void **state) {
    (void)state;
    uint8_t bytes[300] = {0};
    assert_int_equal(mq_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(mq_crc32c(bytes, 32), 0x8A9136AA);
    assert_int_equal(mq_crc32c("", 0), 0);
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
    for (size_t size = 0; size <= 40; size++)
        for (size_t at = 0; at < 9; at++)
            assert_int_equal(mq_crc32c(bytes + at, size), mq_crc32c_portable(bytes + at, size));
}

static mq_buf framed(const char *text) {
    mq_err err = {0};
    mq_buf buf = mq_buf_init(1 << 20);
    assert_ok(err, mq_buf_add(&err, &buf, (uint8_t[MQ_TFRECORD_HEADER]){0}, MQ_TFRECORD_HEADER));
    assert_ok(err, mq_buf_add_text(&err, &buf, text));
    assert_ok(err, mq_tfrecord_seal(&err, &buf));
    return buf;
}

/* Known values: length 9 and the text 123456789. */
static void test_frame(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf buf = framed("123456789");
    assert_int_equal(buf.size, 25);
    assert_int_equal(mq_read_u64(buf.data), 9);
    assert_int_equal(mq_read_u32(buf.data + 8), 0x3971F937);
    assert_int_equal(mq_read_u32(buf.data + 21), 0xC78AB0E5);
    assert_ok(err, mq_tfrecord_check(&err, "x", 0, 0, buf.data, buf.size));
    for (size_t i = 0; i < buf.size; i++) {
        err = (mq_err){0};
        buf.data[i] ^= 1;
        assert_int_equal(mq_tfrecord_check(&err, "shard", 3, 77, buf.data, buf.size), MQ_BAD_DATA);
        assert_non_null(strstr(err.text, "shard: "));
        assert_non_null(strstr(err.text, "record 3 at byte 77"));
        buf.data[i] ^= 1;
    }
    mq_buf_free(&buf);
}

static void save(const char *path, const void *data, size_t size) {
    mq_err err = {0};
    assert_ok(err, mq_file_write(&err, path, data, size));
}

/* Three records; each cut of the file gives the whole records before it and then an error. */
static void test_reader(void **state) {
    (void)state;
    mq_err err = {0};
    char folder[PLACE], path[PLACE + 8];
    assert_true(temporary_folder(folder));
    snprintf(path, sizeof path, "%s/a", folder);
    mq_buf all = mq_buf_init(1000);
    size_t ends[4] = {0};
    for (size_t i = 0; i < 3; i++) {
        mq_buf one = framed((const char *const[]){"first", "", "and third"}[i]);
        assert_ok(err, mq_buf_add(&err, &all, one.data, one.size));
        ends[i + 1] = all.size;
        mq_buf_free(&one);
    }
    for (size_t size = 0; size <= all.size; size++) {
        mq_tfrecord *reader = NULL;
        const uint8_t *data = NULL;
        size_t n = 0, records = 0, whole = 0;
        save(path, all.data, size);
        while (whole < 3 && ends[whole + 1] <= size) whole++;
        err = (mq_err){0};
        assert_ok(err, mq_tfrecord_open(&err, path, &reader));
        mq_status status;
        while ((status = mq_tfrecord_next(&err, reader, &data, &n)) == MQ_OK && data) {
            assert_int_equal(n, ((const size_t[]){5, 0, 9})[records]);
            records++;
        }
        assert_int_equal(records, whole);
        assert_int_equal(status, ends[whole] == size ? MQ_OK : MQ_BAD_DATA);
        mq_tfrecord_free(&reader);
    }
    /* A length beyond all sense, with a right checksum. */
    mq_tfrecord *reader = NULL;
    const uint8_t *data;
    size_t n;
    uint8_t huge[32] = {0};
    mq_write_u64(huge, UINT64_MAX - 3);
    const uint32_t crc = mq_crc32c(huge, 8);
    mq_write_u32(huge + 8, (crc >> 15 | crc << 17) + 0xa282ead8u);
    save(path, huge, sizeof huge);
    err = (mq_err){0};
    assert_ok(err, mq_tfrecord_open(&err, path, &reader));
    assert_int_equal(mq_tfrecord_next(&err, reader, &data, &n), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "18446744073709551612 bytes"));
    mq_tfrecord_free(&reader);
    mq_buf_free(&all);
    err = (mq_err){0};
    assert_ok(err, mq_remove_folder(&err, folder));
}

static void assert_bytes(mq_bytes bytes, const char *wanted) {
    assert_int_equal(bytes.size, strlen(wanted));
    assert_memory_equal(bytes.data, wanted, bytes.size);
}

static void check_tensorflow(const mq_example *e) {
    assert_int_equal(e->width, 640);
    assert_int_equal(e->height, 480);
    assert_int_equal(e->channels, 3);
    assert_int_equal(e->label, 196);
    assert_bytes(e->text, "Ram C/V");
    assert_bytes(e->format, "jpeg");
    assert_bytes(e->colorspace, "RGB");
    assert_bytes(e->filename, "a\xff"
                              "b.jpg");
    assert_bytes(e->encoded, "\xff\xd8 not really");
    assert_true(e->has_box);
    assert_true(e->box[0] == 0.125f && e->box[1] == 0.25f && e->box[2] == 0.75f && e->box[3] == 1.0f);
}

/* Packed, unpacked, in any order, with more than we know, and with less. */
static void test_tensorflow(void **state) {
    (void)state;
    mq_err err = {0};
    mq_tfrecord *reader = NULL;
    const uint8_t *data = NULL;
    size_t size = 0;
    mq_example e;
    assert_ok(err, mq_tfrecord_open(&err, GOLDEN, &reader));
    for (int i = 0; i < 2; i++) {
        assert_ok(err, mq_tfrecord_next(&err, reader, &data, &size));
        assert_ok(err, mq_example_decode(&err, "x", data, size, &e));
        check_tensorflow(&e);
    }
    assert_ok(err, mq_tfrecord_next(&err, reader, &data, &size));
    assert_ok(err, mq_example_decode(&err, "x", data, size, &e));
    assert_int_equal(e.label, 7);
    assert_true(!e.has_box && e.encoded.size == 0 && e.width == 0);
    assert_ok(err, mq_tfrecord_next(&err, reader, &data, &size));
    assert_null(data);
    mq_tfrecord_free(&reader);
}

static void test_example(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf buf = mq_buf_init(1 << 20);
    uint8_t picture[1000];
    for (size_t i = 0; i < sizeof picture; i++) picture[i] = (uint8_t)(i * 7);
    const mq_example e = {.width = 65500,
                          .height = 1,
                          .channels = 4,
                          .label = 100000,
                          .text = {(const uint8_t *)"a\"\n\xff", 4},
                          .filename = {(const uint8_t *)"-x", 2},
                          .format = {(const uint8_t *)"png", 3},
                          .colorspace = {(const uint8_t *)"RGBA", 4},
                          .encoded = {picture, sizeof picture},
                          .has_box = true,
                          .box = {0.1f, 0.2f, 0.3f, 1}};
    mq_example back;
    assert_ok(err, mq_example_encode(&err, &e, &buf));
    assert_ok(err, mq_example_decode(&err, "x", buf.data, buf.size, &back));
    assert_true(back.width == 65500 && back.height == 1 && back.channels == 4 && back.label == 100000);
    assert_int_equal(back.encoded.size, sizeof picture);
    assert_memory_equal(back.encoded.data, picture, sizeof picture);
    assert_bytes(back.text, "a\"\n\xff");
    assert_bytes(back.filename, "-x");
    assert_true(back.has_box && memcmp(back.box, e.box, sizeof e.box) == 0);
    /* Cut anywhere it is no Example, or nothing at all; each byte changed is refused or read. */
    for (size_t size = 1; size < buf.size; size++) {
        err = (mq_err){0};
        assert_int_equal(mq_example_decode(&err, "x", buf.data, size, &back), MQ_BAD_DATA);
    }
    for (size_t i = 0; i < buf.size; i++) {
        const uint8_t byte = buf.data[i];
        for (int k = 0; k < 3; k++) {
            buf.data[i] = (uint8_t[]){0xFF, 0x00, (uint8_t)(byte ^ 0x81)}[k];
            err = (mq_err){0};
            if (mq_example_decode(&err, "x", buf.data, buf.size, &back) == MQ_OK)
                assert_true(back.encoded.size <= buf.size);
        }
        buf.data[i] = byte;
    }
    mq_buf_free(&buf);
}

/* A known feature with another kind of list, and a group, which protocol buffers no longer have. */
static void test_wrong_example(void **state) {
    (void)state;
    mq_err err = {0};
    mq_example e;
    static const uint8_t label_as_bytes[] =
        "\x0a\x1c\x0a\x1a\x0a\x11image/class/label\x12\x05\x0a\x03\x0a\x01\x31";
    assert_int_equal(mq_example_decode(&err, "x", label_as_bytes, sizeof label_as_bytes - 1, &e),
                     MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "image/class/label holds another kind"));
    err = (mq_err){0};
    assert_int_equal(mq_example_decode(&err, "x", (const uint8_t *)"\x0b\x0c", 2, &e), MQ_BAD_DATA);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crc),     cmocka_unit_test(test_frame),
        cmocka_unit_test(test_reader),  cmocka_unit_test(test_tensorflow),
        cmocka_unit_test(test_example), cmocka_unit_test(test_wrong_example),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
