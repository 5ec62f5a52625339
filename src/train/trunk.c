/* trunk.c: one stage's network below the classifier. Called by train.c. Owns
 * the programs, feeds and optimizer slots of the stage. Invariant: the thawed
 * part's input is the frozen part's output to the last bit, from the cache or not. */
#include "train/trunk.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"
#include "net/tensors.h"
#include "train/adam.h"
#include "train/feed.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { PROGRAM_BATCH = 16, MEASURED = 4, SMALL = 8, SPLITS = 2 };

struct mq_trunk {
    mq_trunk_plan plan;
    const char *boundary; /* node between both parts; NULL: all is frozen. Borrowed from graph */
    size_t boundary_index;
    size_t width;                /* numbers of its tensor */
    char first[MQ_STAGE_NAME];   /* the lowest thawed block */
    char hash[MQ_HASH_HEX_SIZE]; /* of the frozen part */
    mq_graph *graph;
    mq_program *frozen;     /* NULL: nothing is frozen */
    mq_program *rest;       /* the thawed part in use, in the room of: */
    mq_trainable *thawed;   /* NULL: nothing is thawed, and rest is NULL */
    mq_feed *feeds[SPLITS]; /* MQ_TRAIN, MQ_VAL; NULL: the part is empty */
    mq_split filling;       /* whose pass it is, and whose cache may be filled */
    float *features;        /* [batch or MQ_VALIDATION_ROWS, arch->features] of the thawed part */
    float *m, *v;           /* [mq_trainable_count] */
};

/* What is thawed lies in the plan's weights once, where it is trained; or back there. */
static void move_weights(const mq_trunk *t, bool back) {
    mq_trainable_tensor tensor;
    for (int moving = 0; t->thawed && moving < 2; moving++)
        for (size_t i = 0; mq_trainable_tensor_at(t->thawed, moving, i, &tensor); i++) {
            float *const block = moving ? mq_trainable_moving(t->thawed) : mq_trainable_params(t->thawed);
            char name[256];
            snprintf(name, sizeof name, "%s/%s", tensor.layer, tensor.param);
            mq_bundle_move(t->plan.weights, name, back ? NULL : block + tensor.at);
        }
}

void mq_trunk_free(mq_trunk **trunk) {
    mq_trunk *t = *trunk;
    if (!t) return;
    for (size_t i = 0; i < SPLITS; i++) mq_feed_free(&t->feeds[i]);
    mq_program_free(&t->frozen);
    mq_program_free(&t->rest);
    free(t->features);
    free(t->m);
    free(t->v);
    move_weights(t, true); /* when there is room again */
    mq_trainable_free(&t->thawed);
    mq_graph_free(&t->graph);
    free(t);
    *trunk = NULL;
}

/* Where the stage cuts the network. */
static mq_status find_boundary(mq_err *err, mq_trunk *t) {
    mq_status status = MQ_OK;
    MQ_TRY(t->plan.arch->build(err, t->plan.recipe->imgsz, &t->graph));
    t->boundary_index = mq_graph_size(t->graph) - 1;
    if (!mq_stage_is_head(t->plan.stage)) {
        if (!mq_stage_block(t->plan.stage, t->first))
            snprintf(t->first, sizeof t->first, "%s", mq_graph_node(t->graph, 0)->block);
        MQ_TRY(mq_graph_boundary(err, t->graph, t->first, &t->boundary_index));
        t->boundary = mq_graph_node(t->graph, t->boundary_index)->name;
    }
    const mq_shape s = mq_graph_node(t->graph, t->boundary_index)->shape;
    t->width = s.h * s.w * s.c;
cleanup:
    return status;
}

static mq_program_plan program_of(const mq_trunk *t) {
    return (mq_program_plan){.size = sizeof(mq_program_plan),
                             .arch = t->plan.arch,
                             .weights = t->plan.weights,
                             .prefix = "",
                             .imgsz = t->plan.recipe->imgsz,
                             .batch = PROGRAM_BATCH,
                             .dtype = t->plan.dtype};
}

static mq_trainable_plan trainable_of(const mq_trunk *t, const mq_trunk_plan *plan) {
    return (mq_trainable_plan){.size = sizeof(mq_trainable_plan),
                               .arch = plan->arch,
                               .weights = plan->weights,
                               .prefix = "",
                               .imgsz = plan->recipe->imgsz,
                               .batch = plan->batch,
                               .dtype = plan->dtype,
                               .first = t->first,
                               .batch_statistics = plan->stage->batch_statistics};
}

static mq_status make_programs(mq_err *err, mq_trunk *t) {
    mq_status status = MQ_OK;
    mq_program_plan frozen = program_of(t), rest = program_of(t);
    MQ_TRY(find_boundary(err, t));
    frozen.output = rest.input = t->boundary;
    if (t->boundary_index > 0) MQ_TRY(mq_program_create(err, &frozen, &t->frozen));
    if (!t->boundary) return MQ_OK;
    const mq_trainable_plan plan = trainable_of(t, &t->plan);
    MQ_TRY(mq_trainable_create(err, &plan, &t->thawed));
    rest.room = mq_trainable_room(t->thawed, &rest.room_size);
    MQ_TRY(mq_program_create(err, &rest, &t->rest));
cleanup:
    return status;
}

static void tell_filling(void *user, size_t done, size_t total, double seconds, double waited) {
    const mq_trunk *t = user;
    if (t->plan.progress) t->plan.progress(t->plan.user, t->filling, done, total, seconds, waited);
}

static bool stop_filling(void *user) {
    const mq_trunk *t = user;
    return t->plan.stop && t->plan.stop(t->plan.user);
}

static mq_features_plan features_of(mq_trunk *t, mq_split split) {
    const mq_trunk_plan *plan = &t->plan;
    const bool train = split == MQ_TRAIN;
    return (mq_features_plan){.size = sizeof(mq_features_plan),
                              .dataset = plan->dataset,
                              .split = train ? MQ_TRAIN : plan->parts->val_split,
                              .subset = train ? plan->parts->train : plan->parts->val,
                              .count = train ? plan->parts->train_count : plan->parts->val_count,
                              .flips = train,
                              .recipe = plan->recipe,
                              .program = t->frozen,
                              .weights_hash = t->hash,
                              .width = t->width,
                              .dtype = plan->dtype,
                              .batch = PROGRAM_BATCH,
                              .workers = plan->workers,
                              .ahead = train ? plan->ahead : 0,
                              .skipped = plan->skipped,
                              .stop = stop_filling,
                              .progress = tell_filling,
                              .user = t};
}

/* Whether training shows pictures mirrored, too. */
static bool flips(const mq_trunk *t) {
    return mq_augment_flips(t->plan.stage->augment);
}

/* Whether the tensors of a part may be kept: training pictures only where each has no more than two views. */
static bool is_cached(const mq_trunk *t, mq_split split) {
    const mq_augment *augment = split == MQ_TRAIN ? t->plan.stage->augment : NULL;
    return t->plan.cache && t->boundary_index > 0 && (!augment || mq_augment_cacheable(augment));
}

static mq_status open_feeds(mq_err *err, mq_trunk *t) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_tensors_hash(err, t->graph, t->plan.weights, t->boundary_index, t->hash));
    for (mq_split split = MQ_TRAIN; split <= MQ_VAL; split++) {
        const mq_features_plan features = features_of(t, split);
        if (features.count) MQ_TRY(mq_feed_open(err, &features, is_cached(t, split), &t->feeds[split]));
    }
cleanup:
    return status;
}

static mq_status create(mq_err *err, const mq_trunk_plan *plan, mq_trunk **trunk) {
    mq_status status = MQ_OK;
    mq_trunk *t = NULL;
    const size_t rows = plan->batch > MQ_VALIDATION_ROWS ? plan->batch : MQ_VALIDATION_ROWS;
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a trunk plan of %zu bytes", plan->size);
    MQ_TRY(mq_calloc(err, 1, sizeof *t, "the network", &t));
    t->plan = *plan;
    MQ_TRY(make_programs(err, t));
    if (t->thawed) {
        MQ_TRY(mq_alloc_aligned(err, rows * plan->arch->features, sizeof *t->features, "features",
                                &t->features));
        MQ_TRY(mq_calloc(err, mq_trainable_count(t->thawed), sizeof *t->m, "Adam's moments", &t->m));
        MQ_TRY(mq_calloc(err, mq_trainable_count(t->thawed), sizeof *t->v, "Adam's moments", &t->v));
    }
    *trunk = t;
    t = NULL;
cleanup:
    mq_trunk_free(&t);
    return status;
}

mq_status mq_trunk_open(mq_err *err, const mq_trunk_plan *plan, mq_trunk **trunk) {
    mq_status status = create(err, plan, trunk);
    if (status == MQ_OK) status = open_feeds(err, *trunk);
    if (status == MQ_OK) move_weights(*trunk, false);
    if (status != MQ_OK) mq_trunk_free(trunk);
    return status;
}

/* Seconds a picture of a program on grey tensors: two for each thread, after one to warm up. */
static mq_status time_program(mq_err *err, mq_program *program, const float *in, float *out,
                              double *seconds) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    const size_t n = threads < PROGRAM_BATCH / 2 ? threads : PROGRAM_BATCH / 2;
    MQ_TRY(mq_program_run(err, program, in, n, out));
    const double start = mq_seconds();
    MQ_TRY(mq_program_run(err, program, in, 2 * n, out));
    *seconds = (mq_seconds() - start) / (double)(2 * n);
cleanup:
    return status;
}

static mq_status time_training(mq_err *err, mq_trunk *t, const float *in, double *seconds) {
    mq_status status = MQ_OK;
    const size_t n = t->plan.batch < MEASURED ? t->plan.batch : MEASURED;
    for (int round = 0; round < 2; round++) {
        const double start = mq_seconds();
        MQ_TRY(mq_trainable_forward(err, t->thawed, in, n, t->features));
        MQ_TRY(mq_trainable_backward(err, t->thawed, t->features, false));
        *seconds = (mq_seconds() - start) / (double)n;
        MQ_REQUIRE(!stop_filling(t), err, MQ_INTERRUPTED, "stopped before the run began");
    }
cleanup:
    return status;
}

/* What the thawed part takes for more pictures than it was made for: for the whole batch, or for a slice. */
static void count_rows(const mq_trunk *t, const mq_trunk_plan *plan, mq_trunk_cost *cost) {
    const mq_trainable_plan whole = trainable_of(t, plan);
    const size_t rows = mq_trainable_rows_of(&whole), made = mq_trainable_rows(t->thawed);
    const size_t picture = mq_trainable_memory_picture(t->thawed);
    if (rows == plan->batch) {
        cost->memory_picture += picture;
        cost->memory -= made * picture;
    } else {
        cost->memory += (rows - made) * picture;
    }
}

MQ_MUST_USE static mq_status count_disk(mq_err *err, mq_trunk *t, mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    for (mq_split split = MQ_TRAIN; split <= MQ_VAL; split++) {
        mq_features_plan features = features_of(t, split);
        uint64_t held;
        if (!is_cached(t, split)) continue;
        if (!t->hash[0]) MQ_TRY(mq_tensors_hash(err, t->graph, t->plan.weights, t->boundary_index, t->hash));
        features.flips = split == MQ_TRAIN && flips(t);
        const uint64_t whole = mq_features_bytes(&features);
        MQ_TRY(mq_features_held(err, &features, &held));
        cost->disk += whole;
        cost->held += held < whole ? held : whole;
    }
cleanup:
    return status;
}

/* Of the plan, from a trunk made for fewer pictures. */
static void count_cost(mq_trunk *t, const mq_trunk_plan *plan, mq_trunk_cost *cost) {
    cost->views = is_cached(t, MQ_TRAIN) ? 1 + flips(t) : 0;
    if (t->frozen) cost->memory += mq_program_memory(t->frozen);
    if (t->rest) cost->memory += mq_program_memory(t->rest);
    /* A picture's place in the batch that is fed, and in the loader's three where they are read in every
     * epoch, and in the mixed one. There is one loader at a time. */
    const size_t pixels = (size_t)plan->recipe->imgsz * plan->recipe->imgsz * 3;
    const mq_mix_rule mix = plan->stage->augment ? mq_augment_mix(plan->stage->augment) : (mq_mix_rule){0};
    const size_t batches = cost->views ? 0 : mq_mix_wanted(&mix) ? 4 : 3;
    const size_t fed = (t->boundary_index ? t->width : 0) * sizeof(float);
    cost->memory_picture = fed + batches * pixels * sizeof(float);
    cost->memory += MQ_VALIDATION_ROWS * fed;
    if (t->thawed) {
        cost->params = mq_trainable_count(t->thawed);
        /* Adam's moments; parameters are moved from the plan's weights. */
        cost->memory += mq_trainable_memory(t->thawed) + 2 * cost->params * sizeof(float);
        cost->memory -= cost->params * sizeof(float);
        count_rows(t, plan, cost);
    }
    cost->memory += plan->batch * cost->memory_picture;
}

mq_status mq_trunk_describe(mq_err *err, const mq_trunk_plan *plan, mq_buf *text) {
    mq_status status = MQ_OK;
    mq_trunk *t = NULL;
    MQ_TRY(create(err, plan, &t));
    if (t->thawed) MQ_TRY(mq_trainable_describe(err, t->thawed, text));
cleanup:
    mq_trunk_free(&t);
    return status;
}

static mq_status time_all(mq_err *err, mq_trunk *t, mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    float *in = NULL, *out = NULL;
    const size_t pixels = (size_t)t->plan.recipe->imgsz * t->plan.recipe->imgsz * 3;
    const size_t numbers = t->width > pixels ? t->width : pixels; /* of the larger end of either program */
    MQ_TRY(mq_calloc(err, PROGRAM_BATCH * numbers, sizeof *in, "pictures", &in));
    MQ_TRY(mq_calloc(err, PROGRAM_BATCH * numbers, sizeof *out, "pictures", &out));
    if (t->frozen) MQ_TRY(time_program(err, t->frozen, in, out, &cost->frozen));
    if (t->rest) MQ_TRY(time_program(err, t->rest, in, out, &cost->validation));
    if (t->thawed) MQ_TRY(time_training(err, t, in, &cost->thawed));
cleanup:
    free(in);
    free(out);
    return status;
}

mq_status mq_trunk_measure(mq_err *err, const mq_trunk_plan *plan, bool timed, mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    mq_trunk *t = NULL;
    mq_trunk_plan small = *plan;
    *cost = (mq_trunk_cost){0};
    if (small.batch > SMALL) small.batch = SMALL;
    MQ_TRY(create(err, &small, &t));
    if (timed) MQ_TRY(time_all(err, t, cost));
    count_cost(t, plan, cost);
    MQ_TRY(count_disk(err, t, cost));
cleanup:
    mq_trunk_free(&t);
    return status;
}

double mq_trunk_seconds(const mq_trunk_cost *cost, double epochs, double train, double val) {
    const double passes = epochs + (double)cost->passes;
    const double missing = cost->disk ? 1 - (double)cost->held / (double)cost->disk : 1;
    const double frozen = train * (cost->views ? fmin((double)cost->views, passes) * missing : passes) +
                          val * (cost->disk ? missing : epochs);
    const double measured = train * (double)cost->passes * cost->validation;
    return cost->frozen * frozen + measured +
           epochs * (train * (cost->thawed + cost->head) + val * cost->validation);
}

/* As trained so far. */
static mq_status refresh_rest(mq_err *err, mq_trunk *t) {
    return t->rest ? mq_program_update(err, t->rest, t->plan.weights) : MQ_OK;
}

mq_status mq_trunk_begin(mq_err *err, mq_trunk *t, mq_split split, const mq_feed_pass *pass) {
    mq_status status = MQ_OK;
    mq_feed_pass all = *pass;
    all.rows = split == MQ_VAL ? MQ_VALIDATION_ROWS : t->plan.batch;
    if (split == MQ_VAL) MQ_TRY(refresh_rest(err, t));
    t->filling = split;
    MQ_TRY(mq_feed_begin(err, t->feeds[split], &all));
cleanup:
    return status;
}

mq_status mq_trunk_next(mq_err *err, mq_trunk *t, mq_split split, const float **x, mq_labels *labels,
                        size_t *n) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_feed_next(err, t->feeds[split], x, labels, n));
    if (!*n || !t->thawed) return MQ_OK;
    if (split == MQ_TRAIN) return MQ_OK;
    MQ_TRY(mq_program_run(err, t->rest, *x, *n, t->features));
    *x = t->features;
cleanup:
    return status;
}

size_t mq_trunk_taken(const mq_trunk *t, mq_split split) {
    return mq_feed_taken(t->feeds[split]);
}

mq_status mq_trunk_gradients(mq_err *err, mq_trunk *t, mq_step_plan step, const float *x,
                             const mq_labels *labels, size_t n) {
    step.thawed = t->thawed;
    step.features = t->features;
    return mq_step_gradients(err, &step, x, labels, n);
}

bool mq_trunk_thawed(const mq_trunk *t) {
    return t->thawed != NULL;
}

const char *mq_trunk_bad_layer(const mq_trunk *t) {
    return t->thawed ? mq_trainable_bad_layer(t->thawed) : NULL;
}

mq_status mq_trunk_step(mq_err *err, mq_trunk *t, double lr, uint64_t step) {
    mq_status status = MQ_OK;
    const mq_adam_block block = {mq_trainable_params(t->thawed), t->m, t->v, mq_trainable_grads(t->thawed),
                                 mq_trainable_count(t->thawed)};
    if (!mq_adam_step(&block, lr, step) || !mq_trainable_statistics_finite(t->thawed)) {
        const char *layer = mq_trunk_bad_layer(t);
        MQ_REQUIRE(false, err, MQ_BAD_DATA,
                   "training has come apart: the numbers of layer %s are not finite after step %llu; begin "
                   "another run "
                   "with a lower learning rate than %g",
                   layer ? layer : "?", (unsigned long long)step, lr);
    }
    MQ_TRY(mq_trainable_changed(err, t->thawed));
cleanup:
    return status;
}

size_t mq_trunk_slots(const mq_trunk *t, float **m, float **v) {
    *m = t->m;
    *v = t->v;
    return t->thawed ? mq_trainable_count(t->thawed) : 0;
}

/* Adds the features of one pass over the training part, all mirrored or none, to the sums [2, width], and
 * their number to *count. */
static mq_status add_pass(mq_err *err, mq_trunk *t, const uint8_t *flips, double *sums, size_t *count) {
    mq_status status = MQ_OK;
    const size_t width = t->plan.arch->features;
    const float *x;
    mq_labels labels;
    size_t n;
    t->filling = MQ_TRAIN;
    MQ_TRY(mq_feed_begin(
        err, t->feeds[MQ_TRAIN],
        &(mq_feed_pass){.flips = flips, .count = t->plan.parts->train_count, .rows = MQ_VALIDATION_ROWS}));
    for (;;) {
        MQ_TRY(mq_feed_next(err, t->feeds[MQ_TRAIN], &x, &labels, &n));
        if (!n) break;
        MQ_REQUIRE(!stop_filling(t), err, MQ_INTERRUPTED, "stopped while the features were measured");
        if (t->rest) {
            MQ_TRY(mq_program_run(err, t->rest, x, n, t->features));
            x = t->features;
        }
        for (size_t i = 0; i < n * width; i++) {
            sums[i % width] += (double)x[i];
            sums[width + i % width] += (double)x[i] * (double)x[i];
        }
        *count += n;
    }
cleanup:
    return status;
}

/* From sums and sums of squares [2, width] over n rows. What hardly varies in training, as when one picture
 * in hundreds shows it, would drown all else where it varies later: no variance counts as less than a
 * hundredth of their mean. */
static void set_scales(const double *sums, double n, size_t width, float *mean, float *scale) {
    const double least = 0.01;
    double all = 0;
    for (size_t j = 0; j < width; j++) {
        const double m = sums[j] / n;
        mean[j] = (float)m;
        all += fmax(0, sums[width + j] / n - m * m);
    }
    for (size_t j = 0; j < width; j++) {
        const double m = sums[j] / n, variance = sums[width + j] / n - m * m,
                     counted = fmax(variance, least * all / (double)width);
        scale[j] = counted > 1e-12 ? (float)(1 / sqrt(counted)) : 1;
    }
}

mq_status mq_trunk_statistics(mq_err *err, mq_trunk *t, float *mean, float *scale) {
    mq_status status = MQ_OK;
    const size_t width = t->plan.arch->features;
    double *sums = NULL; /* [2, width] */
    size_t count = 0;
    uint8_t *mirrored = NULL;
    MQ_TRY(mq_calloc(err, 2 * width, sizeof *sums, "statistics", &sums));
    MQ_TRY(mq_calloc(err, t->plan.parts->train_count, 1, "statistics", &mirrored));
    memset(mirrored, 1, t->plan.parts->train_count);
    MQ_TRY(refresh_rest(err, t));
    MQ_TRY(add_pass(err, t, NULL, sums, &count));
    if (flips(t)) MQ_TRY(add_pass(err, t, mirrored, sums, &count));
    MQ_REQUIRE(count, err, MQ_BAD_DATA, "%s: no picture of the training part can be read",
               mq_dataset_folder(t->plan.dataset));
    set_scales(sums, (double)count, width, mean, scale);
cleanup:
    free(sums);
    free(mirrored);
    return status;
}

double mq_trunk_waited(const mq_trunk *t) {
    return mq_feed_waited(t->feeds[MQ_TRAIN]);
}
