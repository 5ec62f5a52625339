/* program.c: runs what lower_*.c made. Called by inference, feature extraction
 * and bench. Owns a program's memory. Each thread takes a picture and runs all
 * steps on it alone: no thread waits for another within a network, which
 * matters where the loader or other programs want the processor too. When one
 * finds no picture any more, all meet, and finish the begun ones together.
 * A program for one picture at a time gives each step to all threads.
 * Where pictures have become so small that a step's weights take longer to read
 * than they are used, a thread has a group of pictures and brings all of them to
 * that place, then does the rest step by step for the whole group.
 * Invariant: no step sums across pictures or threads, so that numbers depend on
 * neither the other pictures nor the threads. */
#include "net/strips.h"
#include "net/vec.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"

#include <stdatomic.h>
#include <string.h>

enum { PAGE = 4096 };

/* A call of a kernel, bound to the weights. */
MQ_MUST_USE static mq_status make_call(mq_err *err, const mq_program *p, const mq_worker *w,
                                       const mq_step *step, const mq_kernel *kernel, mq_call **call) {
    mq_status status = MQ_OK;
    if (!kernel || step->rows) return MQ_OK;
    MQ_TRY(mq_call_create(err, w->dnn, kernel, call));
    if (step->weights != MQ_WEIGHTS_NONE) MQ_TRY(mq_lower_bind(err, p, step, *call));
cleanup:
    return status;
}

/* Calls for every step. */
MQ_MUST_USE static mq_status make_worker(mq_err *err, const mq_program *p, mq_worker *w) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_dnn_beside(err, p->dnn, &w->dnn));
    MQ_TRY(mq_calloc(err, p->step_count, sizeof *w->calls, "a program", &w->calls));
    MQ_TRY(mq_calloc(err, p->step_count, sizeof *w->joint, "a program", &w->joint));
    for (size_t i = 0; i < p->step_count; i++) {
        const mq_step *step = &p->steps[i];
        MQ_TRY(make_call(err, p, w, step, step->kernel, &w->calls[i]));
        MQ_TRY(make_call(err, p, w, step, step->joint, &w->joint[i]));
    }
cleanup:
    return status;
}

/* Bytes of weights and of what their laying out needs besides. */
static size_t loading_bytes(const mq_program *p) {
    return p->arenas_at + mq_lower_scratch(p);
}

/* Weights, then an arena for each worker, then a strip for each hand; while weights come, the latter two are
 * scratch memory. */
MQ_MUST_USE static mq_status take_memory(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    const size_t arena = mq_round_up(p->arena_bytes, PAGE), strip = mq_round_up(p->strip_bytes, PAGE);
    p->arenas_at = mq_round_up(p->weights_bytes, PAGE);
    const size_t strips = p->arenas_at + p->worker_count * arena, loading = loading_bytes(p);
    p->running_bytes = strips + p->hand_count * strip;
    const size_t size = loading > p->running_bytes ? loading : p->running_bytes;
    if (size > plan->room_size) MQ_TRY(mq_alloc_aligned(err, 1, size, "the network", &p->own));
    p->weights = p->own ? p->own : plan->room;
    for (size_t i = 0; i < p->worker_count; i++) p->workers[i].arena = p->weights + p->arenas_at + i * arena;
    for (size_t i = 0; i < p->hand_count; i++) p->hands[i].strip = p->weights + strips + i * strip;
cleanup:
    return status;
}

/* Lays out the weights; scratch memory that is no arena's is given back. */
MQ_MUST_USE static mq_status load_weights(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    const size_t loading = loading_bytes(p);
    const mq_status status = mq_lower_weights(err, plan, p);
    if (p->own && loading > p->running_bytes)
        mq_release_pages(p->own + p->running_bytes, loading - p->running_bytes);
    return status;
}

/* As many as there are threads, but no more than pictures in a batch; and hands for all threads. */
MQ_MUST_USE static mq_status make_workers(mq_err *err, const mq_program_plan *plan, mq_program *p) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    p->worker_count = threads < plan->batch ? threads : plan->batch;
    p->strip_bytes = mq_strips_bytes(p);
    p->hand_count = p->strip_bytes ? threads : 0;
    MQ_TRY(mq_calloc(err, p->worker_count, sizeof *p->workers, "a program", &p->workers));
    MQ_TRY(mq_calloc(err, p->hand_count, sizeof *p->hands, "a program", &p->hands));
    MQ_TRY(take_memory(err, plan, p));
    for (size_t i = 0; i < p->worker_count; i++) MQ_TRY(make_worker(err, p, &p->workers[i]));
    for (size_t i = 0; i < p->hand_count; i++) MQ_TRY(mq_hand_create(err, p, &p->hands[i]));
cleanup:
    return status;
}

mq_status mq_program_create(mq_err *err, const mq_program_plan *plan, mq_program **program) {
    mq_status status = MQ_OK;
    mq_program *p = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a program plan of %zu bytes", plan->size);
    MQ_REQUIRE(plan->dtype == MQ_F32 || plan->dtype == MQ_BF16 || plan->dtype == MQ_I8, err, MQ_USAGE,
               "networks run in f32, bf16 or int8, not in %s", mq_dtype_name(plan->dtype));
    MQ_REQUIRE(plan->dtype != MQ_I8 || mq_dnn_has_int8() || !mq_quant_any(plan->weights), err, MQ_UNAVAILABLE,
               "this processor (%s) has no avx2; use --dtype f32", mq_dnn_isa());
    MQ_REQUIRE(plan->dtype != MQ_BF16 || mq_dnn_has_bf16(), err, MQ_UNAVAILABLE,
               "this processor (%s) has no avx512_bf16; use --dtype f32", mq_dnn_isa());
    MQ_REQUIRE(plan->imgsz >= plan->arch->imgsz_min, err, MQ_USAGE,
               "%s takes pictures from %u pixels up, not %u", plan->arch->name, plan->arch->imgsz_min,
               plan->imgsz);
    MQ_TRY(mq_calloc(err, 1, sizeof *p, "a program", &p));
    MQ_TRY(mq_dnn_create(err, &p->dnn));
    MQ_TRY(mq_strdup(err, plan->prefix, &p->prefix));
    MQ_TRY(mq_lower_infer(err, plan, p));
    p->shared = plan->batch == 1;
    MQ_TRY(make_workers(err, plan, p));
    MQ_TRY(load_weights(err, plan, p));
    mq_dnn_numbers(plan->dtype, p->key);
    *program = p;
    p = NULL;
cleanup:
    mq_program_free(&p);
    return status;
}

mq_status mq_program_update(mq_err *err, mq_program *p, const mq_bundle *weights) {
    const mq_program_plan plan = {.size = sizeof plan, .weights = weights, .prefix = p->prefix};
    return load_weights(err, &plan, p);
}

static void free_worker(mq_worker *w, size_t calls) {
    for (size_t i = 0; w->calls && i < calls; i++) mq_call_free(&w->calls[i]);
    for (size_t i = 0; w->joint && i < calls; i++) mq_call_free(&w->joint[i]);
    free(w->calls);
    free(w->joint);
    mq_dnn_free(&w->dnn);
}

void mq_program_free(mq_program **program) {
    mq_program *p = *program;
    if (!p) return;
    for (size_t i = 0; p->workers && i < p->worker_count; i++) free_worker(&p->workers[i], p->step_count);
    for (size_t i = 0; p->hands && i < p->hand_count; i++) mq_hand_free(p, &p->hands[i]);
    for (size_t i = 0; i < p->step_count; i++) {
        mq_kernel_free(&p->steps[i].kernel);
        mq_kernel_free(&p->steps[i].joint);
    }
    free(p->workers);
    free(p->hands);
    free(p->steps);
    free(p->buffers);
    free(p->pitch);
    free(p->own);
    free(p->prefix);
    mq_dnn_free(&p->dnn);
    mq_graph_free(&p->graph);
    free(p);
    *program = NULL;
}

/* Who runs steps, and on what. */
typedef struct {
    const mq_program *program;
    const mq_worker *worker; /* whose pictures they are */
    const float *in;         /* the first of them, and its result; the caller's */
    float *out;
    size_t picture; /* which of them */
    bool together;  /* by all threads */
} turn;

static size_t result_size(const mq_program *p) {
    return p->output.h * p->output.w * p->output.c;
}

/* A picture's tensor in the arena. */
static uint8_t *tensor_at(const turn *t, size_t buffer) {
    const mq_program *p = t->program;
    return t->worker->arena + p->buffers[buffer].offset + t->picture * p->pitch[buffer];
}

/* The same of any buffer: a caller's picture may be read as it is, without a reorder. */
static const void *place_of(const turn *t, size_t buffer) {
    if (buffer == MQ_BUFFER_INPUT) return t->in + t->picture * t->program->in_size;
    if (buffer == MQ_BUFFER_OUTPUT) return t->out + t->picture * result_size(t->program);
    return tensor_at(t, buffer);
}

/* A depthwise step in work. */
typedef struct {
    const turn *turn;
    const mq_step *step;
} depth_state;

static void depth_rows(void *ctx, size_t begin, size_t end) {
    const depth_state *s = ctx;
    const mq_depth_step *depth = &s->step->depth;
    const size_t number = depth->quantised ? 1 : mq_dtype_size(depth->dtype),
                 row = depth->window.out_w * depth->window.c * number;
    mq_depth_run(s->turn->program, s->step, place_of(s->turn, s->step->buffers[MQ_SLOT_SRC]), begin, end,
                 tensor_at(s->turn, s->step->buffers[MQ_SLOT_DST]) + begin * row);
}

/* A part of the pair that the step belongs to. */
MQ_MUST_USE static mq_status run_strips(mq_err *err, const turn *t, const mq_step *step,
                                        mq_strips_part part) {
    const mq_program *p = t->program;
    const mq_step *second = step->kernel ? step : step + 1;
    const mq_strips strips = {.program = p,
                              .step = second,
                              .hand = t->together ? NULL : &p->hands[t->worker - p->workers],
                              .part = part,
                              .source = place_of(t, second->buffers[MQ_SLOT_SRC]),
                              .result = tensor_at(t, second->buffers[MQ_SLOT_DST])};
    return mq_strips_run(err, &strips);
}

MQ_MUST_USE static mq_status run_kernel(mq_err *err, const turn *t, size_t i) {
    mq_status status = MQ_OK;
    const mq_worker *w = t->worker;
    const mq_step *step = &t->program->steps[i];
    mq_call *call = t->together && w->joint[i] ? w->joint[i] : w->calls[i];
    for (mq_slot slot = 0; slot < MQ_SLOTS; slot++)
        if (step->buffers[slot] != MQ_BUFFER_NONE)
            MQ_TRY(mq_call_bind(err, call, slot, place_of(t, step->buffers[slot])));
    MQ_TRY(mq_call_run(err, w->dnn, call));
cleanup:
    return status;
}

/* For one picture, or for all where the step is grouped. Of a pair the second step does both. */
MQ_MUST_USE static mq_status run_step(mq_err *err, const turn *t, size_t i) {
    const mq_step *step = &t->program->steps[i];
    depth_state state = {t, step};
    if (step->rows) return step->kernel ? run_strips(err, t, step, MQ_STRIPS_BOTH) : MQ_OK;
    if (step->kernel) return run_kernel(err, t, i);
    if (t->together)
        mq_parallel_share(step->depth.window.out_h, depth_rows, &state);
    else
        depth_rows(&state, 0, step->depth.window.out_h);
    return MQ_OK;
}

/* What a worker does in one go: in its first count * tail turns one step for one picture, then one step for
 * all. */
MQ_MUST_USE static mq_status run_next(mq_err *err, turn *t) {
    mq_status status = MQ_OK;
    const mq_program *p = t->program;
    const mq_worker *w = t->worker;
    const size_t alone = w->count * p->tail, done = w->done;
    if (done < alone) {
        t->picture = done / p->tail;
        return run_step(err, t, done % p->tail);
    }
    const size_t i = p->tail + done - alone, times = p->steps[i].grouped ? 1 : w->count;
    for (t->picture = 0; t->picture < times; t->picture++) MQ_TRY(run_step(err, t, i));
cleanup:
    return status;
}

static bool is_finished(const mq_program *p, const mq_worker *w) {
    return !w->count || w->done == w->count * p->tail + p->step_count - p->tail;
}

/* A run in work. */
typedef struct {
    const mq_program *program;
    const float *in;
    float *out;
    size_t count;        /* of pictures */
    size_t groups;       /* that workers take */
    atomic_size_t begun; /* of those */
    atomic_bool idle;    /* a worker found none any more: the others leave what they have begun */
} run_state;

/* The worker's pictures from where it has come with them. */
MQ_MUST_USE static mq_status go_on(mq_err *err, run_state *run, mq_worker *w, bool together) {
    mq_status status = MQ_OK;
    const mq_program *p = run->program;
    turn t = {.program = p,
              .worker = w,
              .in = run->in + w->first * p->in_size,
              .out = run->out + w->first * result_size(p),
              .together = together};
    for (; !is_finished(p, w) && status == MQ_OK && (together || !run->idle); w->done++)
        status = run_next(err, &t);
    return status;
}

/* A group; behind the last one there are no pictures. */
static void begin(const run_state *run, mq_worker *w, size_t item) {
    const size_t group = run->program->group, first = item * group;
    w->first = first < run->count ? first : run->count;
    w->count = run->count - w->first < group ? run->count - w->first : group;
    w->done = 0;
}

static mq_status run_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    run_state *run = ctx;
    mq_worker *w = &run->program->workers[worker];
    begin(run, w, item);
    run->begun++;
    const mq_status status = go_on(err, run, w, run->program->shared);
    if (run->program->joint && run->begun == run->groups) run->idle = true;
    return status;
}

/* What is left over when every thread has had as many groups is for all of them together, unless it keeps
 * most of them busy. */
mq_status mq_program_run(mq_err *err, mq_program *p, const float *pixels, size_t count, float *features) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads(), groups = mq_ceil_div(count, p->group),
                 over = groups % threads;
    run_state run = {.program = p, .in = pixels, .out = features, .count = count, .groups = groups};
    if (p->joint && 2 * over <= threads) run.groups -= over;
    for (size_t i = 0; i < p->worker_count; i++) begin(&run, &p->workers[i], groups);
    MQ_TRY(mq_parallel_each(err, p->worker_count, run.groups, run_item, &run));
    for (size_t i = 0; i < p->worker_count; i++) MQ_TRY(go_on(err, &run, &p->workers[i], true));
    for (size_t item = run.groups; item < groups; item++) {
        begin(&run, &p->workers[0], item);
        MQ_TRY(go_on(err, &run, &p->workers[0], true));
    }
cleanup:
    return status;
}

static double pictures_of(const mq_program *p, const mq_step *step) {
    return step->grouped ? (double)p->group : 1.0;
}

/* Of one picture. */
static mq_work kernel_work(const mq_program *p, const mq_step *step) {
    const mq_work all = mq_kernel_work(step->kernel);
    return (mq_work){.flops = all.flops / pictures_of(p, step), .bytes = all.bytes / pictures_of(p, step)};
}

static mq_work work_of(const mq_program *p, const mq_step *step) {
    if (step->kernel) return step->rows ? mq_strips_work(step) : kernel_work(p, step);
    const mq_window *w = &step->depth.window;
    const double in = (double)(w->h * w->w * w->c), out = (double)(w->out_h * w->out_w * w->c);
    const double weights = (double)(w->kernel * w->kernel * w->c),
                 number = (double)mq_dtype_size(step->depth.dtype);
    return (mq_work){.flops = 2.0 * out * (double)(w->kernel * w->kernel),
                     .bytes = in * number + out * (step->depth.quantised ? 1.0 : number) +
                              weights * sizeof(float)};
}

mq_status mq_program_profile(mq_err *err, mq_program *p, size_t reps, mq_measure_visit visit, void *user) {
    mq_status status = MQ_OK;
    static const char *const kinds[] = {"rest", "forward", "depthwise forward", "forward", "rest"};
    const int all = mq_par_threads();
    const double threads = p->shared ? all : 1;
    mq_worker *w = p->workers;
    float *in = NULL, *out = NULL;
    MQ_TRY(mq_calloc(err, p->in_size, sizeof *in, "a picture", &in));
    MQ_TRY(mq_calloc(err, result_size(p), sizeof *out, "features", &out));
    run_state run = {.program = p, .in = in, .out = out, .count = 1};
    if (!p->shared) mq_par_set_threads(1); /* as in a worker: some kernels take what there is */
    begin(&run, w, 0);                     /* so that what the steps read is there */
    MQ_TRY(go_on(err, &run, w, p->shared));
    const turn t = {.program = p, .worker = w, .in = in, .out = out, .together = p->shared};
    for (size_t i = 0; i < p->step_count; i++) {
        const mq_step *step = &p->steps[i];
        double best = 0.0;
        for (size_t r = 0; r < reps; r++) {
            const double start = mq_seconds();
            MQ_TRY(step->rows ? run_strips(err, &t, step, step->kernel ? MQ_STRIPS_PRODUCTS : MQ_STRIPS_DEPTH)
                              : run_step(err, &t, i));
            const double took = mq_seconds() - start;
            if (r == 0 || took < best) best = took;
        }
        visit(user, &(mq_measure){.layer = step->name,
                                  .what = kinds[step->weights],
                                  .kernel = step->kernel ? mq_kernel_name(step->kernel) : "own",
                                  .work = work_of(p, step),
                                  .seconds = threads * best / pictures_of(p, step)});
    }
cleanup:
    mq_par_set_threads(all);
    free(in);
    free(out);
    return status;
}

/* What a step's layer would make u8 if it were in 8 bits: the result of its depthwise half, or its source. */
typedef struct {
    size_t buffer, pixels, channels; /* pixels 0: this step has nothing to show */
    bool before;                     /* it is there before the step runs */
} seen_tensor;

static seen_tensor seen_at(const mq_program *p, const mq_step *step) {
    mq_window w = step->depth.window;
    if (step->weights == MQ_WEIGHTS_DEPTHWISE && !step->kernel && !step->depth.quantised)
        return (seen_tensor){step->buffers[MQ_SLOT_DST], w.out_h * w.out_w, w.c, false};
    if (step->weights == MQ_WEIGHTS_DENSE && mq_quant_window(p->graph, step->conv, &w) &&
        mq_layout_dtype(mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS)) != MQ_I8)
        return (seen_tensor){step->buffers[MQ_SLOT_SRC], w.h * w.w, w.c, true};
    return (seen_tensor){0};
}

/* Who looks, and at the tensors of which worker. */
typedef struct {
    const mq_program *program;
    const mq_worker *worker;
    mq_program_visit visit;
    void *user;
} observer;

/* Of a program of MQ_I8, whose tensors are all in the format that --dtype auto takes. */
MQ_MUST_USE static mq_status show(mq_err *err, const observer *o, const mq_step *step,
                                  const seen_tensor *seen) {
    mq_status status = MQ_OK;
    const number_format format = mq_dtype_auto() == MQ_F32 ? F32 : BF16;
    const void *from = o->worker->arena + o->program->buffers[seen->buffer].offset;
    const size_t count = seen->pixels * seen->channels;
    float *values = NULL;
    if (format == F32) return o->visit(err, o->user, step->conv, from);
    MQ_TRY(mq_alloc_aligned(err, count, sizeof *values, "a layer's values", &values));
    for (size_t i = 0; i < count; i++) values[i] = number(from, i, format);
    MQ_TRY(o->visit(err, o->user, step->conv, values));
cleanup:
    free(values);
    return status;
}

mq_status mq_program_observe(mq_err *err, mq_program *p, const float *pixels, mq_program_visit visit,
                             void *user) {
    mq_status status = MQ_OK;
    const observer o = {p, p->workers, visit, user};
    float *out = NULL;
    MQ_TRY(mq_calloc(err, result_size(p), sizeof *out, "features", &out));
    const turn t = {.program = p, .worker = p->workers, .in = pixels, .out = out, .together = p->shared};
    for (size_t i = 0; i < p->step_count; i++) {
        const mq_step *step = &p->steps[i];
        const seen_tensor seen = seen_at(p, step);
        if (seen.pixels && seen.before) MQ_TRY(show(err, &o, step, &seen));
        MQ_TRY(run_step(err, &t, i));
        if (seen.pixels && !seen.before) MQ_TRY(show(err, &o, step, &seen));
    }
cleanup:
    free(out);
    return status;
}

mq_shape mq_program_output(const mq_program *program) {
    return program->output;
}

size_t mq_program_params(const mq_program *program) {
    return mq_graph_param_total(program->graph);
}

size_t mq_program_memory(const mq_program *p) {
    return p->own ? p->running_bytes : 0;
}

const char *mq_program_key(const mq_program *program) {
    return program->key;
}
