/* test_shuffle.c: an epoch's order with a buffer: each picture once, blocks that lie together, nothing moved
 * out of its window. Its last case prints how well such orders mix (docs/RESULTS.md). */
#include "unit/unit.h"

#include "base/mem.h"
#include "train/sampling.h"

#include <stdlib.h>
#include <string.h>

static const uint64_t SEED = 7;

/* The order of an epoch; the caller's. */
static uint32_t *draw(size_t count, size_t buffer, uint64_t seed, uint32_t epoch) {
    mq_err err = {0};
    mq_sampling *s = NULL;
    uint32_t *order = NULL, *times = NULL;
    const mq_sampling_plan plan = {.buffer = buffer, .count = count};
    assert_ok(err, mq_calloc(&err, count, sizeof *order, "an order", &order));
    assert_ok(err, mq_calloc(&err, count, sizeof *times, "an order", &times));
    assert_ok(err, mq_sampling_create(&err, &plan, &s));
    mq_sampling_draw(s, seed + 1, epoch + 3, order, times); /* leaves no trace */
    memset(times, 0xff, count * sizeof *times);
    mq_sampling_draw(s, seed, epoch, order, times);
    for (size_t i = 0; i < count; i++) assert_int_equal(times[i], 0);
    mq_sampling_free(&s);
    free(times);
    return order;
}

static int compare(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static void sort(uint32_t *list, size_t count) {
    qsort(list, count, sizeof *list, compare);
}

static const size_t COUNTS[] = {1, 63, 64, 65, 199, 1000};

/* A window of one picture leaves the blocks as they lie; all come, in another order in each epoch. */
static void test_blocks(void **state) {
    (void)state;
    for (size_t c = 0; c < sizeof COUNTS / sizeof *COUNTS; c++) {
        const size_t count = COUNTS[c], blocks = (count + MQ_SAMPLE_BLOCK - 1) / MQ_SAMPLE_BLOCK;
        size_t begun = 0, alike = 0;
        for (uint32_t epoch = 0; epoch < 20; epoch++) {
            uint32_t *order = draw(count, 1, SEED, epoch), *next = draw(count, 1, SEED, epoch + 1);
            for (size_t i = 0; i < count; i++) {
                begun += order[i] % MQ_SAMPLE_BLOCK == 0;
                alike += order[i] == next[i];
                if (order[i] % MQ_SAMPLE_BLOCK) assert_int_equal(order[i], order[i - 1] + 1);
            }
            sort(order, count);
            for (size_t i = 0; i < count; i++) assert_int_equal(order[i], i);
            free(order), free(next);
        }
        assert_int_equal(begun, 20 * blocks);
        if (blocks > 4) assert_true(alike < 20 * count / 4); /* one in sixteen blocks stays */
    }
}

/* Each window has the pictures that the blocks bring to it, in an order that nothing else has. */
static void test_windows(void **state) {
    (void)state;
    static const size_t BUFFERS[] = {5, 64, 100, 998, 1000, 4096};
    for (size_t c = 0; c < sizeof COUNTS / sizeof *COUNTS; c++)
        for (size_t b = 0; b < sizeof BUFFERS / sizeof *BUFFERS; b++) {
            const size_t count = COUNTS[c], buffer = BUFFERS[b], bytes = count * sizeof(uint32_t);
            uint32_t *blocks = draw(count, 1, SEED, 4), *order = draw(count, buffer, SEED, 4);
            uint32_t *again = draw(count, buffer, SEED, 4), *other = draw(count, buffer, SEED + 1, 4);
            uint32_t *next = draw(count, buffer, SEED, 5);
            assert_memory_equal(order, again, bytes);
            if (count > 60) {
                assert_memory_not_equal(order, other, bytes);
                assert_memory_not_equal(order, next, bytes);
                assert_memory_not_equal(order, blocks, bytes);
            }
            for (size_t from = 0; from < count; from += buffer) {
                const size_t n = count - from < buffer ? count - from : buffer;
                sort(order + from, n);
                sort(blocks + from, n);
            }
            assert_memory_equal(order, blocks, bytes);
            free(blocks), free(order), free(again), free(other), free(next);
        }
}

/* Within a window any picture comes to any place (chi-squared), and windows have draws of their own. */
static void test_places(void **state) {
    (void)state;
    enum { BUFFER = 16, EPOCHS = 3000, COUNT = 64 };
    static uint32_t seen[BUFFER][BUFFER];
    size_t alike = 0;
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t *order = draw(COUNT, BUFFER, SEED, epoch); /* of one block, which stays */
        size_t same = 0;
        for (size_t i = 0; i < BUFFER; i++) {
            seen[order[i]][i]++;
            same += order[i] + BUFFER == order[i + BUFFER];
        }
        alike += same == BUFFER;
        free(order);
    }
    const double wanted = EPOCHS / (double)BUFFER;
    double sum = 0;
    for (size_t i = 0; i < BUFFER * BUFFER; i++) {
        const double off = seen[i / BUFFER][i % BUFFER] - wanted;
        sum += off * off / wanted;
    }
    assert_int_equal(alike, 0);
    assert_true(sum > 150 && sum < 310); /* 225 degrees of freedom: 225 with a deviation of 21 */
}

/* As many pictures and classes as Stanford Cars, sorted by class: the worst order they could lie in. */
enum { CARS = 8144, CLASSES = 196, BATCH = 32 };

static size_t class_of(uint32_t picture) {
    return (size_t)picture * CLASSES / CARS;
}

/* How a buffer mixes, means over epochs. */
typedef struct {
    double moved, farthest; /* places within the order of the blocks */
    double neighbours;      /* share of pictures behind one of their class */
    double classes;         /* in a batch */
} mixing;

static mixing measure(size_t buffer) {
    enum { EPOCHS = 10 };
    static size_t place[CARS];
    mixing m = {0};
    for (uint32_t epoch = 0; epoch < EPOCHS; epoch++) {
        uint32_t *order = draw(CARS, buffer, SEED, epoch), *blocks = draw(CARS, 1, SEED, epoch);
        for (size_t i = 0; i < CARS; i++) place[blocks[i]] = i;
        for (size_t i = 0; i < CARS; i++) {
            const double way = place[order[i]] > i ? (double)(place[order[i]] - i)
                                                   : (double)(i - place[order[i]]);
            m.moved += way / CARS / EPOCHS;
            m.farthest = way > m.farthest ? way : m.farthest;
            if (i)
                m.neighbours += (double)(class_of(order[i]) == class_of(order[i - 1])) / (CARS - 1) / EPOCHS;
        }
        for (size_t i = 0; i + BATCH <= CARS; i += BATCH) {
            uint8_t met[CLASSES] = {0};
            for (size_t k = i; k < i + BATCH; k++) met[class_of(order[k])] = 1;
            for (size_t k = 0; k < CLASSES; k++) m.classes += met[k] / (double)(CARS / BATCH) / EPOCHS;
        }
        free(order), free(blocks);
    }
    return m;
}

static void test_mixing(void **state) {
    (void)state;
    static const struct {
        size_t buffer;
        mixing least, most;
    } CASES[] = {{256, {80, 230, 0.1, 8}, {90, 255, 0.15, 10}},
                 {1150, {350, 1050, 0.028, 20}, {390, 1149, 0.034, 23}},
                 {10000, {2600, 7900, 0.003, 29}, {2850, 8143, 0.007, 31}},
                 {0, {2600, 7900, 0.003, 29}, {2850, 8143, 0.007, 31}}};
    print_message("%d pictures of %d classes, sorted by class\nbuffer  moved  at most  same class next  "
                  "classes in a batch of %d\n",
                  CARS, CLASSES, BATCH);
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) {
        const mixing m = measure(CASES[i].buffer), *least = &CASES[i].least, *most = &CASES[i].most;
        print_message("%6zu%7.0f%9.0f%16.2f %%%10.1f\n", CASES[i].buffer, m.moved, m.farthest,
                      100 * m.neighbours, m.classes);
        assert_true(m.moved > least->moved && m.moved < most->moved);
        assert_true(m.farthest >= least->farthest && m.farthest <= most->farthest);
        assert_true(m.neighbours > least->neighbours && m.neighbours < most->neighbours);
        assert_true(m.classes > least->classes && m.classes < most->classes);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks), cmocka_unit_test(test_windows),
                                       cmocka_unit_test(test_places), cmocka_unit_test(test_mixing)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
