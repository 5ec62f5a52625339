/* test_classifier.c: the public library, on a model of seeded weights: batches, threads, what it answers
 * against the model's own numbers, and every wrong argument. */
#include "unit/unit.h"

#include "base/mem.h"
#include "base/par.h"
#include "data/prepare.h"
#include "infer/predict.h"
#include "net/seeded.h"
#include "unit/temporary.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SIDE = 71, CLASSES = 4, IMAGES = 5, W = 90, H = 75 };
static const char *const NAMES[CLASSES] = {"ant", "bee", "cat", "dog"};
static char model_path[PLACE];

/* sound: or one of its weights is no number, as a flipped bit makes it. */
static void write_to(const char *path, bool sound) {
    mq_err err = {0};
    mq_graph *graph = NULL;
    mq_bundle *weights = NULL;
    mq_head *head = NULL;
    const mq_arch *arch = mq_arch_find("xception");
    mq_recipe recipe = mq_recipe_default(SIDE, arch->range);
    recipe.crop = false;
    assert_ok(err, arch->build(&err, SIDE, &graph));
    assert_ok(err, mq_seeded_weights(&err, graph, 3, &weights));
    assert_ok(err, mq_head_create(&err, MQ_HEAD_LINEAR, arch->features, CLASSES, &head));
    mq_head_init(head, 5);
    if (!sound) head->params[0] = NAN;
    const mq_model_parts parts = {.size = sizeof parts,
                                  .arch = arch,
                                  .weights = weights,
                                  .head = head,
                                  .recipe = &recipe,
                                  .classes = NAMES,
                                  .data_digest = "",
                                  .boxes = true};
    assert_ok(err, mq_model_write(&err, path, &parts));
    mq_head_free(&head);
    mq_bundle_free(&weights);
    mq_graph_free(&graph);
}

static int write_model(void **state) {
    (void)state;
    assert_true(temporary_file(model_path));
    write_to(model_path, true);
    return 0;
}

static int remove_model(void **state) {
    (void)state;
    return unlink(model_path);
}

static mq_classifier *opened(size_t batch, int threads) {
    mq_err err = {0};
    mq_classifier *c = NULL;
    const mq_classifier_plan plan = {.size = sizeof plan,
                                     .model = model_path,
                                     .batch = batch,
                                     .threads = threads,
                                     .numbers = MQ_NUMBERS_F32};
    assert_ok(err, mq_classifier_open(&err, &plan, &c));
    return c;
}

/* Frames of noise that differ. */
static void make_images(mq_image images[IMAGES], uint8_t *bytes) {
    uint32_t seed = 1;
    for (size_t i = 0; i < (size_t)IMAGES * W * H * 3; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)((seed >> 24) >> (i / ((size_t)W * H * 3)));
    }
    for (size_t i = 0; i < IMAGES; i++)
        images[i] = (mq_image){.size = sizeof *images,
                               .data = bytes + i * W * H * 3,
                               .data_size = (size_t)W * H * 3,
                               .format = MQ_PIXELS_RGB,
                               .width = W,
                               .height = H};
}

static uint8_t frames[IMAGES * W * H * 3];

/* The classes' probabilities of the model itself. */
static void test_same_as_model(void **state) {
    (void)state;
    mq_err err = {0};
    mq_image image[IMAGES];
    mq_model *model = NULL;
    float pixels[SIDE * SIDE * 3], p[CLASSES];
    mq_guess best[CLASSES];
    make_images(image, frames);
    mq_classifier *c = opened(0, 1);
    const mq_model_plan plan = {.size = sizeof plan, .path = model_path, .batch = 1, .dtype = MQ_F32};
    assert_ok(err, mq_model_open(&err, &plan, &model));
    const mq_pixels frame = {frames, W, H};
    assert_ok(err, mq_prepare_pixels(&err, mq_model_recipe(model), &frame, false, pixels));
    assert_ok(err, mq_model_run(&err, model, pixels, 1, &(mq_answers){.p = p}));
    assert_ok(err, mq_classify(&err, c, image, 1, CLASSES, best));
    for (size_t k = 0; k < CLASSES; k++) {
        assert_true(best[k].probability == p[best[k].index]);
        assert_string_equal(best[k].name, NAMES[best[k].index]);
        assert_true(k == 0 || best[k].probability <= best[k - 1].probability);
    }
    assert_int_equal(mq_classifier_classes(c), CLASSES);
    assert_string_equal(mq_classifier_class(c, 3), "dog");
    assert_null(mq_classifier_class(c, CLASSES));
    assert_true(mq_classifier_on_boxes(c));
    mq_classifier_facts facts = {.size = sizeof facts};
    assert_ok(err, mq_classifier_info(&err, c, &facts));
    assert_int_equal(facts.classes, CLASSES);
    assert_int_equal(facts.side, SIDE);
    assert_string_equal(facts.numbers, "f32");
    facts.size = 0;
    assert_int_equal(mq_classifier_info(&err, c, &facts), MQ_USAGE);
    assert_non_null(strstr(err.text, "own header"));
    mq_model_free(&model);
    mq_classifier_free(&c);
    assert_null(c);
    mq_classifier_free(&c);
}

/* What a model says of its origin: nothing where its weights do not. */
static void test_licence(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *bundle = NULL;
    assert_ok(err, mq_bundle_open(&err, model_path, &bundle));
    assert_string_equal(mq_bundle_meta(bundle, "licence"), "unknown");
    assert_null(mq_bundle_meta(bundle, "weights.source"));
    mq_bundle_free(&bundle);
}

static void test_no_number(void **state) {
    (void)state;
    mq_err err = {0};
    mq_image image[IMAGES];
    mq_guess best;
    make_images(image, frames);
    write_to(model_path, false);
    mq_classifier *c = opened(0, 1);
    assert_int_equal(mq_classify(&err, c, image, 1, 1, &best), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "answers are no numbers"));
    assert_non_null(strstr(err.text, model_path));
    mq_classifier_free(&c);
    write_to(model_path, true);
}

/* Any batch and any number of threads, and the caller's own number of threads stays. */
static void test_batches(void **state) {
    (void)state;
    mq_err err = {0};
    mq_image images[IMAGES];
    mq_guess one[IMAGES][2], many[IMAGES][2];
    make_images(images, frames);
    mq_par_set_threads(3);
    mq_classifier *c = opened(1, 1), *wide = opened(2, 2);
    for (size_t i = 0; i < IMAGES; i++) assert_ok(err, mq_classify(&err, c, &images[i], 1, 2, one[i]));
    assert_ok(err, mq_classify(&err, wide, images, IMAGES, 2, many[0]));
    assert_int_equal(mq_par_threads(), 3);
    for (size_t i = 0; i < IMAGES; i++)
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(one[i][k].index, many[i][k].index);
            assert_true(one[i][k].probability == many[i][k].probability);
        }
    assert_true(one[0][0].probability != one[1][0].probability);
    assert_ok(err, mq_classify(&err, wide, images, 0, 2, many[0]));
    mq_classifier_free(&c);
    mq_classifier_free(&wide);
}

typedef struct {
    const mq_image *images;
    mq_guess best[IMAGES];
    mq_err err;
    mq_status status;
    int threads;
} user;

/* A thread with a classifier of its own. */
static void *use(void *argument) {
    user *u = argument;
    mq_classifier *c = NULL;
    const mq_classifier_plan plan = {.size = sizeof plan,
                                     .model = model_path,
                                     .batch = 2,
                                     .threads = u->threads,
                                     .numbers = MQ_NUMBERS_F32};
    u->status = mq_classifier_open(&u->err, &plan, &c);
    if (u->status == MQ_OK) u->status = mq_classify(&u->err, c, u->images, IMAGES, 1, u->best);
    mq_classifier_free(&c);
    return NULL;
}

static void test_two_at_once(void **state) {
    (void)state;
    mq_image images[IMAGES];
    make_images(images, frames);
    user users[3] = {
        {.images = images, .threads = 1}, {.images = images, .threads = 2}, {.images = images, .threads = 1}};
    pthread_t thread[2];
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&thread[i], NULL, use, &users[i]), 0);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_join(thread[i], NULL), 0);
    use(&users[2]); /* the same alone */
    for (int i = 0; i < 3; i++) {
        assert_ok(users[i].err, users[i].status);
        for (size_t k = 0; k < IMAGES; k++) {
            assert_int_equal(users[i].best[k].index, users[2].best[k].index);
            assert_true(users[i].best[k].probability == users[2].best[k].probability);
        }
    }
}

/* A box counts, also though the model's recipe does without. */
static void test_box(void **state) {
    (void)state;
    mq_err err = {0};
    mq_image images[IMAGES];
    mq_guess cut[1], inside[1];
    mq_classifier *c = opened(1, 1);
    make_images(images, frames);
    const mq_box box = {0, 10, W, 60};
    const mq_image part = {.size = sizeof part,
                           .data = frames + 10 * W * 3,
                           .data_size = 50 * W * 3,
                           .format = MQ_PIXELS_RGB,
                           .width = W,
                           .height = 50};
    images[0].box = &box;
    assert_ok(err, mq_classify(&err, c, images, 1, 1, inside));
    assert_ok(err, mq_classify(&err, c, &part, 1, 1, cut));
    assert_true(inside[0].index == cut[0].index && inside[0].probability == cut[0].probability);
    mq_classifier_free(&c);
}

static void refused_plan(const mq_classifier_plan *plan, mq_status code, const char *words) {
    mq_err err = {0};
    mq_classifier *c = NULL;
    assert_int_equal(mq_classifier_open(&err, plan, &c), code);
    assert_non_null(strstr(err.text, words));
    assert_null(c);
}

static void test_wrong_plans(void **state) {
    (void)state;
    const mq_classifier_plan good = {.size = sizeof good, .model = model_path};
    mq_classifier_plan bad = good;
    bad.size = 0;
    refused_plan(&bad, MQ_USAGE, "own header");
    bad = good;
    bad.model = NULL;
    refused_plan(&bad, MQ_USAGE, "path of a model");
    bad.model = "/nowhere/model.safetensors";
    refused_plan(&bad, MQ_NO_INPUT, "/nowhere/model.safetensors: no such model file");
    bad.model = "";
    refused_plan(&bad, MQ_NO_INPUT, "the name of a model is empty");
    bad = good;
    bad.batch = SIZE_MAX;
    refused_plan(&bad, MQ_USAGE, "a batch of");
    bad = good;
    bad.threads = -1;
    refused_plan(&bad, MQ_USAGE, "-1 threads");
    bad = good;
    bad.numbers = (mq_numbers)7;
    refused_plan(&bad, MQ_USAGE, "7 is no kind of numbers");
    if (mq_dtype_auto() == MQ_BF16) return;
    bad.numbers = MQ_NUMBERS_BF16;
    refused_plan(&bad, MQ_UNAVAILABLE, "use MQ_NUMBERS_F32");
}

/* What is there but cannot be used is told as what it is. */
static void test_ways_to_model(void **state) {
    (void)state;
    char place[PLACE];
    const mq_classifier_plan plan = {.size = sizeof plan, .model = place};
    assert_true(temporary_file(place));
    assert_int_equal(unlink(place), 0);
    assert_int_equal(mkfifo(place, 0600), 0);
    refused_plan(&plan, MQ_NO_INPUT, "is no regular file");
    assert_int_equal(unlink(place), 0);
    assert_int_equal(symlink(place, place), 0);
    refused_plan(&plan, MQ_NO_INPUT, "Too many levels of symbolic links");
    assert_int_equal(unlink(place), 0);
}

/* Images that cannot be used have their own errors, and the others the answers they have alone. */
static void test_each(void **state) {
    (void)state;
    mq_err err = {0}, errs[IMAGES];
    mq_image images[IMAGES];
    mq_guess one[IMAGES][2], many[IMAGES][2], none = {.name = "untouched"};
    mq_classifier *c = opened(2, 2);
    make_images(images, frames);
    for (size_t i = 0; i < IMAGES; i++) {
        assert_ok(err, mq_classify(&err, c, &images[i], 1, 2, one[i]));
        many[i][0] = none;
    }
    images[1].format = MQ_PIXELS_ENCODED;
    images[2].size = 0;
    images[3].data = NULL;
    assert_int_equal(mq_classify_each(errs, c, images, IMAGES, 2, many[0]), MQ_OK);
    for (size_t i = 0; i < IMAGES; i += IMAGES - 1) {
        assert_ok(errs[i], errs[i].code);
        for (size_t k = 0; k < 2; k++) {
            assert_int_equal(one[i][k].index, many[i][k].index);
            assert_true(one[i][k].probability == many[i][k].probability);
        }
    }
    assert_int_equal(errs[1].code, MQ_BAD_DATA);
    assert_ptr_equal(strstr(errs[1].text, "image 1: "), errs[1].text);
    assert_int_equal(errs[2].code, MQ_USAGE);
    assert_string_equal(errs[3].text, "image 3: has no data");
    for (size_t i = 1; i < 4; i++) assert_string_equal(many[i][0].name, "untouched");
    /* What fails as a whole is told to all. */
    assert_int_equal(mq_classify_each(errs, c, images, IMAGES, CLASSES + 1, many[0]), MQ_USAGE);
    for (size_t i = 0; i < IMAGES; i++) assert_non_null(strstr(errs[i].text, "the 5 likeliest"));
    assert_ok(err, mq_classify_each(NULL, c, NULL, 0, 2, NULL));
    assert_ok(err, mq_classify(&err, c, NULL, 0, 2, NULL));
    assert_ok(err, mq_classify(&err, c, images, 1, 0, NULL)); /* whether it can be used */
    mq_classifier_free(&c);
}

static void test_wrong_images(void **state) {
    (void)state;
    mq_err err = {0};
    mq_image images[IMAGES];
    mq_guess best[IMAGES];
    mq_classifier *c = opened(2, 2);
    make_images(images, frames);
    mq_guess all[CLASSES + 1];
    assert_int_equal(mq_classify(&err, c, images, 1, CLASSES + 1, all), MQ_USAGE);
    assert_non_null(strstr(err.text, "the 5 likeliest classes are asked for, but the model has 4"));
    err = (mq_err){0};
    images[3].format = MQ_PIXELS_ENCODED;
    images[4].size = 0;
    assert_int_equal(mq_classify(&err, c, images, IMAGES, 1, best), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "image 3: "));
    err = (mq_err){0};
    assert_int_equal(mq_classify(&err, c, images + 4, 1, 1, best), MQ_USAGE);
    assert_non_null(strstr(err.text, "image 0: an mq_image of 0 bytes"));
    err = (mq_err){0};
    assert_ok(err, mq_classify(&err, c, images, 3, 1, best)); /* and it goes on serving */
    mq_classifier_free(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_model), cmocka_unit_test(test_licence),
        cmocka_unit_test(test_no_number),     cmocka_unit_test(test_batches),
        cmocka_unit_test(test_two_at_once),   cmocka_unit_test(test_box),
        cmocka_unit_test(test_wrong_plans),   cmocka_unit_test(test_wrong_images),
        cmocka_unit_test(test_ways_to_model), cmocka_unit_test(test_each),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}
