/* test_skipped.c: records that fail under a loader: they are left out of their batches, the same way for any
 * number of workers, and too many end it. */
#include "unit/faults.h"

#include "data/loader.h"

enum { SIDE = 71, ITEM = SIDE * SIDE * 3 };

typedef struct {
    size_t count, last;
} told;

static void count_told(void *user, mq_split split, size_t index, const char *why) {
    told *t = user;
    assert_true(split == MQ_TRAIN || split == MQ_VAL);
    assert_string_equal(why, "it fails");
    t->count++;
    t->last = index;
}

static mq_skipped *list_of(const uneven *u, double share, told *t) {
    mq_err err = {0};
    mq_skipped *skipped = NULL;
    const mq_skipped_plan plan = {.size = sizeof plan,
                                  .dataset = u->dataset,
                                  .pictures = 100,
                                  .share = share,
                                  .told = t ? count_told : NULL,
                                  .user = t};
    assert_ok(err, mq_skipped_create(&err, &plan, &skipped));
    return skipped;
}

static mq_status add(mq_skipped *skipped, mq_split split, size_t index, mq_status code, mq_err *err) {
    mq_err why = {0};
    (void)mq_fail(&why, code, "it fails");
    *err = (mq_err){0};
    return mq_skipped_add(err, skipped, split, index, &why);
}

/* Different pictures count, each once; 3 of 100 pass --max-bad 0.03, and 29 pass 0.29. */
static void test_list(void **state) {
    const uneven *u = *state;
    mq_err err;
    told t = {0};
    mq_skipped *skipped = list_of(u, 0.03, &t);
    for (int again = 0; again < 3; again++) {
        assert_int_equal(add(skipped, MQ_TRAIN, 8, MQ_IO, &err), MQ_OK);
        assert_int_equal(add(skipped, MQ_VAL, 1, MQ_BAD_DATA, &err), MQ_OK);
        assert_int_equal(add(skipped, MQ_TRAIN, 1, MQ_NO_INPUT, &err), MQ_OK);
        assert_int_equal(mq_skipped_count(skipped), 3);
    }
    assert_true(t.count == 3 && t.last == 1);
    assert_int_equal(add(skipped, MQ_TRAIN, 2, MQ_NO_MEMORY, &err), MQ_NO_MEMORY); /* not the picture's */
    assert_int_equal(add(skipped, MQ_TRAIN, 2, MQ_INTERNAL, &err), MQ_INTERNAL);
    assert_string_equal(err.text, "it fails");
    assert_int_equal(mq_skipped_count(skipped), 3);
    assert_int_equal(add(skipped, MQ_TRAIN, 9, MQ_IO, &err), MQ_IO);
    assert_non_null(strstr(err.text,
                           "/set: 4 of the 100 pictures in use cannot be read, more than the 3 that "
                           "--max-bad 0.03 lets pass"));
    assert_non_null(strstr(err.text, "--resume; the last one: it fails")); /* a scan would not list it */
    assert_int_equal(t.count, 3);
    mq_skipped_free(&skipped);
    assert_null(skipped);

    skipped = list_of(u, 0.29, NULL);
    for (size_t i = 0; i < 29; i++) assert_int_equal(add(skipped, MQ_TRAIN, i, MQ_IO, &err), MQ_OK);
    assert_int_equal(add(skipped, MQ_TRAIN, 29, MQ_BAD_DATA, &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "/set lists the damaged ones); the last one"));
    mq_skipped_free(&skipped);

    skipped = list_of(u, 0, NULL);
    assert_int_equal(add(skipped, MQ_TRAIN, 0, MQ_IO, &err), MQ_IO);
    assert_non_null(strstr(err.text,
                           "/set: 1 of the 100 pictures in use cannot be read, more than the 0 that "
                           "--max-bad 0 lets pass"));
    assert_non_null(strstr(err.text, "--resume; the last one: it fails"));
    mq_skipped_free(&skipped);
    assert_int_equal(add(NULL, MQ_TRAIN, 0, MQ_BAD_DATA, &err), MQ_BAD_DATA);
    assert_string_equal(err.text, "it fails");
}

enum { ORDER = 40, ROWS = 4 };

typedef struct {
    float rows[ORDER * ITEM];
    size_t places[ORDER], sizes[ORDER], count, batches;
} delivery;

/* All that a loader gives. */
static void drain(const uneven *u, size_t workers, mq_skipped *skipped, delivery *d) {
    mq_err err = {0};
    mq_loader *loader = NULL;
    uint32_t order[ORDER];
    const mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    for (uint32_t i = 0; i < ORDER; i++) order[i] = i * 7 % ORDER; /* each once */
    const mq_loader_plan plan = {.size = sizeof plan,
                                 .dataset = u->dataset,
                                 .recipe = &recipe,
                                 .order = order,
                                 .count = ORDER,
                                 .batch = ROWS,
                                 .workers = workers,
                                 .skipped = skipped};
    memset(d, 0, sizeof *d);
    assert_ok(err, mq_loader_open(&err, &plan, &loader));
    for (;;) {
        const float *pixels = NULL;
        size_t n = 0;
        assert_ok(err, mq_loader_next(&err, loader, &pixels, &n));
        if (!n) break;
        memcpy(d->rows + d->count * ITEM, pixels, n * ITEM * sizeof *pixels);
        memcpy(d->places + d->count, mq_loader_places(loader), n * sizeof *d->places);
        d->sizes[d->batches++] = n;
        d->count += n;
        assert_true(mq_loader_taken(loader) > d->places[d->count - 1]);
    }
    assert_int_equal(mq_loader_taken(loader), ORDER);
    mq_loader_free(&loader);
}

/* Of the order's place, not of the picture. */
static void spoil_place(size_t place, fault what) {
    faults[0][place * 7 % ORDER] = what;
}

/* Every kind of fault: one in a batch, two, a whole batch, the last one. What is left is as it was. */
static void test_batches(void **state) {
    const uneven *u = *state;
    delivery *whole = malloc(sizeof *whole), *d = malloc(sizeof *d);
    static const size_t WORKERS[] = {1, 2, 7};
    static const struct {
        size_t place;
        fault what;
    } BAD[] = {{0, ERROR},       {5, CUT},  {6, FLIPPED}, {12, STALE},
               {13, NO_PICTURE}, {14, CUT}, {15, ERROR},  {39, FLIPPED}};
    enum { KINDS = sizeof BAD / sizeof *BAD };
    assert_true(whole && d);
    drain(u, 2, NULL, whole);
    assert_int_equal(whole->count, ORDER);
    for (size_t i = 0; i < KINDS; i++) spoil_place(BAD[i].place, BAD[i].what);
    for (size_t w = 0; w < 3; w++) {
        mq_skipped *skipped = list_of(u, 0.08, NULL);
        drain(u, WORKERS[w], skipped, d);
        assert_int_equal(mq_skipped_count(skipped), KINDS);
        mq_skipped_free(&skipped);
        size_t row = 0;
        for (size_t place = 0, bad = 0; place < ORDER; place++) {
            if (bad < KINDS && place == BAD[bad].place) {
                bad++;
                continue;
            }
            assert_int_equal(d->places[row], place);
            assert_memory_equal(d->rows + row++ * ITEM, whole->rows + place * ITEM, ITEM * sizeof *d->rows);
        }
        assert_int_equal(d->count, row);
        static const size_t SIZES[] = {3, 2, 4, /* none */ 4, 4, 4, 4, 4, 3};
        assert_int_equal(d->batches, sizeof SIZES / sizeof *SIZES);
        assert_memory_equal(d->sizes, SIZES, sizeof SIZES);
    }
    free(whole);
    free(d);
}

/* A loader ends with the picture that is one too many, and repeats itself. */
static void test_too_many(void **state) {
    const uneven *u = *state;
    mq_skipped *skipped = list_of(u, 0.02, NULL);
    const mq_recipe recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    const mq_loader_plan plan = {.size = sizeof plan,
                                 .dataset = u->dataset,
                                 .recipe = &recipe,
                                 .count = ORDER,
                                 .batch = ROWS,
                                 .workers = 3,
                                 .skipped = skipped};
    mq_err err = {0}, again = {0};
    mq_loader *loader = NULL;
    const float *pixels;
    size_t n;
    faults[0][1] = faults[0][9] = faults[0][10] = FLIPPED;
    assert_ok(err, mq_loader_open(&err, &plan, &loader));
    assert_ok(err, mq_loader_next(&err, loader, &pixels, &n));
    assert_int_equal(n, ROWS - 1);
    assert_ok(err, mq_loader_next(&err, loader, &pixels, &n));
    assert_int_equal(n, ROWS);
    assert_int_equal(mq_loader_next(&err, loader, &pixels, &n), MQ_BAD_DATA);
    assert_true(!pixels && !n);
    assert_non_null(strstr(err.text, "3 of the 100 pictures"));
    assert_non_null(strstr(err.text, "record 10"));
    assert_int_equal(mq_loader_next(&again, loader, &pixels, &n), MQ_BAD_DATA);
    assert_string_equal(again.text, err.text);
    mq_loader_free(&loader);
    mq_skipped_free(&skipped);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test_setup(test_list, begin),
                                       cmocka_unit_test_setup(test_batches, begin),
                                       cmocka_unit_test_setup(test_too_many, begin)};
    return cmocka_run_group_tests(tests, make_uneven, remove_uneven);
}
