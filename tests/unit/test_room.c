/* test_room.c: what training and validation have in common: memory, and the numbers that are trained. */
#include "unit/nets.h"

#include "base/mem.h"
#include "base/par.h"
#include "net/program.h"

#include <string.h>

enum { SIDE = 75, BATCH = 3, FEATURES = 512 };

static mq_trainable *thawed(const mq_bundle *weights, mq_dtype dtype, bool batch) {
    mq_err err = {0};
    mq_trainable *t = NULL;
    const mq_trainable_plan plan = {.size = sizeof plan,
                                    .arch = &quarter_arch,
                                    .weights = weights,
                                    .prefix = "",
                                    .imgsz = SIDE,
                                    .batch = BATCH,
                                    .dtype = dtype,
                                    .batch_statistics = batch};
    assert_ok(err, mq_trainable_create(&err, &plan, &t));
    return t;
}

/* A pass's features and gradients are the same whatever was left in the room before: all NaN here. */
static void check_passes(mq_dtype dtype, bool batch) {
    mq_bundle *weights = seeded(&quarter_arch, SIDE);
    mq_trainable *t[2]; /* moving averages, which move, have a part in the last bits */
    float *x = draws(1, BATCH * SIDE * SIDE * 3), *gradient = draws(2, BATCH * FEATURES),
          features[2][BATCH * FEATURES];
    for (int i = 0; i < 2; i++) {
        t[i] = thawed(weights, dtype, batch);
        size_t size = 0;
        void *room = mq_trainable_room(t[i], &size);
        assert_true(size > 1 << 20);
        memset(room, i ? 0xFF : 0, size);
        pass_slices(t[i], x, gradient, BATCH, features[i], FEATURES);
        memset(room, i ? 0xFF : 0, size);
        pass_slices(t[i], x, gradient, BATCH, features[i], FEATURES);
    }
    assert_memory_equal(features[1], features[0], sizeof features[0]);
    assert_memory_equal(mq_trainable_grads(t[1]), mq_trainable_grads(t[0]),
                        mq_trainable_count(t[0]) * sizeof(float));
    mq_trainable_free(&t[0]), mq_trainable_free(&t[1]);
    mq_bundle_free(&weights);
    free(x), free(gradient);
}

static void test_passes(void **state) {
    (void)state;
    for (int batch = 0; batch < 2; batch++) {
        check_passes(MQ_F32, batch);
        if (mq_dtype_auto() == MQ_BF16) check_passes(MQ_BF16, batch);
    }
}

static mq_program *program(const mq_bundle *weights, void *room, size_t size) {
    mq_err err = {0};
    mq_program *p = NULL;
    const mq_program_plan plan = {.size = sizeof plan,
                                  .arch = &quarter_arch,
                                  .weights = weights,
                                  .prefix = "",
                                  .imgsz = SIDE,
                                  .batch = BATCH,
                                  .dtype = MQ_F32,
                                  .room = room,
                                  .room_size = size};
    assert_ok(err, mq_program_create(&err, &plan, &p));
    return p;
}

/* A program in a room answers as one in memory of its own, and again when its weights were taken anew. */
static void test_program(void **state) {
    (void)state;
    mq_err err = {0};
    mq_bundle *weights = seeded(&quarter_arch, SIDE);
    mq_program *own = program(weights, NULL, 0);
    const size_t size = mq_program_memory(own) + (1 << 20), over = 4096;
    uint8_t *room = NULL;
    assert_ok(err, mq_alloc_aligned(&err, 1, size + over, "a room", &room));
    memset(room, 0x5A, size + over);
    float *x = draws(1, BATCH * SIDE * SIDE * 3), features[3][BATCH * FEATURES];
    mq_program *guest = program(weights, room, size), *small = program(weights, room, 4096);
    assert_int_equal(mq_program_memory(guest), 0);
    assert_int_equal(mq_program_memory(small), mq_program_memory(own));
    assert_ok(err, mq_program_run(&err, own, x, BATCH, features[0]));
    assert_ok(err, mq_program_run(&err, guest, x, BATCH, features[1]));
    memset(room, 0xFF, size);
    assert_ok(err, mq_program_update(&err, guest, weights));
    assert_ok(err, mq_program_run(&err, guest, x, BATCH, features[2]));
    assert_memory_equal(features[1], features[0], sizeof features[0]);
    assert_memory_equal(features[2], features[0], sizeof features[0]);
    for (size_t i = 0; i < over; i++) assert_int_equal(room[size + i], 0x5A);
    mq_program_free(&own), mq_program_free(&guest), mq_program_free(&small);
    mq_bundle_free(&weights);
    free(room), free(x);
}

static float at(const mq_bundle *weights, const char *name, size_t i) {
    return ((const float *)mq_bundle_find(weights, name)->data)[i];
}

/* A tensor that was moved is read and written where it lies now, and comes back with what was written. */
static void test_moved(void **state) {
    (void)state;
    static const char name[] = "block14_sepconv2/pointwise_kernel",
                      next[] = "block14_sepconv2/depthwise_kernel";
    mq_bundle *weights = seeded(&quarter_arch, SIDE), *same = seeded(&quarter_arch, SIDE);
    const mq_tensor *tensor = mq_bundle_find(weights, name);
    assert_non_null(tensor);
    const size_t count = tensor->bytes / sizeof(float);
    float *place = malloc(tensor->bytes), *home = mq_bundle_data(weights, name);
    const float was = home[count - 1];
    assert_non_null(place);
    mq_bundle_move(weights, name, place);
    assert_ptr_equal(mq_bundle_data(weights, name), place);
    assert_ptr_equal(tensor->data, place);
    assert_memory_equal(place, mq_bundle_data(same, name), tensor->bytes);
    place[count - 1] = was + 1;
    assert_float_equal(at(weights, name, count - 1), was + 1, 0);
    mq_bundle_move(weights, name, NULL);
    mq_bundle_move(weights, name, NULL);
    mq_bundle_move(weights, "nobody", place);
    assert_ptr_equal(mq_bundle_data(weights, name), home);
    assert_memory_equal(home, place, tensor->bytes);
    assert_float_equal(at(weights, name, count - 1), was + 1, 0);
    assert_memory_equal(mq_bundle_data(weights, next), mq_bundle_data(same, next),
                        mq_bundle_find(same, next)->bytes);
    assert_string_equal(mq_bundle_digest(weights), mq_bundle_digest(same)); /* of what was read */
    mq_bundle_free(&weights), mq_bundle_free(&same);
    free(place);
}

int main(void) {
    mq_par_set_threads(0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_program),
        cmocka_unit_test(test_moved),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
