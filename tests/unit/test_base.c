/* test_base.c: what everything else stands on. */
#include "unit/unit.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/pipeline.h"
#include "base/recipe.h"
#include "base/rng.h"
#include "base/text.h"
#include "unit/temporary.h"

#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

/* Random123's known answers for philox4x32-10 (kat_vectors). */
static void test_philox(void **state) {
    (void)state;
    uint32_t out[4];
    mq_philox((uint32_t[4]){0}, (uint32_t[2]){0}, out);
    assert_memory_equal(out, ((uint32_t[4]){0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}), sizeof out);
    mq_philox((uint32_t[4]){0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
              (uint32_t[2]){0xa4093822, 0x299f31d0}, out);
    assert_memory_equal(out, ((uint32_t[4]){0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}), sizeof out);
}

static void test_permutation(void **state) {
    (void)state;
    uint32_t order[1000], seen[1000] = {0}, moved = 0;
    mq_rng_permutation(123, MQ_RNG_SHUFFLE, 4, order, 1000);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_true(order[i] < 1000);
        seen[order[i]]++;
        moved += order[i] != i;
    }
    for (uint32_t i = 0; i < 1000; i++) assert_int_equal(seen[i], 1);
    assert_true(moved > 980);
}

/* Empty, and of "abc": XXH3's 128 bits as xxhsum -H2 says them; in pieces they are the same. */
static void test_hash(void **state) {
    (void)state;
    mq_err err = {0};
    mq_hash *hash = NULL;
    char hex[MQ_HASH_HEX_SIZE];
    assert_int_equal(mq_hash_begin(&err, &hash), MQ_OK);
    mq_hash_end(&hash, hex);
    assert_null(hash);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f");
    assert_int_equal(mq_hash_begin(&err, &hash), MQ_OK);
    mq_hash_add(hash, "a", 1);
    mq_hash_add(hash, "bc", 2);
    mq_hash_end(&hash, hex);
    assert_string_equal(hex, "06b05ab6733a618578af5f94892f3950");
    assert_int_equal(mq_hash_begin(&err, &hash), MQ_OK);
    mq_hash_end(&hash, NULL);
    mq_hash_end(&hash, NULL);
}

static void test_digest(void **state) {
    (void)state;
    mq_err err = {0};
    char hex[MQ_HEX_SIZE];
    assert_int_equal(mq_sha256_hex(&err, "abc", 3, hex), MQ_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

static void test_buf_limit(void **state) {
    (void)state;
    mq_err err = {0};
    mq_buf buf = mq_buf_init(100);
    for (int i = 0; i < 10; i++) assert_int_equal(mq_buf_add(&err, &buf, "0123456789", 10), MQ_OK);
    assert_int_equal(buf.size, 100);
    assert_int_equal(buf.data[100], 0);
    assert_int_equal(mq_buf_add(&err, &buf, "x", 1), MQ_BAD_DATA);
    assert_int_equal(buf.size, 100);
    mq_buf_free(&buf);
}

static void test_first_error_wins(void **state) {
    (void)state;
    mq_err err = {0};
    assert_int_equal(mq_fail(&err, MQ_IO, "first"), MQ_IO);
    assert_int_equal(mq_fail(&err, MQ_USAGE, "second"), MQ_IO);
    assert_string_equal(err.text, "first");
}

static void test_text(void **state) {
    (void)state;
    char out[32];
    assert_string_equal(mq_text_safe("a\nb\x1b[1m\xff", out, sizeof out), "a?b?[1m?");
    char *clean = mq_text_utf8("caf\xc3\xa9 \xed\xa0\x80");
    assert_string_equal(clean, "caf\xc3\xa9 \xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    free(clean);
    assert_string_equal(mq_text_count(1234567, out), "1,234,567");
    assert_string_equal(mq_text_nearest("epohcs", (const char *const[]){"batch", "epochs", NULL}), "epochs");
    assert_null(mq_text_nearest("zzzzzz", (const char *const[]){"batch", "epochs", NULL}));
    static const struct {
        const char *text, *word;
    } words[] = {{"my-data.mq/x_1", "my-data.mq/x_1"},
                 {"my data.mq", "'my data.mq'"},
                 {"it's", "'it'\\''s'"},
                 {"-dash.mq", "./-dash.mq"},
                 {"-a b", "'./-a b'"},
                 {"", "''"},
                 {"$HOME;x", "'$HOME;x'"},
                 {"-", "-"}};
    mq_word room;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        assert_string_equal(mq_text_word(words[i].text, &room), words[i].word);
    char longer[9000];
    memset(longer, '\'', sizeof longer - 1);
    longer[sizeof longer - 1] = 0;
    assert_ptr_equal(mq_text_word(longer, &room), longer);
    mq_err err = {0};
    mq_buf row = mq_buf_init(100);
    assert_int_equal(mq_csv_field(&err, &row, "a \"b\",\nc"), MQ_OK);
    assert_string_equal((char *)row.data, "\"a \"\"b\"\",\nc\"");
    mq_buf_free(&row);
}

static mq_status square(mq_err *err, void *ctx, size_t item, size_t slot, size_t worker) {
    (void)worker;
    if (item == 70) return mq_fail(err, MQ_BAD_DATA, "item 70 is bad");
    ((size_t *)ctx)[slot] = item * item;
    return MQ_OK;
}

/* In order, whatever the number of workers, and an item's failure stays with it. */
static void test_pipeline(void **state) {
    (void)state;
    for (size_t workers = 1; workers <= 7; workers += 3) {
        size_t ring[6];
        mq_pipeline *p = NULL;
        mq_err err = {0};
        const mq_pipeline_plan plan = {sizeof plan, 200, 6, workers, square, ring};
        assert_int_equal(mq_pipeline_start(&err, &plan, &p), MQ_OK);
        for (size_t i = 0; i < 200; i++) {
            size_t slot;
            mq_err item = {0};
            assert_int_equal(mq_pipeline_next(&item, p, &slot), i == 70 ? MQ_BAD_DATA : MQ_OK);
            if (i != 70) assert_int_equal(ring[slot], i * i);
            if (i % 3 == 2) mq_pipeline_release(p, 3);
        }
        mq_pipeline_free(&p);
    }
}

static void count_items(void *ctx, size_t begin, size_t end) {
    for (size_t i = begin; i < end; i++) ((_Atomic int *)ctx)[i]++;
}

static void test_parallel_for(void **state) {
    (void)state;
    _Atomic int hits[37] = {0};
    for (int threads = 1; threads <= 5; threads += 2) {
        mq_par_set_threads(threads);
        mq_parallel_for(37, count_items, hits);
        mq_parallel_share(37, count_items, hits);
    }
    mq_parallel_share(0, count_items, hits);
    for (int i = 0; i < 37; i++) assert_int_equal(hits[i], 6);
    mq_par_set_threads(0);
}

typedef struct {
    _Atomic int hits[37], wrong_worker;
    size_t bad; /* item that fails */
} each_test;

static mq_status take_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    each_test *t = ctx;
    t->hits[item]++;
    if (worker >= 5) t->wrong_worker++;
    return item == t->bad ? mq_fail(err, MQ_IO, "item %zu", item) : MQ_OK;
}

/* Every item once, whatever the threads; a failure is told, and ends one worker alone. */
static void test_parallel_each(void **state) {
    (void)state;
    each_test t = {.bad = SIZE_MAX};
    for (int threads = 1; threads <= 5; threads += 2) {
        mq_err err = {0};
        mq_par_set_threads(threads);
        assert_ok(err, mq_parallel_each(&err, 5, 37, take_item, &t));
    }
    for (int i = 0; i < 37; i++) assert_int_equal(t.hits[i], 3);
    assert_int_equal(t.wrong_worker, 0);
    mq_err err = {0};
    t.bad = 7;
    assert_int_equal(mq_parallel_each(&err, 5, 37, take_item, &t), MQ_IO);
    assert_string_equal(err.text, "item 7");
    for (int i = 0; i < 37; i++) assert_int_equal(t.hits[i], 4);
    mq_par_set_threads(0);
}

static void test_recipe(void **state) {
    (void)state;
    mq_err err = {0};
    mq_json *json = NULL;
    mq_recipe recipe = mq_recipe_default(299, MQ_RANGE_CAFFE), back;
    recipe.margin = 0.125;
    recipe.fit = MQ_FIT_PAD;
    recipe.filter = MQ_FILTER_TENSORFLOW;
    recipe.crop = false;
    assert_int_equal(mq_recipe_to_json(&err, &recipe, &json), MQ_OK);
    assert_int_equal(mq_recipe_from_json(&err, "test", json, &back), MQ_OK);
    assert_int_equal(back.imgsz, 299);
    assert_true(back.margin == 0.125 && back.fit == MQ_FIT_PAD && back.filter == MQ_FILTER_TENSORFLOW);
    assert_true(back.range == MQ_RANGE_CAFFE && !back.crop && back.apply_exif && back.background[1] == 255);
    assert_int_equal(mq_json_set(&err, json, "surprise", mq_json_text("x")), MQ_OK);
    assert_int_equal(mq_recipe_from_json(&err, "test", json, &back), MQ_BAD_DATA);
    mq_json_free(&json);
}

static void test_files(void **state) {
    (void)state;
    mq_err err = {0};
    char folder[PLACE];
    assert_true(temporary_folder(folder));
    char *path = NULL;
    assert_int_equal(mq_path_join(&err, folder, "a/b", &path), MQ_OK);
    assert_int_equal(mq_make_folder(&err, path), MQ_OK);
    free(path);
    assert_int_equal(mq_path_join(&err, folder, "a/b/file", &path), MQ_OK);
    assert_int_equal(mq_file_write(&err, path, "hello", 5), MQ_OK);
    mq_buf text = mq_buf_init(100);
    assert_int_equal(mq_file_read(&err, path, &text), MQ_OK);
    assert_string_equal((char *)text.data, "hello");
    mq_buf_free(&text);
    mq_buf small = mq_buf_init(4);
    assert_int_equal(mq_file_read(&err, path, &small), MQ_BAD_DATA);
    err = (mq_err){0};
    mq_lock *lock = NULL, *second = NULL;
    assert_int_equal(mq_lock_folder(&err, folder, &lock), MQ_OK);
    assert_int_equal(mq_lock_folder(&err, folder, &second), MQ_CANNOT_CREATE);
    mq_lock_free(&lock);
    assert_int_equal(mq_remove_folder(&err, folder), MQ_OK);
    assert_false(mq_folder_exists(folder));
    free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_philox),       cmocka_unit_test(test_permutation),
        cmocka_unit_test(test_hash),         cmocka_unit_test(test_digest),
        cmocka_unit_test(test_buf_limit),    cmocka_unit_test(test_first_error_wins),
        cmocka_unit_test(test_text),         cmocka_unit_test(test_pipeline),
        cmocka_unit_test(test_parallel_for), cmocka_unit_test(test_parallel_each),
        cmocka_unit_test(test_recipe),       cmocka_unit_test(test_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
