/* test_ahead.c: what the system is told of pictures that will be read soon. Its posix_fadvise stands before
 * the C library's. */
#include "unit/sets.h"

#include "data/loader.h"
#include "unit/temporary.h"

#include <fcntl.h>
#include <pthread.h>

enum { SIDE = 320, PICTURES = 10, CALLS = 64, GAP = 256 << 10 };

typedef struct {
    char folder[PLACE]; /* made for one test, with pictures/ and set/ below */
    mq_dataset *dataset;
    mq_recipe recipe;
} fixture;

typedef struct {
    char file[64];
    uint64_t offset, length;
    int advice;
} call;

static call calls[CALLS];
static size_t call_count;
static uint64_t largest; /* bytes of a call */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

int posix_fadvise(int fd, off_t offset, off_t length, int advice) {
    char link[64], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0) return 0;
    const char *name = strrchr(path, '/');
    pthread_mutex_lock(&lock);
    call *last = call_count ? &calls[call_count - 1] : NULL;
    if (last && name && strcmp(last->file, name + 1) == 0 && last->advice == advice &&
        advice != POSIX_FADV_DONTNEED && last->offset + last->length == (uint64_t)offset) {
        last->length += (uint64_t)length; /* a piece of the same */
    } else if (call_count < CALLS && name) {
        call *c = &calls[call_count++];
        *c = (call){.offset = (uint64_t)offset, .length = (uint64_t)length, .advice = advice};
        snprintf(c->file, sizeof c->file, "%.63s", name + 1);
    }
    largest = (uint64_t)length > largest ? (uint64_t)length : largest;
    pthread_mutex_unlock(&lock);
    return 0;
}

static int make_set(void **state) {
    mq_err err = {0};
    fixture *f = NULL;
    char path[256];
    assert_ok(err, mq_calloc(&err, 1, sizeof *f, "a fixture", &f));
    assert_true(temporary_folder(f->folder));
    for (uint32_t i = 0; i < PICTURES; i++) {
        snprintf(path, sizeof path, "%s/pictures/class %u", f->folder, i % 2);
        assert_ok(err, mq_make_folder(&err, path));
        snprintf(path, sizeof path, "%s/pictures/class %u/%u.png", f->folder, i % 2, i);
        write_noise(path, SIDE, SIDE, i + 1); /* 300 kB each: more than a gap */
    }
    f->dataset = import_set(f->folder, (mq_import_plan){.shard_mb = 2});
    assert_int_equal(mq_dataset_count(f->dataset, MQ_TRAIN), PICTURES);
    f->recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    *state = f;
    call_count = 0;
    return 0;
}

static int drop_set(void **state) {
    fixture *f = *state;
    remove_set(f->folder, &f->dataset);
    free(f);
    return 0;
}

/* Where a picture lies: its shard's name and place. Two shards of five pictures each. */
static call place_of(const fixture *f, size_t index) {
    call c = {.length = mq_dataset_bytes(f->dataset, MQ_TRAIN, index), .advice = POSIX_FADV_WILLNEED};
    snprintf(c.file, sizeof c.file, "train-%05zu-of-00002.tfrecord", index / 5);
    for (size_t i = index / 5 * 5; i < index; i++) c.offset += mq_dataset_bytes(f->dataset, MQ_TRAIN, i);
    assert_true(c.length > GAP);
    return c;
}

/* That call i was for the pictures first..last of a shard. */
static void assert_told(const fixture *f, size_t i, size_t first, size_t last) {
    const call wanted = place_of(f, first), end = place_of(f, last);
    assert_true(i < call_count);
    assert_string_equal(calls[i].file, wanted.file);
    assert_int_equal(calls[i].advice, POSIX_FADV_WILLNEED);
    assert_int_equal(calls[i].offset, wanted.offset);
    assert_int_equal(calls[i].length, end.offset + end.length - wanted.offset);
}

/* Pictures in any order: those that lie together as one, none of the others, no stretch over two shards. */
static void test_expect(void **state) {
    const fixture *f = *state;
    mq_err err = {0};
    static const uint32_t soon[] = {7, 1, 4, 0, 5, 9, 3};
    assert_ok(err, mq_dataset_expect(&err, f->dataset, MQ_TRAIN, soon, 7));
    assert_int_equal(call_count, 5);
    assert_int_equal(largest, 512 << 10);
    assert_told(f, 0, 0, 1);
    assert_told(f, 1, 3, 4);
    assert_told(f, 2, 5, 5);
    assert_told(f, 3, 7, 7);
    assert_told(f, 4, 9, 9);
    assert_ok(err, mq_dataset_expect(&err, f->dataset, MQ_TRAIN, NULL, 0));
    assert_int_equal(call_count, 5);
    static const uint32_t apart[] = {0, 6}; /* one would end where the other begins, were it one file */
    assert_int_equal(place_of(f, 6).offset, place_of(f, 0).length);
    assert_ok(err, mq_dataset_expect(&err, f->dataset, MQ_TRAIN, apart, 2));
    assert_int_equal(call_count, 7);
    assert_told(f, 5, 0, 0);
    assert_told(f, 6, 6, 6);
}

static void test_forget(void **state) {
    const fixture *f = *state;
    mq_dataset_forget(f->dataset, MQ_TRAIN);
    assert_int_equal(call_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(calls[i].file, place_of(f, 5 * i).file);
        assert_int_equal(calls[i].advice, POSIX_FADV_DONTNEED);
        assert_true(calls[i].offset == 0 && calls[i].length == 0);
    }
}

/* Loads all pictures in an order; the caller's. */
static float *load(const fixture *f, const uint32_t *order, size_t ahead, size_t workers) {
    mq_err err = {0};
    mq_loader *loader = NULL;
    const size_t item = (size_t)SIDE * SIDE * 3;
    float *all = NULL;
    const mq_loader_plan plan = {.size = sizeof plan,
                                 .dataset = f->dataset,
                                 .recipe = &f->recipe,
                                 .order = order,
                                 .count = PICTURES,
                                 .batch = 2,
                                 .workers = workers,
                                 .ahead = ahead};
    assert_ok(err, mq_calloc(&err, PICTURES * item, sizeof *all, "pictures", &all));
    assert_ok(err, mq_loader_open(&err, &plan, &loader));
    for (size_t done = 0, n = 1; n; done += n) {
        const float *pixels = NULL;
        assert_ok(err, mq_loader_next(&err, loader, &pixels, &n));
        if (n) memcpy(all + done * item, pixels, n * item * sizeof *all);
    }
    mq_loader_free(&loader);
    return all;
}

/* Window by window, before its first picture is read; and the pictures are the same. */
static void test_loader(void **state) {
    const fixture *f = *state;
    static const uint32_t order[PICTURES] = {3, 8, 2, 9, 0, 5, 1, 6, 7, 4};
    const size_t bytes = PICTURES * (size_t)SIDE * SIDE * 3 * sizeof(float);
    float *plain = load(f, order, 0, 2);
    assert_int_equal(call_count, 0);
    float *told = load(f, order, 4, 1);
    assert_memory_equal(plain, told, bytes);
    assert_int_equal(call_count, 6);
    assert_told(f, 0, 2, 3);
    assert_told(f, 1, 8, 9);
    assert_told(f, 2, 0, 1);
    assert_told(f, 3, 5, 6);
    assert_told(f, 4, 4, 4);
    assert_told(f, 5, 7, 7);
    free(told);
    told = load(f, order, 4, 7);
    assert_memory_equal(plain, told, bytes);
    assert_int_equal(call_count, 2 * 6);
    free(told);
    told = load(f, NULL, 4, 2); /* from end to end the system sees for itself */
    assert_int_equal(call_count, 2 * 6);
    free(told);
    free(plain);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_expect, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_forget, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_loader, make_set, drop_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
