/* test_loader.c: batches of a real, small data set: the same bytes for any number of workers, and clean ends.
 */
#include "unit/sets.h"

#include "data/loader.h"
#include "data/prepare.h"
#include "unit/temporary.h"

enum { SIDE = 33, ITEM = SIDE * SIDE * 3, COUNT = 23, BATCH = 4 };

/* Two classes; every picture differs from the others. */
static const char *const PICTURES[2][8] = {
    {"cmyk.jpg", "grey.jpg", "rgb-422.jpg", "exif-6.jpg", "rgb-444.jpg", "ycck.jpg", "rgb.webp", "rgba.webp"},
    {"grey-8.png", "rgba-8.png", "palette-8.png", "exif-5.png", "rgb-8.png", "grey-2.png", "animated.webp",
     "palette-clear.png"},
};

typedef struct {
    char folder[PLACE]; /* made for one test, with pictures/ and set/ below */
    mq_dataset *dataset;
    mq_recipe recipe;
    uint32_t order[COUNT];
    uint8_t flips[COUNT];
} fixture;

static void copy_pictures(const fixture *f) {
    mq_err err = {0};
    char path[256];
    for (int class = 0; class < 2; class ++) {
        snprintf(path, sizeof path, "%s/pictures/class%d", f->folder, class);
        assert_ok(err, mq_make_folder(&err, path));
        for (int i = 0; i < 8; i++) {
            mq_buf file = golden(PICTURES[class][i]);
            snprintf(path, sizeof path, "%s/pictures/class%d/%s", f->folder, class, PICTURES[class][i]);
            assert_ok(err, mq_file_write(&err, path, file.data, file.size));
            mq_buf_free(&file);
        }
    }
}

static int make_set(void **state) {
    mq_err err = {0};
    fixture *f = NULL;
    assert_ok(err, mq_calloc(&err, 1, sizeof *f, "a fixture", &f));
    assert_true(temporary_folder(f->folder));
    copy_pictures(f);
    f->dataset = import_set(f->folder, (mq_import_plan){.test = 0.25, .val = 0.1, .shard_mb = 110});
    f->recipe = mq_recipe_default(SIDE, MQ_RANGE_TF);
    const uint32_t pictures = (uint32_t)mq_dataset_count(f->dataset, MQ_TRAIN);
    assert_true(pictures >= 8);
    for (uint32_t i = 0; i < COUNT; i++) {
        f->order[i] = (i * 5 + 3) % pictures; /* some come more than once */
        f->flips[i] = i % 3 == 1;
    }
    *state = f;
    return 0;
}

static int drop_set(void **state) {
    fixture *f = *state;
    remove_set(f->folder, &f->dataset);
    free(f);
    return 0;
}

static mq_loader_plan plan_of(const fixture *f, size_t workers) {
    return (mq_loader_plan){.size = sizeof(mq_loader_plan),
                            .dataset = f->dataset,
                            .split = MQ_TRAIN,
                            .recipe = &f->recipe,
                            .order = f->order,
                            .flips = f->flips,
                            .count = COUNT,
                            .batch = BATCH,
                            .workers = workers};
}

/* All that the loader gives, one batch behind the other; out is [plan->count, ITEM]. */
static void drain(const mq_loader_plan *plan, float *out) {
    mq_err err = {0};
    mq_loader *loader = NULL;
    assert_ok(err, mq_loader_open(&err, plan, &loader));
    for (size_t done = 0; done < plan->count;) {
        const float *pixels = NULL;
        size_t count = 0;
        assert_ok(err, mq_loader_next(&err, loader, &pixels, &count));
        assert_int_equal(count, plan->count - done < plan->batch ? plan->count - done : plan->batch);
        memcpy(out + done * ITEM, pixels, count * ITEM * sizeof *out);
        done += count;
    }
    for (int again = 0; again < 2; again++) {
        const float *pixels = out;
        size_t count = 1;
        assert_ok(err, mq_loader_next(&err, loader, &pixels, &count));
        assert_int_equal(count, 0);
        assert_null(pixels);
    }
    assert_true(mq_loader_waited(loader) >= 0);
    mq_loader_free(&loader);
    assert_null(loader);
}

static float *floats(size_t count) {
    mq_err err = {0};
    float *memory = NULL;
    assert_ok(err, mq_calloc(&err, count * ITEM, sizeof *memory, "pictures", &memory));
    return memory;
}

/* What the recipe makes of the pictures one by one, without a loader. */
static void by_hand(const fixture *f, const mq_loader_plan *plan, float *out) {
    mq_err err = {0};
    mq_buf record = mq_buf_init(1 << 24);
    for (size_t i = 0; i < plan->count; i++) {
        mq_sample sample;
        const size_t index = plan->order ? plan->order[i] : i;
        assert_ok(err, mq_dataset_read(&err, f->dataset, plan->split, index, &record, &sample));
        const mq_encoded in = {sample.name, sample.bytes, sample.size};
        const mq_variant variant = {.flip = plan->flips && plan->flips[i],
                                    .augment = plan->augment,
                                    .draw = {plan->seed, plan->epoch, (uint32_t)index, 0}};
        assert_ok(err, mq_prepare(&err, plan->recipe, &in, sample.has_box ? &sample.box : NULL, &variant,
                                  out + i * ITEM));
    }
    mq_buf_free(&record);
}

static void test_same_bytes_for_any_workers(void **state) {
    const fixture *f = *state;
    static const size_t WORKERS[] = {1, 2, 7};
    float *wanted = floats(COUNT), *got = floats(COUNT);
    for (size_t i = 0; i < 3; i++) {
        const mq_loader_plan plan = plan_of(f, WORKERS[i]);
        if (i == 0) by_hand(f, &plan, wanted);
        memset(got, 0, COUNT * ITEM * sizeof *got);
        drain(&plan, got);
        assert_memory_equal(got, wanted, COUNT * ITEM * sizeof *got);
    }
    free(wanted);
    free(got);
}

/* Augmented batches, too: the same draws for any number of workers, and the bytes they had when this was
 * written. */
static void test_augmented_batches(void **state) {
    const fixture *f = *state;
    static const struct {
        const char *policy, *digest; /* its beginning */
    } CASES[] = {{"fine-grained", "2e50e13cbb7235d0"},
                 {"strong,randaugment,fill=9", "5daef468b0cc931a"},
                 {"autoaugment", "7d77fe01351f1d48"}};
    static const size_t WORKERS[] = {1, 2, 7};
    float *wanted = floats(COUNT), *got = floats(COUNT);
    for (size_t i = 0; i < 9; i++) {
        mq_err err = {0};
        char hex[MQ_HEX_SIZE];
        mq_augment *augment = NULL;
        mq_loader_plan plan = plan_of(f, WORKERS[i % 3]);
        assert_ok(err, mq_augment_parse(&err, CASES[i / 3].policy, &augment));
        plan.augment = augment;
        plan.seed = 123;
        plan.epoch = 4;
        if (i % 3 == 0) by_hand(f, &plan, wanted);
        memset(got, 0, COUNT * ITEM * sizeof *got);
        drain(&plan, got);
        assert_memory_equal(got, wanted, COUNT * ITEM * sizeof *got);
        assert_ok(err, mq_sha256_hex(&err, got, COUNT * ITEM * sizeof *got, hex));
        if (strncmp(hex, CASES[i / 3].digest, 16) != 0) fail_msg("%s: %.16s", CASES[i / 3].policy, hex);
        plan.epoch = 5;
        drain(&plan, got);
        assert_memory_not_equal(got, wanted, COUNT * ITEM * sizeof *got);
        mq_augment_free(&augment);
    }
    free(wanted);
    free(got);
}

/* Whole splits in their own order; a batch larger than the split, one of 1, and no picture at all. */
static void test_sizes(void **state) {
    const fixture *f = *state;
    for (int split = 0; split < MQ_SPLITS; split++) {
        mq_loader_plan plan = plan_of(f, 2);
        plan.split = (mq_split)split;
        plan.order = NULL;
        plan.flips = NULL;
        plan.count = mq_dataset_count(f->dataset, plan.split);
        float *wanted = floats(plan.count + 1), *got = floats(plan.count + 1);
        by_hand(f, &plan, wanted);
        for (plan.batch = 1; plan.batch < 40; plan.batch += 19) {
            memset(got, 0, plan.count * ITEM * sizeof *got);
            drain(&plan, got);
            assert_memory_equal(got, wanted, plan.count * ITEM * sizeof *got);
        }
        plan.count = 0;
        drain(&plan, got);
        free(wanted);
        free(got);
    }
}

/* Closing while workers are ahead neither hangs nor leaks (the sanitizers look). */
static void test_closed_early(void **state) {
    const fixture *f = *state;
    for (size_t taken = 0; taken < 3; taken++) {
        mq_err err = {0};
        const mq_loader_plan plan = plan_of(f, 3);
        mq_loader *loader = NULL;
        assert_ok(err, mq_loader_open(&err, &plan, &loader));
        for (size_t i = 0; i < taken; i++) {
            const float *pixels;
            size_t count;
            assert_ok(err, mq_loader_next(&err, loader, &pixels, &count));
        }
        mq_loader_free(&loader);
    }
}

/* A damaged record ends the loader with one sentence, after the whole batches before it. */
static void test_damaged_record(void **state) {
    const fixture *f = *state;
    mq_err err = {0};
    char path[256];
    snprintf(path, sizeof path, "%s/set/train-00000-of-00001.tfrecord", f->folder);
    mq_buf shard = mq_buf_init(1 << 24);
    assert_ok(err, mq_file_read(&err, path, &shard));
    shard.data[shard.size - 9] ^= 1;
    assert_ok(err, mq_file_write(&err, path, shard.data, shard.size));
    mq_buf_free(&shard);

    const size_t last = mq_dataset_count(f->dataset, MQ_TRAIN) - 1;
    mq_loader_plan plan = plan_of(f, 2);
    plan.order = NULL;
    plan.count = last + 1;
    mq_loader *loader = NULL;
    assert_ok(err, mq_loader_open(&err, &plan, &loader));
    const float *pixels = NULL;
    size_t count = 0;
    for (size_t whole = last / BATCH; whole > 0; whole--) {
        assert_ok(err, mq_loader_next(&err, loader, &pixels, &count));
        assert_int_equal(count, BATCH);
    }
    assert_int_equal(mq_loader_next(&err, loader, &pixels, &count), MQ_BAD_DATA);
    assert_int_equal(count, 0);
    assert_non_null(strstr(err.text, "train-00000-of-00001.tfrecord"));
    mq_err again = {0};
    assert_int_equal(mq_loader_next(&again, loader, &pixels, &count), MQ_BAD_DATA);
    assert_string_equal(again.text, err.text);
    mq_loader_free(&loader);
}

static void test_impossible_plans(void **state) {
    fixture *f = *state;
    for (int fault = 0; fault < 4; fault++) {
        mq_err err = {0};
        mq_loader *loader = NULL;
        mq_loader_plan plan = plan_of(f, fault == 0 ? 0 : 1);
        if (fault == 1) plan.batch = 0;
        if (fault == 2) f->order[COUNT - 1] = (uint32_t)mq_dataset_count(f->dataset, MQ_TRAIN);
        if (fault == 3) plan.order = NULL, plan.count = mq_dataset_count(f->dataset, MQ_TRAIN) + 1;
        assert_int_equal(mq_loader_open(&err, &plan, &loader), MQ_INTERNAL);
        assert_null(loader);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_same_bytes_for_any_workers, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_augmented_batches, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_sizes, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_closed_early, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_damaged_record, make_set, drop_set),
        cmocka_unit_test_setup_teardown(test_impossible_plans, make_set, drop_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
