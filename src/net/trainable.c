/* trainable.c: runs the phases that lower_train.c and lower_back.c made. Called
 * by training. Owns all memory of a trainable. Within a phase a thread takes
 * the next picture, part or sum until none is left. Invariant: no number
 * depends on which thread took what. */
#include "net/trainable_impl.h"

#include "net/program.h"
#include "net/quant.h"
#include "net/tensors.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"

#include <math.h>
#include <string.h>

/* Pictures of a slice where batch norms are stored: enough for as many threads; more would each find none. */
enum { SLICE = 8 };

static size_t copies(const mq_trainable *t, mq_each each) {
    return each == MQ_EACH_PICTURE ? t->batch : 1;
}

static bool by_channels(const mq_train_step *s) {
    return s->kind != MQ_STEP_KERNEL && s->kind != MQ_STEP_REDUCE && s->kind != MQ_STEP_OUTER;
}

size_t mq_train_run(const mq_trainable *t, const mq_train_loop *loop, size_t first) {
    const mq_train_step *s = &t->steps[first];
    const size_t left = loop->first + loop->count - first;
    size_t count = 1;
    while (t->blocks && by_channels(s) && count < left && count < MQ_RUN_MAX && by_channels(&s[count]) &&
           s[count].channels == s->channels)
        count++;
    return count;
}

/* The first step of each step's run. */
static void find_runs(const mq_trainable *t, size_t *run_of) {
    for (size_t i = 0; i < t->loop_count; i++) {
        const mq_train_loop *loop = &t->loops[i];
        for (size_t first = loop->first, count; first < loop->first + loop->count; first += count) {
            count = mq_train_run(t, loop, first);
            for (size_t k = 0; k < count; k++) run_of[first + k] = first;
        }
    }
}

/* Places of all buffers: those of the batch by phases, those of a worker by runs of steps. */
MQ_MUST_USE static mq_status place_tensors(mq_err *err, mq_trainable *t) {
    mq_status status = MQ_OK;
    mq_lifetime *items = NULL;
    size_t *run_of = NULL;
    MQ_TRY(mq_calloc(err, t->tensor_count, sizeof *items, "the memory plan", &items));
    MQ_TRY(mq_calloc(err, t->step_count, sizeof *run_of, "the memory plan", &run_of));
    find_runs(t, run_of);
    for (int worker = 0; worker < 2; worker++) {
        size_t count = 0;
        for (size_t i = 0; i < t->tensor_count; i++) {
            mq_tensor_place *p = &t->tensors[i];
            if ((p->each == MQ_EACH_WORKER) != (worker == 1)) continue;
            items[count] = p->lifetime;
            if (worker) {
                items[count].first = run_of[p->lifetime.first];
                items[count].last = run_of[p->lifetime.last];
            }
            MQ_REQUIRE(mq_mul(p->bytes, copies(t, p->each), &items[count++].bytes), err, MQ_NO_MEMORY,
                       "a batch of %zu pictures", t->batch);
        }
        MQ_TRY(mq_plan_memory(err, items, count, worker ? &t->worker_bytes : &t->arena_bytes));
        count = 0;
        for (size_t i = 0; i < t->tensor_count; i++)
            if ((t->tensors[i].each == MQ_EACH_WORKER) == (worker == 1))
                t->tensors[i].lifetime.offset = items[count++].offset;
    }
cleanup:
    free(items);
    free(run_of);
    return status;
}

/* Binds what never moves: a worker's own buffers and the weights. */
MQ_MUST_USE static mq_status make_worker(mq_err *err, const mq_trainable *t, mq_train_worker *w) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_dnn_beside(err, t->dnn, &w->dnn));
    MQ_TRY(mq_alloc_aligned(err, 1, t->worker_bytes, "a picture's tensors", &w->arena));
    MQ_TRY(mq_calloc(err, t->step_count, sizeof *w->calls, "training", &w->calls));
    for (size_t i = 0; i < t->step_count; i++) {
        const mq_train_step *step = &t->steps[i];
        if (step->kind != MQ_STEP_KERNEL) continue;
        MQ_TRY(mq_call_create(err, w->dnn, step->kernel, &w->calls[i]));
        if (step->laid != MQ_NONE)
            MQ_TRY(mq_call_bind(err, w->calls[i], MQ_SLOT_WEIGHTS, t->weights + t->laid[step->laid].at));
        for (mq_slot slot = 0; slot < MQ_SLOTS; slot++) {
            const size_t b = step->buffers[slot];
            if (b == MQ_NONE || t->tensors[b].each != MQ_EACH_WORKER) continue;
            MQ_TRY(mq_call_bind(err, w->calls[i], slot, w->arena + t->tensors[b].lifetime.offset));
        }
    }
cleanup:
    return status;
}

MQ_MUST_USE static mq_status build(mq_err *err, const mq_trainable_plan *plan, mq_trainable *t) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    t->worker_count = threads < t->batch ? threads : t->batch;
    MQ_TRY(mq_dnn_create(err, &t->dnn));
    MQ_TRY(plan->arch->build(err, plan->imgsz, &t->graph));
    MQ_TRY(mq_tensors_check(err, t->graph, plan->weights, plan->prefix));
    MQ_REQUIRE(!mq_quant_any(plan->weights), err, MQ_USAGE,
               "%s: holds 8-bit layers, which cannot be trained; take the model it was exported from",
               mq_bundle_path(plan->weights));
    const char *lowest = plan->first ? plan->first : mq_graph_node(t->graph, 0)->block;
    MQ_TRY(mq_graph_boundary(err, t->graph, lowest, &t->boundary));
    MQ_TRY(mq_masters_create(err, plan, t));
    MQ_TRY(mq_lower_train(err, t));
    for (size_t i = 0; i < t->norm_count; i++) {
        mq_norm *n = &t->norms[i];
        n->block = mq_train_block(t, n->channels);
        n->padded = mq_train_padded(t, n->channels);
    }
    MQ_TRY(place_tensors(err, t));
    const size_t scratch = t->worker_count * mq_masters_scratch(t);
    if (t->arena_bytes < scratch) t->arena_bytes = scratch;
    MQ_TRY(mq_alloc_aligned(err, 1, t->weights_bytes, "the weights", &t->weights));
    MQ_TRY(mq_alloc_aligned(err, 1, t->arena_bytes, "the batch's tensors", &t->arena));
    MQ_TRY(mq_calloc(err, t->worker_count, sizeof *t->workers, "training", &t->workers));
    for (size_t i = 0; i < t->worker_count; i++) MQ_TRY(make_worker(err, t, &t->workers[i]));
    MQ_TRY(mq_masters_lay_out(err, t, false));
cleanup:
    return status;
}

mq_status mq_trainable_create(mq_err *err, const mq_trainable_plan *plan, mq_trainable **trainable) {
    mq_status status = MQ_OK;
    mq_trainable *t = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch, err, MQ_INTERNAL, "a training plan of %zu bytes",
               plan->size);
    MQ_REQUIRE(plan->dtype == MQ_F32 || (plan->dtype == MQ_BF16 && mq_dnn_has_bf16()), err, MQ_UNAVAILABLE,
               "this processor (%s) has no avx512_bf16; use --dtype f32", mq_dnn_isa());
    MQ_REQUIRE(plan->imgsz >= plan->arch->imgsz_min, err, MQ_USAGE,
               "%s takes pictures from %u pixels up, not %u", plan->arch->name, plan->arch->imgsz_min,
               plan->imgsz);
    MQ_TRY(mq_calloc(err, 1, sizeof *t, "training", &t));
    t->dtype = plan->dtype;
    t->rows = mq_rows_kernels_of(plan->dtype);
    t->windows = mq_window_kernels_of(plan->dtype);
    t->mapped = mq_mapped_kernels_of(plan->dtype);
    t->outer = mq_outer_of(plan->dtype);
    t->batch_statistics = plan->batch_statistics;
    t->features = plan->arch->features;
    t->batch = mq_trainable_rows_of(plan);
    MQ_TRY(build(err, plan, t));
    *trainable = t;
    t = NULL;
cleanup:
    mq_trainable_free(&t);
    return status;
}

static void free_parts(mq_trainable *t) {
    for (size_t i = 0; t->workers && i < t->worker_count; i++) {
        mq_train_worker *w = &t->workers[i];
        for (size_t k = 0; w->calls && k < t->step_count; k++) mq_call_free(&w->calls[k]);
        free(w->calls);
        free(w->arena);
        mq_dnn_free(&w->dnn);
    }
    for (size_t i = 0; t->norms && i < t->norm_count; i++) mq_norm_free(&t->norms[i]);
    for (size_t i = 0; t->convs && i < t->conv_count; i++)
        for (size_t k = 0; k < 2; k++) mq_kernel_free(&t->convs[i].kernels[k]);
    for (size_t i = 0; i < t->kernel_count; i++) mq_kernel_free(&t->kernels[i]);
}

void mq_trainable_free(mq_trainable **trainable) {
    mq_trainable *t = *trainable;
    if (!t) return;
    free_parts(t);
    void *const blocks[] = {t->workers, t->norms,  t->convs,    t->kernels, t->tensors, t->steps,
                            t->loops,   t->phases, t->finishes, t->laid,    t->names,   t->moving_names,
                            t->params,  t->grads,  t->moving,   t->weights, t->arena,   t->times};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
    mq_dnn_free(&t->dnn);
    mq_graph_free(&t->graph);
    free(t);
    *trainable = NULL;
}

/* A pass in work; the caller's tensors stand in for their buffers. */
typedef struct {
    mq_trainable *t;
    const mq_train_phase *phase;
    uint8_t *ends[MQ_TENSORS_FIXED];
    size_t end_bytes[MQ_TENSORS_FIXED]; /* of one picture */
    size_t n;
    bool add; /* gradients of parameters are added to those there are */
} run_state;

/* Of a picture's tensor, or of the worker's or the only one. */
static uint8_t *address(const run_state *run, const mq_train_worker *w, size_t buffer, size_t picture) {
    const mq_trainable *t = run->t;
    const mq_tensor_place *p = &t->tensors[buffer];
    if (buffer < MQ_TENSORS_FIXED) return run->ends[buffer] + picture * run->end_bytes[buffer];
    if (p->each == MQ_EACH_WORKER) return w->arena + p->lifetime.offset;
    return t->arena + p->lifetime.offset + picture * p->bytes;
}

static void reduce(const run_state *run, const mq_train_step *step, uint8_t *const m[MQ_SLOTS]) {
    const float *one = (const float *)(const void *)m[MQ_SLOT_SRC];
    float *sum = (float *)(void *)m[MQ_SLOT_DST];
    /* Numbers from one of a picture's rows to the next, padding included. */
    const size_t apart = run->t->tensors[step->buffers[MQ_SLOT_SRC]].bytes / sizeof *one / step->pixels;
    if (!run->add) memset(sum, 0, step->pixels * step->channels * sizeof *sum);
    for (size_t picture = 0; picture < run->n; picture++)
        for (size_t k = 0; k < step->pixels; k++, one += apart)
            for (size_t i = 0; i < step->channels; i++) sum[k * step->channels + i] += one[i];
}

/* Over the first n pictures from those of m on. */
static void run_outer(const run_state *run, const mq_train_step *s, uint8_t *const m[MQ_SLOTS], size_t n,
                      size_t part, size_t parts) {
    const mq_trainable *t = run->t;
    mq_outer outer = {.window = s->window,
                      .filters = s->channels,
                      .source = m[MQ_SLOT_SRC],
                      .gradient = m[MQ_SLOT_SRC2],
                      .source_bytes = t->tensors[s->buffers[MQ_SLOT_SRC]].bytes,
                      .gradient_bytes = t->tensors[s->buffers[MQ_SLOT_SRC2]].bytes,
                      .sum = (float *)(void *)m[MQ_SLOT_DST],
                      .scale = s->norm == MQ_NONE ? NULL : t->norms[s->norm].scale,
                      .add = run->add && s->grads_at != MQ_NONE,
                      .scratch = m[MQ_SLOT_SCRATCH]};
    outer.window.n = n;
    if (s->winograd)
        mq_winograd_outer(&outer);
    else if (t->blocks)
        mq_outer_blocks_run(t->blocks, &outer, part, parts);
    else
        t->outer(&outer, part, parts);
}

/* A step on the channels from first on that lie together: a tensor by itself. */
typedef struct {
    const run_state *run;
    const mq_train_step *step;
    uint8_t *const *m; /* [MQ_SLOTS], of all channels */
    size_t first, channels, picture;
} share;

/* Its part of a tensor of so many pixels, whose numbers have so many bytes; NULL stays. */
static uint8_t *part_of(const share *s, mq_slot slot, size_t pixels, size_t bytes) {
    return s->m[slot] ? s->m[slot] + s->first * pixels * bytes : NULL;
}

/* The arguments of a rows.h function; the picture decides whose sums. */
static mq_rows rows_of(const share *s) {
    const mq_train_step *step = s->step;
    const size_t bytes = mq_dtype_size(s->run->t->dtype);
    const mq_norm *a = step->norm == MQ_NONE ? NULL : &s->run->t->norms[step->norm];
    const mq_norm *b = step->norm_b == MQ_NONE ? NULL : &s->run->t->norms[step->norm_b];
    mq_rows r = {.pixels = step->pixels,
                 .channels = s->channels,
                 .out = part_of(s, MQ_SLOT_DST, step->pixels, bytes),
                 .a = part_of(s, MQ_SLOT_SRC, step->pixels, bytes),
                 .b = part_of(s, MQ_SLOT_SRC2, step->pixels, bytes),
                 .old = part_of(s, MQ_SLOT_BIAS, step->pixels, bytes),
                 .relu = step->relu};
    if (a) {
        r.scale = a->scale + s->first;
        r.shift = a->shift + s->first;
        r.mean = (step->kind == MQ_STEP_STATS ? a->moving_mean : a->mean) + s->first;
        if (a->batch) r.mean_grad = a->mean_grad + s->first, r.factor = a->factor + s->first;
        if (step->kind == MQ_STEP_STATS || step->sums)
            r.sums = a->sums + 2 * (a->padded * s->picture + s->first);
    }
    if (b) r.scale_b = b->scale + s->first, r.shift_b = b->shift + s->first;
    return r;
}

/* r: the arguments of the share below. */
static void run_mapped(const share *s, const mq_rows *r) {
    const mq_trainable *t = s->run->t;
    const mq_train_step *step = s->step;
    const bool back = step->kind == MQ_STEP_MAPPED_BACK;
    const float *weights = (const float *)(const void *)(t->weights + t->laid[step->laid].at);
    mq_mapped mapped = {.window = step->window,
                        .source = back ? r->b : r->a,
                        .scale = r->scale,
                        .shift = r->shift,
                        .relu = step->relu,
                        .weights = weights + s->first,
                        .apart = step->channels,
                        .scratch = s->m[MQ_SLOT_SCRATCH]};
    mapped.window.c = s->channels;
    if (!back) {
        mq_mapped_forward(t->mapped, &mapped, r->out);
        return;
    }
    mq_mapped_backward(
        t->mapped, &mapped,
        &(mq_mapped_back){.gradient = r->a,
                          .result = part_of(s, MQ_SLOT_SCALES, step->pixels, mq_dtype_size(t->dtype)),
                          .weights = (float *)(void *)part_of(s, MQ_SLOT_WEIGHTS, 1, sizeof(float)),
                          .below = r->out ? r : NULL});
}

static void run_pool(const share *s) {
    const mq_trainable *t = s->run->t;
    const size_t bytes = mq_dtype_size(t->dtype);
    const bool back = s->step->kind == MQ_STEP_POOL_BACK;
    mq_window w = s->step->window;
    w.c = s->channels;
    const size_t large = w.h * w.w, small = w.out_h * w.out_w;
    uint8_t *const source = part_of(s, MQ_SLOT_SRC, back ? small : large, bytes);
    uint8_t *const result = part_of(s, MQ_SLOT_DST, back ? large : small, bytes);
    uint8_t *const places = part_of(s, MQ_SLOT_BIAS, small, 1);
    if (back)
        t->windows->max_pool_back(&w, source, places, result);
    else
        t->windows->max_pool(&w, source, result, places);
}

static void run_share(const share *s) {
    const mq_rows_kernels *k = s->run->t->rows;
    const mq_rows r = rows_of(s);
    switch (s->step->kind) {
    case MQ_STEP_APPLY:
        k->apply(&r);
        return;
    case MQ_STEP_STATS:
        k->stats(&r);
        return;
    case MQ_STEP_NORM_BACK:
        k->norm_back(&r);
        return;
    case MQ_STEP_GRAD:
        if (r.sums) memset(r.sums, 0, 2 * r.channels * sizeof *r.sums);
        k->grad(&r);
        return;
    case MQ_STEP_POOL:
    case MQ_STEP_POOL_BACK:
        run_pool(s);
        return;
    case MQ_STEP_MAPPED:
    case MQ_STEP_MAPPED_BACK:
        run_mapped(s, &r);
        return;
    case MQ_STEP_MEAN:
        k->mean(&r, (float *)(void *)s->m[MQ_SLOT_DST] + s->first);
        return;
    default:
        k->mean_back(&r, (const float *)(const void *)s->m[MQ_SLOT_SRC] + s->first);
    }
}

/* count steps on the same channels, block by block, so that a block stays in the caches between them; seconds
 * [count]: how long each of them took; NULL: not wanted. */
static void run_rows(const run_state *run, const mq_train_step *steps, size_t count, uint8_t *(*m)[MQ_SLOTS],
                     size_t picture, double *seconds) {
    share s = {.run = run, .channels = mq_train_block(run->t, steps->channels), .picture = picture};
    for (; s.first < steps->channels; s.first += s.channels)
        for (size_t i = 0; i < count; i++) {
            const double start = seconds ? mq_seconds() : 0;
            s.step = &steps[i];
            s.m = m[i];
            run_share(&s);
            if (seconds) seconds[i] += mq_seconds() - start;
        }
}

MQ_MUST_USE static mq_status run_kernel(mq_err *err, const run_state *run, const mq_train_worker *w,
                                        size_t step, uint8_t *const m[MQ_SLOTS]) {
    mq_status status = MQ_OK;
    const mq_train_step *s = &run->t->steps[step];
    for (mq_slot slot = 0; slot < MQ_SLOTS; slot++)
        if (m[slot] && run->t->tensors[s->buffers[slot]].each != MQ_EACH_WORKER)
            MQ_TRY(mq_call_bind(err, w->calls[step], slot, m[slot]));
    MQ_TRY(mq_call_run(err, w->dnn, w->calls[step]));
cleanup:
    return status;
}

/* Where the tensors of a step lie; item: the loop's. */
static void find_tensors(const run_state *run, const mq_train_worker *w, const mq_train_loop *loop,
                         size_t item, const mq_train_step *s, uint8_t *m[MQ_SLOTS]) {
    for (size_t slot = 0; slot < MQ_SLOTS; slot++)
        m[slot] = s->buffers[slot] == MQ_NONE
                      ? NULL
                      : address(run, w, s->buffers[slot], loop->each == MQ_EACH_PICTURE ? item : 0);
    if (s->grads_at != MQ_NONE) m[MQ_SLOT_DST] = (uint8_t *)(run->t->grads + s->grads_at);
}

/* Steps of a run took so much of the processor's time in all, shared out by the time of each. */
static void note_times(const run_state *run, const mq_train_worker *w, size_t first, size_t count,
                       const double *seconds, double took) {
    double *times = run->t->times + (size_t)(w - run->t->workers) * run->t->step_count + first, all = 0;
    for (size_t i = 0; i < count; i++) all += seconds[i];
    for (size_t i = 0; i < count; i++) times[i] += all > 0 ? took * seconds[i] / all : 0;
}

/* The steps of a loop that are one run. */
MQ_MUST_USE static mq_status run_steps(mq_err *err, const run_state *run, const mq_train_worker *w,
                                       const mq_train_loop *loop, size_t item) {
    mq_status status = MQ_OK;
    const size_t first = loop->first, count = loop->count;
    const mq_train_step *s = &run->t->steps[first];
    const double start = run->t->times ? mq_thread_seconds() : 0;
    double seconds[MQ_RUN_MAX] = {count == 1 ? 1.0 : 0.0};
    uint8_t *m[MQ_RUN_MAX][MQ_SLOTS];
    for (size_t i = 0; i < count; i++) find_tensors(run, w, loop, item, &s[i], m[i]);
    if (s->kind == MQ_STEP_KERNEL)
        MQ_TRY(run_kernel(err, run, w, first, m[0]));
    else if (s->kind == MQ_STEP_REDUCE)
        reduce(run, s, m[0]);
    else if (s->kind == MQ_STEP_OUTER)
        run_outer(run, s, m[0], loop->each == MQ_EACH_PART ? run->n : 1, loop->parts ? item : 0,
                  loop->parts ? loop->parts : 1);
    else
        run_rows(run, s, count, m, item, run->t->times && count > 1 ? seconds : NULL);
    if (run->t->times) note_times(run, w, first, count, seconds, mq_thread_seconds() - start);
cleanup:
    return status;
}

MQ_MUST_USE static mq_status run_loop(mq_err *err, const run_state *run, const mq_train_worker *w,
                                      const mq_train_loop *loop, size_t item) {
    mq_status status = MQ_OK;
    mq_train_loop now = *loop;
    for (; now.first < loop->first + loop->count; now.first += now.count) {
        now.count = mq_train_run(run->t, loop, now.first);
        MQ_TRY(run_steps(err, run, w, &now, item));
    }
cleanup:
    return status;
}

size_t mq_train_items(const mq_train_loop *loop, size_t n) {
    return loop->each == MQ_EACH_PICTURE ? n : loop->each == MQ_EACH_PART ? loop->parts : 1;
}

/* An item of the phase: one of its loops' items, in the order of loops. */
static mq_status run_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    const run_state *run = ctx;
    const mq_train_loop *loop = run->t->loops + run->phase->first_loop;
    for (; item >= mq_train_items(loop, run->n); loop++) item -= mq_train_items(loop, run->n);
    return run_loop(err, run, &run->t->workers[worker], loop, item);
}

static void finish_norms(const run_state *run) {
    mq_trainable *t = run->t;
    for (size_t i = 0; i < run->phase->finishes; i++) {
        const mq_finish *f = &t->finishes[run->phase->first_finish + i];
        if (f->backward)
            mq_norm_finish_backward(&t->norms[f->norm], run->n, t->grads, run->add);
        else
            mq_norm_finish_forward(&t->norms[f->norm], run->n, t->moving);
    }
}

MQ_MUST_USE static mq_status run_phases(mq_err *err, run_state *run, size_t begin, size_t end) {
    mq_status status = MQ_OK;
    const mq_trainable *t = run->t;
    const int threads = mq_par_threads();
    if (t->worker_count == 1) mq_par_set_threads(1); /* for which its kernels were made */
    for (size_t i = begin; i < end; i++) {
        size_t items = 0;
        run->phase = &t->phases[i];
        finish_norms(run);
        for (size_t k = 0; k < run->phase->loops; k++)
            items += mq_train_items(&t->loops[run->phase->first_loop + k], run->n);
        MQ_TRY(mq_parallel_each(err, t->worker_count, items, run_item, run));
    }
cleanup:
    mq_par_set_threads(threads);
    return status;
}

/* Callers' tensors are only read where they are const. */
static uint8_t *plain(const float *memory) {
    uint8_t *p;
    memcpy(&p, &memory, sizeof p);
    return p;
}

mq_status mq_trainable_forward(mq_err *err, mq_trainable *t, const float *input, size_t n, float *features) {
    mq_status status = MQ_OK;
    const mq_shape s = mq_trainable_input(t);
    run_state run = {.t = t, .n = n};
    MQ_REQUIRE(n && n <= t->batch, err, MQ_INTERNAL, "%zu pictures in a step of %zu", n, t->batch);
    run.ends[MQ_TENSOR_INPUT] = plain(input);
    run.end_bytes[MQ_TENSOR_INPUT] = s.h * s.w * s.c * sizeof *input;
    run.ends[MQ_TENSOR_FEATURES] = (uint8_t *)features;
    run.end_bytes[MQ_TENSOR_FEATURES] = t->features * sizeof *features;
    t->n = n;
    MQ_TRY(run_phases(err, &run, 0, t->backward));
cleanup:
    return status;
}

mq_status mq_trainable_backward(mq_err *err, mq_trainable *t, const float *gradient, bool add) {
    mq_status status = MQ_OK;
    run_state run = {.t = t, .n = t->n, .add = add};
    MQ_REQUIRE(t->n, err, MQ_INTERNAL, "a backward pass without a forward pass");
    run.ends[MQ_TENSOR_FEATURES_GRAD] = plain(gradient);
    run.end_bytes[MQ_TENSOR_FEATURES_GRAD] = t->features * sizeof *gradient;
    MQ_TRY(run_phases(err, &run, t->backward, t->phase_count));
cleanup:
    return status;
}

size_t mq_trainable_rows_of(const mq_trainable_plan *plan) {
    const bool sliced = !plan->batch_statistics && plan->batch > SLICE && mq_par_threads() <= SLICE;
    return sliced ? SLICE : plan->batch;
}

size_t mq_trainable_rows(const mq_trainable *t) {
    return t->batch;
}

mq_status mq_trainable_changed(mq_err *err, mq_trainable *t) {
    return mq_masters_lay_out(err, t, true);
}

size_t mq_trainable_count(const mq_trainable *t) {
    return t->count;
}

float *mq_trainable_params(const mq_trainable *t) {
    return t->params;
}

float *mq_trainable_grads(const mq_trainable *t) {
    return t->grads;
}

float *mq_trainable_moving(const mq_trainable *t) {
    return t->moving;
}

bool mq_trainable_tensor_at(const mq_trainable *t, bool moving, size_t index, mq_trainable_tensor *tensor) {
    if (index >= (moving ? t->moving_name_count : t->name_count)) return false;
    *tensor = (moving ? t->moving_names : t->names)[index];
    return true;
}

const char *mq_trainable_boundary(const mq_trainable *t) {
    return mq_graph_node(t->graph, t->boundary)->name;
}

mq_shape mq_trainable_input(const mq_trainable *t) {
    return mq_graph_node(t->graph, t->boundary)->shape;
}

size_t mq_trainable_memory(const mq_trainable *t) {
    return t->arena_bytes + t->worker_count * t->worker_bytes + t->weights_bytes +
           (2 * t->count + t->moving_count) * sizeof(float);
}

void *mq_trainable_room(const mq_trainable *t, size_t *size) {
    *size = t->arena_bytes;
    return t->arena;
}

size_t mq_trainable_memory_picture(const mq_trainable *t) {
    return t->arena_bytes / t->batch;
}
