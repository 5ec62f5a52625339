/* test_train.c: metrics, Adam, the classifier's gradient, the reading of stages and their seconds, a
 * run's labels.txt. */
#include "unit/sets.h"
#include "unit/temporary.h"

#include "base/mem.h"
#include "base/options.h"
#include "base/rng.h"
#include "train/adam.h"
#include "train/head_train.h"
#include "train/metrics.h"
#include "train/run.h"
#include "train/stages.h"
#include "train/trunk.h"

#include <math.h>
#include <string.h>

static float draw(uint64_t i) {
    return 2 * mq_rng_unit(7, MQ_RNG_TEST, 0, i) - 1;
}

/* Three classes, five pictures, everything worked out by hand and by scikit-learn's definitions. */
static void test_metrics(void **state) {
    (void)state;
    static const float p[] = {0.5f,   0.25f, 0.25f,  0.25f,  0.5f,  0.25f,  0.125f, 0.25f,
                              0.625f, 0.5f,  0.375f, 0.125f, 0.25f, 0.625f, 0.125f};
    static const uint32_t labels[] = {0, 1, 2, 1, 0};
    float loss[5];
    uint32_t answers[3];
    mq_err err = {0};
    mq_metrics *m = NULL;
    mq_scores s;
    for (int i = 0; i < 5; i++) loss[i] = -logf(p[3 * i + (int)labels[i]]);
    assert_ok(err, mq_metrics_create(&err, 3, &m));
    mq_metrics_add(m, p, loss, labels, 2, NULL); /* in two batches */
    mq_metrics_add(m, p + 6, loss + 2, labels + 2, 3, answers);
    mq_metrics_scores(m, &s);
    assert_int_equal(s.pictures, 5);
    assert_true(fabs(s.top1 - 0.6) < 1e-12 && s.top5 == 1);
    assert_true(fabs(s.loss - (2 * log(2) + log(1.6) + log(8 / 3.0) + log(4)) / 5) < 1e-6);
    assert_true(fabs(s.mae - (1 + 1 + 0.75 + 1.25 + 1.5) / 15) < 1e-9);
    /* positives .5 .5 .625 .375 .25; negatives .25x5 .125x3 .5 .625: pairs won + half of ties, of 50 */
    assert_true(fabs(s.auc - 40.0 / 50) < 1e-12);
    for (size_t i = 0; i < 3; i++) {
        const float *row = p + 6 + 3 * i;
        for (size_t j = 0; j < 3; j++) assert_true(row[answers[i]] >= row[j]);
    }
    mq_class_scores c;
    mq_metrics_class(m, 1, &c);
    assert_true(c.pictures == 2 && c.precision == 0.5 && c.recall == 0.5 && c.f1 == 0.5);
    const float wrong[] = {NAN, NAN, NAN}; /* is right nowhere */
    mq_metrics_reset(m);
    mq_metrics_add(m, wrong, wrong, labels, 1, NULL);
    mq_scores none;
    mq_metrics_scores(m, &none);
    assert_true(none.top1 == 0 && none.pictures == 1);
    assert_true(s.top1_low > 0.2 && s.top1_low < 0.26 && s.top1_high > 0.86 && s.top1_high < 0.9);
    mq_metrics_reset(m);
    mq_metrics_scores(m, &s);
    assert_true(isnan(s.top1) && isnan(s.auc));
    mq_metrics_free(&m);
}

/* None and all right are in their intervals, which end where shares do. */
static void test_wilson(void **state) {
    (void)state;
    double low, high;
    for (size_t n = 1; n <= 200; n++) {
        mq_wilson(0, n, &low, &high);
        assert_true(low < 1e-12 && !signbit(low) && high > 0 && high < 1);
        mq_wilson(1, n, &low, &high);
        assert_true(low > 0 && low < 1 && high > 1 - 1e-12 && high <= 1);
    }
}

/* TensorFlow's 200-threshold AUC of the same scores, from tf.keras.metrics.AUC(num_thresholds=200). */
static void test_auc_is_close_to_tensorflow(void **state) {
    (void)state;
    enum { N = 400, CLASSES = 4 };
    static float p[N * CLASSES], loss[N];
    static uint32_t labels[N];
    mq_err err = {0};
    mq_metrics *m = NULL;
    mq_scores s;
    double right = 0, pairs = 0;
    for (int i = 0; i < N; i++) {
        float sum = 0;
        labels[i] = (uint32_t)i % CLASSES;
        for (int j = 0; j < CLASSES; j++) {
            p[i * CLASSES + j] = 0.02f + mq_rng_unit(3, MQ_RNG_TEST, 1, (uint64_t)(i * CLASSES + j)) +
                                 (j == i % CLASSES ? 0.3f : 0);
            sum += p[i * CLASSES + j];
        }
        for (int j = 0; j < CLASSES; j++) p[i * CLASSES + j] /= sum;
    }
    /* Mann-Whitney pair by pair. */
    for (int a = 0; a < N * CLASSES; a++)
        for (int b = 0; b < N * CLASSES; b++) {
            const bool positive = (uint32_t)(a % CLASSES) == labels[a / CLASSES];
            const bool negative = (uint32_t)(b % CLASSES) != labels[b / CLASSES];
            if (!positive || !negative) continue;
            pairs++;
            right += p[a] > p[b] ? 1 : p[a] == p[b] ? 0.5 : 0;
        }
    assert_ok(err, mq_metrics_create(&err, CLASSES, &m));
    mq_metrics_add(m, p, loss, labels, N, NULL);
    mq_metrics_scores(m, &s);
    assert_true(s.auc_error < 1e-3);
    assert_true(fabs(s.auc - right / pairs) <= s.auc_error + 1e-12);
    assert_true(fabs(s.auc_tf200 - right / pairs) < 2e-3);
    mq_metrics_free(&m);
}

static void test_top_k(void **state) {
    (void)state;
    const float p[] = {0.1f, 0.3f, 0.05f, 0.3f, 0.25f};
    size_t best[3];
    mq_top_k(p, 5, 3, best);
    assert_true(best[0] == 1 && best[1] == 3 && best[2] == 4);
}

/* Keras' Adam in double. */
static void test_adam(void **state) {
    (void)state;
    float w[3] = {0.5f, -1, 2}, m[3] = {0}, v[3] = {0};
    double rw[3] = {0.5, -1, 2}, rm[3] = {0}, rv[3] = {0};
    for (uint64_t step = 1; step <= 50; step++) {
        float g[3];
        for (int i = 0; i < 3; i++) {
            g[i] = draw(step * 3 + (uint64_t)i) * (i == 2 ? 1e-4f : 1);
            rm[i] += (g[i] - rm[i]) * 0.1;
            rv[i] += ((double)g[i] * g[i] - rv[i]) * 0.001;
            rw[i] -= 1e-2 * sqrt(1 - pow(0.999, (double)step)) / (1 - pow(0.9, (double)step)) * rm[i] /
                     (sqrt(rv[i]) + 1e-7);
        }
        assert_true(mq_adam_step(&(mq_adam_block){w, m, v, g, 3}, 1e-2, step));
    }
    for (int i = 0; i < 3; i++) assert_true(fabs(w[i] - rw[i]) < 1e-5 * fabs(rw[i]));
}

/* Whatever is no finite number afterwards is told, wherever it stands. */
static void test_adam_tells_of_broken_numbers(void **state) {
    (void)state;
    enum { N = 1000 };
    static const float bad[] = {NAN, INFINITY, -INFINITY, 1e25f}; /* the last one's square is infinite */
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        static float w[N], m[N], v[N], g[N];
        for (size_t j = 0; j < N; j++) w[j] = 1, m[j] = v[j] = 0, g[j] = 0.1f;
        assert_true(mq_adam_step(&(mq_adam_block){w, m, v, g, N}, 1e-3, 1));
        g[N - 1 - i] = bad[i];
        assert_false(mq_adam_step(&(mq_adam_block){w, m, v, g, N}, 1e-3, 2));
    }
    float w[] = {1}, m[] = {0}, v[] = {0}, g[] = {1};
    assert_false(mq_adam_step(&(mq_adam_block){w, m, v, g, 1}, 1e39, 1));
}

static double loss_of(mq_head_trainer *t, const float *x, const uint32_t *labels, size_t n) {
    mq_err err = {0};
    double sum = 0;
    assert_ok(err, mq_head_forward(&err, t->head, t->work, x, labels, n));
    for (size_t i = 0; i < n; i++) sum += (double)t->work->loss[i];
    return sum / (double)n;
}

/* The gradient of n rows, which t holds, is that of two rows and the others; so is dinput, each of its own.
 */
static void check_slices(mq_head_trainer *t, const float *x, const uint32_t *labels, size_t n) {
    mq_err err = {0};
    const size_t features = t->head->features;
    float *whole = malloc(t->head->count * sizeof *whole), *dinput = malloc(n * features * sizeof *dinput);
    memcpy(dinput, t->dinput, n * features * sizeof *dinput);
    memcpy(whole, t->grad, t->head->count * sizeof *whole);
    const mq_slice first = {x, {.first = labels}, 2, n, 0},
                   rest = {x + 2 * features, {.first = labels + 2}, n - 2, n, 2};
    assert_ok(err, mq_head_gradient(&err, t, &first));
    for (size_t i = 0; i < 2 * features; i++) assert_true(fabsf(t->dinput[i] - dinput[i]) < 1e-6f);
    assert_ok(err, mq_head_gradient(&err, t, &rest));
    for (size_t i = 2 * features; i < n * features; i++)
        assert_true(fabsf(t->dinput[i - 2 * features] - dinput[i]) < 1e-6f);
    for (size_t i = 0; i < t->head->count; i++) assert_true(fabsf(t->grad[i] - whole[i]) < 1e-6f);
    free(whole), free(dinput);
}

/* The whole classifier's gradient against central differences. */
static void check_gradient(mq_head_kind kind) {
    enum { N = 5, FEATURES = 7, CLASSES = 4, H = MQ_HEAD_HIDDEN };
    mq_err err = {0};
    mq_head *head = NULL;
    mq_head_trainer *t = NULL;
    float x[N * FEATURES];
    const uint32_t labels[N] = {0, 3, 1, 1, 2};
    for (size_t i = 0; i < N * FEATURES; i++) x[i] = draw(i);
    assert_ok(err, mq_head_create(&err, kind, FEATURES, CLASSES, &head));
    mq_head_init(head, 5);
    for (size_t i = 0; head->mean && i < FEATURES; i++) head->mean[i] = 0.1f, head->scale[i] = 1.5f;
    assert_ok(err, mq_head_trainer_create(&err, head, N, &t));
    t->thawed = true;
    assert_ok(err, mq_head_gradient(&err, t, &(mq_slice){x, {.first = labels}, N, N, 0}));
    size_t checked = 0;
    for (size_t i = 0; i < N * FEATURES; i++) {
        const float kept = x[i], step = 1e-3f;
        x[i] = kept + step;
        const double up = loss_of(t, x, labels, N);
        x[i] = kept - step;
        const double down = loss_of(t, x, labels, N);
        x[i] = kept;
        const double numeric = (up - down) / (2 * (double)step);
        assert_true(fabs(numeric - (double)t->dinput[i]) < 3e-4 + 5e-3 * fabs(numeric));
    }
    for (size_t i = 0; i < head->count; i += 1 + head->count / 97) {
        const float kept = head->params[i], step = 1e-3f;
        head->params[i] = kept + step;
        const double up = loss_of(t, x, labels, N);
        head->params[i] = kept - step;
        const double down = loss_of(t, x, labels, N);
        head->params[i] = kept;
        const double numeric = (up - down) / (2 * (double)step);
        assert_true(fabs(numeric - (double)t->grad[i]) < 1e-4 + 5e-3 * fabs(numeric));
        checked += fabs(numeric) > 1e-4;
    }
    assert_true(checked > 5);
    check_slices(t, x, labels, N);
    mq_head_trainer_free(&t);
    mq_head_free(&head);
}

static void test_gradient_1024(void **state) {
    (void)state;
    check_gradient(MQ_HEAD_1024);
}

static void test_gradient_linear(void **state) {
    (void)state;
    check_gradient(MQ_HEAD_LINEAR);
}

/* Weights, smoothing and mixed labels reach the gradient, slice by slice as at once. */
static void test_gradient_targets(void **state) {
    (void)state;
    enum { N = 5, FEATURES = 7, CLASSES = 4 };
    mq_err err = {0};
    mq_head *head = NULL;
    mq_head_trainer *t = NULL;
    float x[N * FEATURES], whole[MQ_HEAD_HIDDEN], losses[N];
    const uint32_t first[N] = {0, 3, 1, 1, 2}, second[N] = {1, 0, 2, 1, 3};
    const float share[N] = {0.25f, 0.75f, 1, 0.5f, 0}, weights[CLASSES] = {0.5f, 2, 1, 3};
    const mq_labels labels = {first, second, share};
    for (size_t i = 0; i < N * FEATURES; i++) x[i] = draw(i);
    assert_ok(err, mq_head_create(&err, MQ_HEAD_LINEAR, FEATURES, CLASSES, &head));
    mq_head_init(head, 5);
    assert_ok(err, mq_head_trainer_create(&err, head, N, &t));
    t->weights = weights;
    t->smoothing = 0.1f;
    assert_ok(err, mq_head_gradient(&err, t, &(mq_slice){x, labels, N, N, 0}));
    memcpy(whole, t->grad, head->count * sizeof *whole);
    memcpy(losses, t->work->loss, sizeof losses);
    /* The last layer's bias gets the column sums of p W - target, whose rows' targets sum to their weight W.
     */
    const mq_head_parts g = mq_head_split(head, t->grad);
    for (size_t j = 0; j < CLASSES; j++) {
        double sum = 0;
        for (size_t i = 0; i < N; i++) {
            const double a = (double)share[i] * (double)weights[first[i]];
            const double b = (1 - (double)share[i]) * (double)weights[second[i]];
            sum += (a + b) * ((double)t->work->p[i * CLASSES + j] - 0.1 / CLASSES) -
                   0.9 * (a * (j == first[i]) + b * (j == second[i]));
        }
        assert_true(fabs(sum / N - (double)g.b2[j]) < 1e-6);
    }
    for (size_t at = 0; at < N; at += 2) {
        const size_t n = N - at < 2 ? N - at : 2;
        const mq_slice s = {x + at * FEATURES, mq_labels_from(&labels, at), n, N, at};
        assert_ok(err, mq_head_gradient(&err, t, &s));
        for (size_t i = 0; i < n; i++) assert_true(t->work->loss[i] == losses[at + i]);
    }
    for (size_t i = 0; i < head->count; i++) assert_true(fabsf(t->grad[i] - whole[i]) < 1e-6f);
    mq_head_trainer_free(&t);
    mq_head_free(&head);
}

static void test_head_learns(void **state) {
    (void)state;
    enum { N = 30, FEATURES = 6, CLASSES = 3 };
    mq_err err = {0};
    mq_head *head = NULL;
    mq_head_trainer *t = NULL;
    float x[N * FEATURES];
    uint32_t labels[N];
    for (size_t i = 0; i < N; i++) {
        labels[i] = (uint32_t)(i % CLASSES);
        for (size_t j = 0; j < FEATURES; j++)
            x[i * FEATURES + j] = draw(i * FEATURES + j) + (j == labels[i] ? 2 : 0);
    }
    assert_ok(err, mq_head_create(&err, MQ_HEAD_1024, FEATURES, CLASSES, &head));
    mq_head_init(head, 1);
    assert_ok(err, mq_head_trainer_create(&err, head, N, &t));
    const double before = loss_of(t, x, labels, N);
    for (int i = 0; i < 60; i++) {
        assert_ok(err, mq_head_gradient(&err, t, &(mq_slice){x, {.first = labels}, N, N, 0}));
        assert_ok(err, mq_head_update(&err, t, 1e-2));
    }
    assert_true(before > 0.8 && loss_of(t, x, labels, N) < 0.05);
    mq_head_trainer_free(&t);
    mq_head_free(&head);
}

/* What is computed with is what a run's files say, or a run that goes on would compute with other numbers. */
static void test_nine_digits(void **state) {
    (void)state;
    mq_err err = {0};
    mq_stage stages[MQ_STAGES_MAX], again[MQ_STAGES_MAX];
    size_t count;
    char *text = NULL;
    const mq_stages_words fine = {.stages = "head:1@3.1622776601683794e-4"};
    assert_ok(err, mq_stages_parse(&err, &fine, stages, &count));
    assert_ok(err, mq_stages_text(&err, stages, count, &text));
    assert_ok(err, mq_stages_parse(&err, &(mq_stages_words){.stages = text}, again, &count));
    assert_true(stages[0].lr == again[0].lr && fabs(stages[0].lr / 3.1622776601683794e-4 - 1) < 1e-9);
    free(text);
    struct {
        double share;
    } options = {0};
    static const mq_option table[] = {{.name = "share", .kind = MQ_OPTION_REAL, .min = 0, .max = 1}, {0}};
    assert_ok(err, mq_options_set(&err, table, &options, "--", "share", "0.8333333333333334"));
    assert_true(options.share == 0.833333333);
}

static void test_stages(void **state) {
    (void)state;
    mq_err err = {0};
    mq_stage stages[MQ_STAGES_MAX];
    size_t count;
    char *text = NULL;
    assert_ok(err, mq_stages_parse(&err, &(mq_stages_words){.stages = "head:7@1e-2,head:3"}, stages, &count));
    assert_true(count == 2 && stages[0].epochs == 7 && stages[0].lr == 1e-2 && stages[1].lr == 1e-3);
    assert_ok(err, mq_stages_parse(&err, &(mq_stages_words){"head,head", "9", "1e-4,2e-4", MQ_BN_AUTO},
                                   stages, &count));
    assert_true(stages[0].epochs == 20 && stages[1].epochs == 9 && stages[0].lr == 1e-4 &&
                stages[1].lr == 2e-4);
    assert_ok(err, mq_stages_text(&err, stages, count, &text));
    assert_string_equal(text, "head:20@0.0001,head:9@0.0002");
    free(text);
    assert_ok(err, mq_stages_parse(&err, &(mq_stages_words){.stages = "head,block9+/stored,all:3@1e-5"},
                                   stages, &count));
    assert_true(count == 3 && !stages[0].batch_statistics && !stages[1].batch_statistics &&
                stages[2].batch_statistics);
    assert_true(stages[1].epochs == 5 && stages[1].lr == 1e-4);
    assert_ok(err, mq_stages_text(&err, stages, count, &text));
    assert_string_equal(text, "head:20@0.001,block9+:5@0.0001/stored,all:3@1e-05/train");
    free(text);
    assert_ok(err, mq_stages_parse(
                       &err, &(mq_stages_words){.stages = "head,block9+/train,all/train", .bn = MQ_BN_STORED},
                       stages, &count));
    assert_true(!stages[0].batch_statistics && !stages[1].batch_statistics && !stages[2].batch_statistics);
    static const struct {
        const char *stages, *epochs;
        mq_status wanted;
    } bad[] = {{"head:0@1e-3", NULL, MQ_USAGE}, {"head@x", NULL, MQ_USAGE},   {"", NULL, MQ_USAGE},
               {"head", "1,2", MQ_USAGE},       {"head:2.5", NULL, MQ_USAGE}, {"head/train", NULL, MQ_USAGE},
               {"all/on", NULL, MQ_USAGE},      {":5", NULL, MQ_USAGE},       {"head:5@-1", NULL, MQ_USAGE},
               {"foo", NULL, MQ_USAGE},         {"+", NULL, MQ_USAGE}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        mq_err one = {0};
        assert_int_equal(mq_stages_parse(&one,
                                         &(mq_stages_words){bad[i].stages, bad[i].epochs, NULL, MQ_BN_AUTO},
                                         stages, &count),
                         bad[i].wanted);
    }
}

/* 10 pictures to train on and 4 others; the frozen part takes a second for each. */
static void test_seconds(void **state) {
    (void)state;
    const mq_trunk_cost off = {.frozen = 1}, empty = {.frozen = 1, .views = 2, .disk = 100};
    mq_trunk_cost cost = empty;
    assert_true(mq_trunk_seconds(&off, 1, 10, 4) == 14 && mq_trunk_seconds(&off, 3, 10, 4) == 42);
    /* An epoch draws one view of each picture, and later ones no third. */
    assert_true(mq_trunk_seconds(&empty, 1, 10, 4) == 14 && mq_trunk_seconds(&empty, 3, 10, 4) == 24);
    cost.held = 75;
    assert_true(mq_trunk_seconds(&cost, 3, 10, 4) == 6);
    cost.held = 100;
    assert_true(mq_trunk_seconds(&cost, 3, 10, 4) == 0);
    cost.views = 0; /* the validation part alone is kept */
    assert_true(mq_trunk_seconds(&cost, 3, 10, 4) == 30);
    cost = empty, cost.passes = 2, cost.validation = 0.5;
    assert_true(mq_trunk_seconds(&cost, 1, 10, 4) == 24 + 10 + 2);
    cost = off, cost.passes = 2;
    assert_true(mq_trunk_seconds(&cost, 1, 10, 4) == 34);
    cost = (mq_trunk_cost){.thawed = 2, .head = 1, .validation = 0.5};
    assert_true(mq_trunk_seconds(&cost, 2, 10, 4) == 2 * (30 + 2));
}

/* No two classes have one line, whatever their folders are called. */
static void test_labels(void **state) {
    (void)state;
    static const char *const names[] = {"a b", "a\nb", "a\\nb", "\"a\\nb\"", "K\xc3\xa4", "K\xe4", "{"};
    mq_err err = {0};
    mq_run *run = NULL;
    mq_json *config = NULL;
    mq_buf labels = mq_buf_init(4096);
    char folder[PLACE], path[512];
    assert_true(temporary_folder(folder));
    for (uint32_t i = 0; i < 2 * sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "%s/pictures/%s", folder, names[i / 2]);
        assert_ok(err, mq_make_folder(&err, path));
        snprintf(path, sizeof path, "%s/pictures/%s/%u.png", folder, names[i / 2], i);
        write_noise(path, 8, 8, i + 1);
    }
    mq_dataset *dataset = import_set(folder, (mq_import_plan){.shard_mb = 2});
    snprintf(path, sizeof path, "%s/run", folder);
    assert_ok(err, mq_run_create(&err, path, NULL, "set", "network", &run));
    assert_ok(err, mq_json_pack(&err, &config, "{}"));
    assert_ok(err, mq_run_describe(&err, run, config, dataset));
    snprintf(path, sizeof path, "%s/run/labels.txt", folder);
    assert_ok(err, mq_file_read(&err, path, &labels));
    assert_ok(err, mq_buf_add(&err, &labels, "", 1));
    assert_string_equal((char *)labels.data, "\"\\\"a\\\\nb\\\"\"\n" /* begins as JSON does */
                                             "K\xc3\xa4\n"
                                             "{\"bytes\": \"4be4\"}\n"
                                             "\"a\\nb\"\n"
                                             "a b\n"
                                             "a\\nb\n"
                                             "\"{\"\n");
    mq_buf_free(&labels);
    mq_json_free(&config);
    mq_run_free(&run);
    remove_set(folder, &dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_wilson),
        cmocka_unit_test(test_auc_is_close_to_tensorflow),
        cmocka_unit_test(test_top_k),
        cmocka_unit_test(test_adam),
        cmocka_unit_test(test_adam_tells_of_broken_numbers),
        cmocka_unit_test(test_gradient_1024),
        cmocka_unit_test(test_gradient_linear),
        cmocka_unit_test(test_gradient_targets),
        cmocka_unit_test(test_head_learns),
        cmocka_unit_test(test_nine_digits),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
