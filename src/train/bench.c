/* bench.c: runs a network's passes over made-up pictures and times them. Called by cmd_bench.c. Owns the
 * batch and the classifier while it runs. Invariant: a step is what training does with a batch that is there
 * already: forward pass, loss, backward pass, Adam, weights laid out again. */
#include "train/bench.h"

#include "base/clock.h"
#include "base/mem.h"
#include "train/adam.h"
#include "train/step.h"

/* As the published experiment has them; the classifier is 0.03 % of the arithmetic. */
enum { CLASSES = 196, SEED = 123, PROFILE_RUNS = 5, NORM_PASSES = 6 };

/* So small that made-up weights stay finite. */
static const double RATE = 1e-6;

/* Seconds of a forward step: one picture alone would say little on a busy machine. */
static const double STEP_LEAST = 0.25;

typedef struct {
    const mq_bench_plan *plan;
    mq_bench *bench;
    float *in, *features; /* [batch, boundary or picture], [batch, features] */
    uint32_t *labels;     /* [batch] */
    float *m, *v;         /* Adam's moments of the trunk */
    mq_head *head;
    mq_head_trainer *trainer;
    bool full; /* no memory for a layer's row */
} bench_state;

static mq_status make_network(mq_err *err, const mq_bench_plan *plan, mq_bench *bench) {
    const mq_trainable_plan trainable = {.size = sizeof trainable,
                                         .arch = plan->arch,
                                         .weights = *plan->weights,
                                         .prefix = plan->prefix,
                                         .imgsz = plan->imgsz,
                                         .batch = plan->batch,
                                         .dtype = plan->dtype,
                                         .first = plan->first,
                                         .batch_statistics = plan->batch_statistics};
    const mq_program_plan program = {.size = sizeof program,
                                     .arch = plan->arch,
                                     .weights = *plan->weights,
                                     .prefix = plan->prefix,
                                     .imgsz = plan->imgsz,
                                     .batch = plan->batch,
                                     .dtype = plan->dtype};
    return plan->train ? mq_trainable_create(err, &trainable, &bench->trainable)
                       : mq_program_create(err, &program, &bench->program);
}

static mq_status make_batch(mq_err *err, bench_state *s) {
    mq_status status = MQ_OK;
    const mq_bench_plan *plan = s->plan;
    const mq_shape picture = {plan->imgsz, plan->imgsz, 3};
    const mq_shape in = plan->train ? mq_trainable_input(s->bench->trainable) : picture;
    const size_t numbers = plan->batch * in.h * in.w * in.c;
    MQ_TRY(mq_alloc_aligned(err, numbers, sizeof *s->in, "pictures", &s->in));
    MQ_TRY(mq_alloc_aligned(err, plan->batch * plan->arch->features, sizeof *s->features, "features",
                            &s->features));
    for (size_t i = 0; i < numbers; i++) s->in[i] = (float)(i * 7919 % 511) / 255.0f - 1.0f;
    if (!plan->train) goto cleanup;
    const size_t count = mq_trainable_count(s->bench->trainable);
    MQ_TRY(mq_calloc(err, plan->batch, sizeof *s->labels, "labels", &s->labels));
    for (size_t i = 0; i < plan->batch; i++) s->labels[i] = (uint32_t)(i % CLASSES);
    MQ_TRY(mq_calloc(err, count, sizeof *s->m, "Adam's moments", &s->m));
    MQ_TRY(mq_calloc(err, count, sizeof *s->v, "Adam's moments", &s->v));
    MQ_TRY(mq_head_create(err, MQ_HEAD_1024, plan->arch->features, CLASSES, &s->head));
    mq_head_init(s->head, SEED);
    MQ_TRY(mq_head_trainer_create(err, s->head, plan->batch, &s->trainer));
    s->trainer->thawed = true;
    s->bench->memory = mq_trainable_memory(s->bench->trainable) + 2 * count * sizeof(float);
cleanup:
    return status;
}

static mq_status train_step(mq_err *err, bench_state *s) {
    mq_status status = MQ_OK;
    mq_trainable *t = s->bench->trainable;
    const size_t n = s->plan->batch;
    const mq_step_plan step = {.thawed = t, .head = s->trainer, .features = s->features};
    MQ_TRY(mq_step_gradients(err, &step, s->in, &(mq_labels){.first = s->labels}, n));
    MQ_TRY(mq_head_update(err, s->trainer, RATE));
    const mq_adam_block block = {mq_trainable_params(t), s->m, s->v, mq_trainable_grads(t),
                                 mq_trainable_count(t)};
    MQ_REQUIRE(mq_adam_step(&block, RATE, s->trainer->step), err, MQ_BAD_DATA,
               "training on these weights gives numbers that are not finite");
    MQ_TRY(mq_trainable_changed(err, t));
cleanup:
    return status;
}

static mq_status step(mq_err *err, bench_state *s) {
    return s->plan->train ? train_step(err, s)
                          : mq_program_run(err, s->bench->program, s->in, s->plan->batch, s->features);
}

static int by_size(const void *a, const void *b) {
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static mq_status time_steps(mq_err *err, bench_state *s) {
    mq_status status = MQ_OK;
    mq_bench *bench = s->bench;
    double peaks[MQ_BENCH_STEPS + 1];
    size_t turns = 1;
    for (size_t i = 0; i <= MQ_BENCH_STEPS; i++) { /* the first one warms up */
        const double start = mq_seconds();
        for (size_t turn = 0; turn < turns; turn++) MQ_TRY(step(err, s));
        const double took = (mq_seconds() - start) / (double)turns;
        if (i)
            bench->seconds[i - 1] = took;
        else if (!s->plan->train && took < STEP_LEAST)
            turns = (size_t)(STEP_LEAST / took) + 1;
        MQ_TRY(mq_peak_flops(err, s->plan->dtype, &peaks[i])); /* others' work slows both */
        MQ_REQUIRE(!s->plan->stop || !s->plan->stop(s->plan->user), err, MQ_INTERRUPTED, "stopped");
    }
    qsort(bench->seconds, MQ_BENCH_STEPS, sizeof *bench->seconds, by_size);
    qsort(peaks, MQ_BENCH_STEPS + 1, sizeof *peaks, by_size);
    bench->img_s = (double)s->plan->batch / bench->seconds[MQ_BENCH_STEPS / 2];
    bench->peak_flops = (peaks[MQ_BENCH_STEPS / 2] + peaks[(MQ_BENCH_STEPS + 1) / 2]) / 2;
cleanup:
    return status;
}

static void add_layer(void *user, const mq_measure *measure) {
    bench_state *s = user;
    mq_bench *b = s->bench;
    mq_err unused = {0};
    if (mq_grow(&unused, &b->layers, &b->layer_capacity, b->layer_count + 1, sizeof *b->layers) != MQ_OK) {
        s->full = true;
        return;
    }
    b->layers[b->layer_count++] = *measure;
}

static mq_status profile(mq_err *err, bench_state *s) {
    mq_status status = MQ_OK;
    mq_bench *b = s->bench;
    b->layer_pictures = s->plan->train ? mq_trainable_rows(b->trainable) : 1;
    const double pictures = (double)b->layer_pictures;
    if (s->plan->train)
        MQ_TRY(mq_trainable_profile(err, b->trainable, b->layer_pictures, add_layer, s));
    else
        MQ_TRY(mq_program_profile(err, b->program, PROFILE_RUNS, add_layer, s));
    MQ_REQUIRE(!s->full, err, MQ_NO_MEMORY, "no memory for the table of layers");
    for (size_t i = 0; i < b->layer_count; i++) {
        if (!b->layers[i].again) b->picture.flops += b->layers[i].work.flops / pictures;
        b->picture.bytes += b->layers[i].work.bytes / pictures;
    }
cleanup:
    return status;
}

/* Numbers that the thawed batch norms take in from a picture. */
static mq_status count_norms(mq_err *err, const mq_bench_plan *plan, double *numbers) {
    mq_status status = MQ_OK;
    mq_graph *graph = NULL;
    size_t boundary = 0;
    *numbers = 0;
    MQ_TRY(plan->arch->build(err, plan->imgsz, &graph));
    if (plan->first) MQ_TRY(mq_graph_boundary(err, graph, plan->first, &boundary));
    for (size_t i = boundary + 1; i < mq_graph_size(graph); i++) {
        const mq_node *node = mq_graph_node(graph, i);
        if (node->op == MQ_OP_BATCH_NORM) *numbers += (double)(node->shape.h * node->shape.w * node->shape.c);
    }
cleanup:
    mq_graph_free(&graph);
    return status;
}

static mq_status find_limit(mq_err *err, const mq_bench_plan *plan, mq_bench *bench) {
    mq_status status = MQ_OK;
    double norms = 0, seconds = bench->picture.flops / bench->peak_flops;
    if (plan->train && plan->batch_statistics) MQ_TRY(count_norms(err, plan, &norms));
    seconds += NORM_PASSES * norms * (double)mq_dtype_size(plan->dtype) / bench->bandwidth;
    bench->limit_img_s = 1 / seconds;
cleanup:
    return status;
}

mq_status mq_bench_run(mq_err *err, const mq_bench_plan *plan, mq_bench *bench) {
    mq_status status = MQ_OK;
    bench_state s = {.plan = plan, .bench = bench};
    *bench = (mq_bench){.memory = 0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a measuring plan of another version");
    MQ_TRY(mq_peak_flops(err, plan->dtype, &bench->peak_flops)); /* or none of it can be measured */
    MQ_TRY(mq_peak_bandwidth(err, &bench->bandwidth));
    MQ_TRY(make_network(err, plan, bench));
    mq_bundle_free(plan->weights);
    if (bench->program) bench->memory = mq_program_memory(bench->program);
    MQ_TRY(make_batch(err, &s));
    MQ_TRY(time_steps(err, &s));
    MQ_TRY(profile(err, &s));
    MQ_TRY(find_limit(err, plan, bench));
cleanup:
    mq_head_trainer_free(&s.trainer);
    mq_head_free(&s.head);
    free(s.in);
    free(s.features);
    free(s.labels);
    free(s.m);
    free(s.v);
    if (status != MQ_OK) mq_bench_free(bench);
    return status;
}

void mq_bench_free(mq_bench *bench) {
    mq_program_free(&bench->program);
    mq_trainable_free(&bench->trainable);
    free(bench->layers);
    *bench = (mq_bench){.memory = 0};
}
