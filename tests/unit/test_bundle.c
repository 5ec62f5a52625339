/* test_bundle.c: .safetensors files, against files of the reference implementation
 * (tests/golden/make_bundle.py). */
#include "unit/listing.h"
#include "unit/temporary.h"

#include "base/digest.h"
#include "base/file.h"
#include "base/mem.h"
#include "net/bundle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/bundle/"

static const float zeta[6] = {0.5F, -1, 2, 3, -4, 5.25F}, alpha = 7;
static const int64_t count = -2;
static const int32_t labels[3] = {1, -1, 1 << 30};
static const uint16_t half[2] = {0x3f80, 0xc000};
static const uint8_t bytes[5] = {0, 1, 2, 254, 255};

/* The generator's tensors, in another order. */
static const mq_tensor tensors[] = {
    {"bytes", MQ_U8, 1, {5}, bytes, 5},    {"zeta", MQ_F32, 2, {2, 3}, zeta, 24},
    {"half", MQ_BF16, 1, {2}, half, 4},    {"\xc3\xa9\n\"\\\x01/", MQ_U8, 1, {1}, "x", 1},
    {"empty", MQ_F32, 2, {0, 4}, NULL, 0}, {"labels", MQ_I32, 1, {3}, labels, 12},
    {"count", MQ_I64, 1, {1}, &count, 8},  {"alpha", MQ_F32, 0, {0}, &alpha, 4},
};
enum { TENSORS = sizeof tensors / sizeof *tensors };
static const mq_meta meta[] = {{"text", "Ram C/V\t\"quoted\" \xc3\xa9\x7f"}};

static mq_buf read_file(const char *path) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static void test_written_as_reference(void **state) {
    (void)state;
    mq_err err = {0};
    char path[PLACE];
    assert_true(temporary_file(path));
    assert_ok(err, mq_bundle_write(&err, path, tensors, TENSORS, meta, 1));
    mq_buf ours = read_file(path), theirs = read_file(GOLDEN "reference.safetensors");
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.data, theirs.data, theirs.size);
    mq_buf_free(&ours);
    mq_buf_free(&theirs);
    unlink(path);
}

static void test_reads_reference(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *b = NULL;
    char hex[MQ_HEX_SIZE];
    assert_ok(err, mq_bundle_open(&err, GOLDEN "reference.safetensors", &b));
    assert_int_equal(mq_bundle_count(b), TENSORS);
    assert_string_equal(mq_bundle_path(b), GOLDEN "reference.safetensors");
    assert_string_equal(mq_bundle_meta(b, "text"), meta[0].value);
    assert_null(mq_bundle_meta(b, "other"));
    assert_null(mq_bundle_find(b, "__metadata__"));
    assert_null(mq_bundle_find(b, "zet"));
    assert_string_equal(mq_bundle_at(b, 0)->name, "count");
    assert_string_equal(mq_bundle_at(b, 1)->name, "alpha");
    for (size_t i = 0; i < TENSORS; i++) {
        const mq_tensor *t = mq_bundle_find(b, tensors[i].name);
        assert_non_null(t);
        assert_int_equal(t->dtype, tensors[i].dtype);
        assert_int_equal(t->rank, tensors[i].rank);
        assert_memory_equal(t->shape, tensors[i].shape, t->rank * sizeof *t->shape);
        assert_int_equal(t->bytes, tensors[i].bytes);
        if (t->bytes) assert_memory_equal(t->data, tensors[i].data, t->bytes);
        assert_int_equal((uintptr_t)t->data % mq_dtype_size(t->dtype), 0);
    }
    assert_int_equal((uintptr_t)mq_bundle_at(b, 0)->data % 64, 0);
    assert_ok(err, mq_digest_file(&err, MQ_SHA256, GOLDEN "reference.safetensors", hex));
    assert_string_equal(mq_bundle_digest(b), hex);
    mq_bundle_free(&b);
    assert_null(b);
}

/* Two texts and no tensors: the order of texts is ours, sorted. */
static void test_only_texts(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *b = NULL;
    char path[PLACE];
    assert_true(temporary_file(path));
    const mq_meta texts[] = {{"b", "2"}, {"a", ""}};
    assert_ok(err, mq_bundle_write(&err, path, NULL, 0, texts, 2));
    mq_buf file = read_file(path);
    static const char wanted[] = "\x28\0\0\0\0\0\0\0{\"__metadata__\":{\"a\":\"\",\"b\":\"2\"}}       ";
    assert_int_equal(file.size, sizeof wanted - 1);
    assert_memory_equal(file.data, wanted, sizeof wanted - 1);
    assert_ok(err, mq_bundle_parse(&err, "memory", file.data, file.size, &b));
    assert_int_equal(mq_bundle_count(b), 0);
    assert_string_equal(mq_bundle_meta(b, "a"), "");
    assert_string_equal(mq_bundle_meta(b, "b"), "2");
    mq_bundle_free(&b);
    mq_buf_free(&file);
    unlink(path);
}

/* A row of bad.txt: the file and words of the sentence. */
static void check_bad(char *row) {
    const char *const words = other_words(row);
    char path[256];
    mq_err err = {0};
    mq_bundle *b = NULL;
    snprintf(path, sizeof path, GOLDEN "bad_%s.safetensors", row);
    assert_int_equal(mq_bundle_open(&err, path, &b), MQ_BAD_DATA);
    assert_null(b);
    if (!strstr(err.text, words)) fail_msg("%s: wanted \"%s\", got: %s", row, words, err.text);
    if (!strstr(err.text, path)) fail_msg("%s: its path is not in: %s", row, err.text);
}

static void test_bad_files(void **state) {
    (void)state;
    assert_true(each_row(GOLDEN "bad.txt", check_bad) >= 24);
}

/* Every cut of a good file and every changed header byte ends in a sentence or a bundle, never in a crash. */
static void test_cuts_and_flips(void **state) {
    (void)state;
    mq_buf file = read_file(GOLDEN "reference.safetensors");
    for (size_t n = 0; n < file.size; n++) {
        mq_err err = {0};
        mq_bundle *b = NULL;
        assert_int_equal(mq_bundle_parse(&err, "cut", file.data, n, &b), MQ_BAD_DATA);
        assert_null(b);
    }
    for (size_t i = 0; i < file.size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            mq_err err = {0};
            mq_bundle *b = NULL;
            file.data[i] ^= (uint8_t)(1 << bit);
            const mq_status status = mq_bundle_parse(&err, "flip", file.data, file.size, &b);
            assert_true(status == MQ_OK || status == MQ_BAD_DATA);
            mq_bundle_free(&b);
            file.data[i] ^= (uint8_t)(1 << bit);
        }
    }
    mq_buf_free(&file);
}

static void test_too_many(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 24);
    mq_bundle *b = NULL;
    uint64_t size = 0;
    assert_ok(err, mq_buf_add(&err, &file, &size, sizeof size));
    for (int i = 0; i <= 65536; i++)
        assert_ok(err, mq_buf_printf(&err, &file,
                                     "%c\"%d\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}",
                                     i ? ',' : '{', i));
    assert_ok(err, mq_buf_add_text(&err, &file, "}"));
    size = file.size - sizeof size;
    memcpy(file.data, &size, sizeof size);
    assert_int_equal(mq_bundle_parse(&err, "many", file.data, file.size, &b), MQ_BAD_DATA);
    assert_string_equal(err.text, "many: names 65537 tensors, more than marque's 65536");
    mq_buf_free(&file);
}

static void refuse_write(const mq_tensor *items, size_t n, const mq_meta *texts, size_t text_count,
                         const char *words) {
    mq_err err = {0};
    char path[PLACE];
    assert_true(temporary_file(path) && unlink(path) == 0);
    assert_int_equal(mq_bundle_write(&err, path, items, n, texts, text_count), MQ_INTERNAL);
    if (!strstr(err.text, words)) fail_msg("wanted \"%s\", got: %s", words, err.text);
    assert_false(mq_file_exists(path));
}

static void test_bad_writes(void **state) {
    (void)state;
    refuse_write((mq_tensor[]){{"a", MQ_U8, 1, {4}, bytes, 5}}, 1, NULL, 0, "not what its shape says");
    refuse_write((mq_tensor[]){{"a", MQ_U8, 1, {5}, bytes, 5}, {"a", MQ_F32, 0, {0}, &alpha, 4}}, 2, NULL, 0,
                 "the same name");
    refuse_write((mq_tensor[]){{"\xff", MQ_U8, 1, {5}, bytes, 5}}, 1, NULL, 0, "not UTF-8");
    refuse_write(NULL, 0, (mq_meta[]){{"a", "1"}, {"a", "2"}}, 2, "both named a");
}

enum { SIDE = 128, LARGE = SIDE * SIDE };

/* A tensor's numbers are those wanted, and are read only where the tensor has none. */
static void assert_numbers(const mq_bundle *b, const mq_tensor *wanted, bool in_file) {
    static float room[LARGE];
    mq_err err = {0};
    const void *numbers = NULL;
    const mq_tensor *t = mq_bundle_find(b, wanted->name);
    assert_non_null(t);
    assert_int_equal(t->data == NULL, in_file);
    assert_ok(err, mq_bundle_numbers(&err, b, t, room, &numbers));
    assert_int_equal(numbers == room, in_file);
    assert_int_equal((uintptr_t)numbers % mq_dtype_size(t->dtype), 0);
    assert_memory_equal(numbers, wanted->data, wanted->bytes);
}

/* Only large kernels of convolutions stay in the file, which may be replaced, but not cut. */
static void test_lightly(void **state) {
    (void)state;
    static float numbers[LARGE];
    for (size_t i = 0; i < LARGE; i++) numbers[i] = (float)i / 16;
    const mq_tensor some[] = {
        {"a/count", MQ_I64, 1, {1}, &count, 8},
        {"b/small kernel", MQ_F32, 4, {1, 1, 2, 3}, zeta, sizeof zeta},
        {"c/kernel", MQ_F32, 4, {1, 1, SIDE, SIDE}, numbers, sizeof numbers},
        {"d/odd", MQ_F32, 1, {3}, zeta, 12},
        {"e/kernel",
         MQ_F32,
         4,
         {1, 1, SIDE, SIDE - 1},
         numbers + SIDE,
         sizeof numbers - SIDE * sizeof *numbers},
        {"f/dense", MQ_F32, 2, {SIDE, SIDE}, numbers, sizeof numbers},
        {"g/bytes", MQ_U8, 1, {5}, bytes, 5},
    };
    enum { ALL = sizeof some / sizeof *some, KERNEL = 2 };
    mq_err err = {0};
    mq_bundle *whole = NULL, *b = NULL;
    const void *read = NULL;
    char path[PLACE];
    assert_true(temporary_file(path));
    assert_ok(err, mq_bundle_write(&err, path, some, ALL, NULL, 0));
    assert_ok(err, mq_bundle_open(&err, path, &whole));
    assert_ok(err, mq_bundle_open_lightly(&err, path, &b));
    assert_ok(err, mq_bundle_write(&err, path, NULL, 0, NULL, 0));
    for (size_t i = 0; i < ALL; i++) {
        assert_numbers(whole, &some[i], false);
        assert_numbers(b, &some[i], i == KERNEL);
    }
    assert_null(mq_bundle_digest(b));
    mq_bundle_free(&b);
    mq_bundle_free(&whole);
    assert_ok(err, mq_bundle_write(&err, path, some, ALL, NULL, 0));
    assert_ok(err, mq_bundle_open_lightly(&err, path, &b));
    assert_int_equal(truncate(path, LARGE), 0);
    assert_int_equal(mq_bundle_numbers(&err, b, mq_bundle_find(b, "c/kernel"), numbers, &read), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "too early"));
    mq_bundle_free(&b);
    unlink(path);
}

/* A bit that turned in a sealed file is met when its tensor is read, and not before. */
static void test_seal(void **state) {
    (void)state;
    static float numbers[LARGE];
    const mq_tensor some[] = {
        {"a/bias", MQ_F32, 1, {3}, zeta, 12},
        {"b/kernel", MQ_F32, 4, {1, 1, SIDE, SIDE}, numbers, sizeof numbers},
        {"c/bytes", MQ_U8, 1, {5}, bytes, 5},
    };
    enum { ALL = sizeof some / sizeof *some };
    const mq_meta sealed[] = {{MQ_BUNDLE_SEAL, "what is given does not matter"}}, wrong[] = {{"x", "1"}};
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 20);
    mq_bundle *b = NULL;
    const void *read = NULL;
    char path[PLACE];
    assert_true(temporary_file(path));
    assert_ok(err, mq_bundle_write(&err, path, some, ALL, sealed, 1));
    assert_ok(err, mq_file_read(&err, path, &file));
    assert_ok(err, mq_bundle_open_lightly(&err, path, &b));
    for (size_t i = 0; i < ALL; i++) assert_numbers(b, &some[i], i == 1);
    assert_int_equal(strlen(mq_bundle_meta(b, MQ_BUNDLE_SEAL)), 32 * ALL);
    mq_bundle_free(&b);
    const size_t ends[] = {file.size - 5 - sizeof numbers - 1, file.size - 6, file.size - 1};
    for (size_t i = 0; i < ALL; i++) {
        mq_err whole = {0}, lightly = {0};
        file.data[ends[i]] ^= 0x40;
        assert_ok(err, mq_file_write(&err, path, file.data, file.size));
        file.data[ends[i]] ^= 0x40;
        assert_int_equal(mq_bundle_open(&whole, path, &b), MQ_BAD_DATA);
        assert_null(b);
        assert_non_null(strstr(whole.text, some[i].name));
        assert_non_null(strstr(whole.text, "is not as it was written"));
        const mq_status opened = mq_bundle_open_lightly(&lightly, path, &b);
        assert_int_equal(opened, i == 1 ? MQ_OK : MQ_BAD_DATA);
        if (opened != MQ_OK) continue;
        assert_int_equal(mq_bundle_numbers(&lightly, b, mq_bundle_find(b, "b/kernel"), numbers, &read),
                         MQ_BAD_DATA);
        mq_bundle_free(&b);
        memset(numbers, 0, sizeof numbers);
    }
    file.data[strlen("12345678{'__metadata__':{'marque.s")] = 'x'; /* another key: not sealed */
    file.data[ends[2]] ^= 0x40;
    assert_ok(err, mq_file_write(&err, path, file.data, file.size));
    assert_ok(err, mq_bundle_open(&err, path, &b));
    mq_bundle_free(&b);
    assert_ok(err, mq_bundle_write(&err, path, some, ALL, wrong, 1));
    assert_ok(err, mq_bundle_open(&err, path, &b));
    assert_null(mq_bundle_meta(b, MQ_BUNDLE_SEAL));
    mq_bundle_free(&b);
    assert_ok(err, mq_bundle_write(&err, path, NULL, 0, sealed, 1));
    assert_ok(err, mq_bundle_open(&err, path, &b));
    mq_bundle_free(&b);
    mq_buf_free(&file);
    unlink(path);
}

static void test_no_file(void **state) {
    (void)state;
    mq_bundle *b = NULL;
    mq_err missing = {0}, folder = {0};
    assert_int_equal(mq_bundle_open(&missing, "tests/nothing.safetensors", &b), MQ_NO_INPUT);
    assert_int_equal(mq_bundle_open(&folder, "tests", &b), MQ_NO_INPUT);
    assert_string_equal(folder.text, "tests: not a regular file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_written_as_reference),
        cmocka_unit_test(test_reads_reference),
        cmocka_unit_test(test_only_texts),
        cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_cuts_and_flips),
        cmocka_unit_test(test_too_many),
        cmocka_unit_test(test_bad_writes),
        cmocka_unit_test(test_no_file),
        cmocka_unit_test(test_lightly),
        cmocka_unit_test(test_seal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
