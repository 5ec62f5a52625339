/* program.c: runs what lower_*.c made. Called by inference, feature extraction
 * and bench. Owns a program's memory. Each thread takes a picture and runs all
 * steps on it alone: no thread waits for another within a network, which
 * matters where the loader or other programs want the processor too.
 * A program for one picture at a time gives each step to all threads instead.
 * Invariant: every step is for one picture, and none sums across threads, so that
 * numbers depend on neither the other pictures nor the threads. */
#include "net/program_impl.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"

#include <stdio.h>

/* An arena, and for every step a call bound to its places in it and to the weights. */
MQ_MUST_USE static mq_status make_worker(mq_err *err, const mq_program *p, mq_worker *w) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_dnn_beside(err, p->dnn, &w->dnn));
    MQ_TRY(mq_alloc_aligned(err, 1, p->arena_bytes, "the activations", &w->arena));
    MQ_TRY(mq_calloc(err, p->step_count, sizeof *w->calls, "a program", &w->calls));
    for (size_t i = 0; i < p->step_count; i++) {
        const mq_step *step = &p->steps[i];
        MQ_TRY(mq_call_create(err, w->dnn, step->kernel, &w->calls[i]));
        for (mq_slot slot = 0; slot < MQ_SLOTS; slot++)
            if (step->buffers[slot] >= MQ_BUFFERS_FIXED)
                MQ_TRY(
                    mq_call_bind(err, w->calls[i], slot, w->arena + p->buffers[step->buffers[slot]].offset));
        if (step->weights == MQ_WEIGHTS_NONE) continue;
        MQ_TRY(mq_call_bind(err, w->calls[i], MQ_SLOT_WEIGHTS, p->weights + step->weights_at));
        MQ_TRY(mq_call_bind(err, w->calls[i], MQ_SLOT_BIAS, p->weights + step->bias_at));
    }
cleanup:
    return status;
}

/* As many as there are threads, but no more than pictures in a batch. */
MQ_MUST_USE static mq_status make_workers(mq_err *err, size_t batch, mq_program *p) {
    mq_status status = MQ_OK;
    const size_t threads = (size_t)mq_par_threads();
    p->worker_count = threads < batch ? threads : batch;
    MQ_TRY(mq_calloc(err, p->worker_count, sizeof *p->workers, "a program", &p->workers));
    for (size_t i = 0; i < p->worker_count; i++) MQ_TRY(make_worker(err, p, &p->workers[i]));
cleanup:
    return status;
}

mq_status mq_program_create(mq_err *err, const mq_program_plan *plan, mq_program **program) {
    mq_status status = MQ_OK;
    mq_program *p = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a program plan of %zu bytes", plan->size);
    MQ_REQUIRE(plan->dtype == MQ_F32 || plan->dtype == MQ_BF16, err, MQ_USAGE,
               "networks run in f32 or bf16, not in %s", mq_dtype_name(plan->dtype));
    MQ_REQUIRE(plan->dtype != MQ_BF16 || mq_dnn_has_bf16(), err, MQ_UNAVAILABLE,
               "this processor (%s) has no avx512_bf16; use --dtype f32", mq_dnn_isa());
    MQ_REQUIRE(plan->imgsz >= plan->arch->imgsz_min, err, MQ_USAGE,
               "%s takes pictures from %u pixels up, not %u", plan->arch->name, plan->arch->imgsz_min,
               plan->imgsz);
    MQ_TRY(mq_calloc(err, 1, sizeof *p, "a program", &p));
    MQ_TRY(mq_dnn_create(err, &p->dnn));
    MQ_TRY(mq_strdup(err, plan->prefix, &p->prefix));
    MQ_TRY(mq_lower_infer(err, plan, p));
    MQ_TRY(make_workers(err, plan->batch, p));
    snprintf(p->key, sizeof p->key, "infer %s onednn %s %s", mq_dtype_name(plan->dtype), mq_dnn_version(),
             mq_dnn_isa());
    *program = p;
    p = NULL;
cleanup:
    mq_program_free(&p);
    return status;
}

mq_status mq_program_update(mq_err *err, mq_program *p, const mq_bundle *weights) {
    const mq_program_plan plan = {.size = sizeof plan, .weights = weights, .prefix = p->prefix};
    return mq_lower_weights(err, &plan, p);
}

static void free_worker(mq_worker *w, size_t calls) {
    for (size_t i = 0; w->calls && i < calls; i++) mq_call_free(&w->calls[i]);
    free(w->calls);
    free(w->arena);
    mq_dnn_free(&w->dnn);
}

void mq_program_free(mq_program **program) {
    mq_program *p = *program;
    if (!p) return;
    for (size_t i = 0; p->workers && i < p->worker_count; i++) free_worker(&p->workers[i], p->step_count);
    for (size_t i = 0; i < p->step_count; i++) mq_kernel_free(&p->steps[i].kernel);
    free(p->workers);
    free(p->steps);
    free(p->buffers);
    free(p->weights);
    free(p->prefix);
    mq_dnn_free(&p->dnn);
    mq_graph_free(&p->graph);
    free(p);
    *program = NULL;
}

/* Binds the caller's side of the program. */
MQ_MUST_USE static mq_status bind_ends(mq_err *err, const mq_program *p, const mq_worker *w, const float *in,
                                       float *out) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < p->step_count; i++)
        for (mq_slot slot = 0; slot < MQ_SLOTS; slot++) {
            const size_t buffer = p->steps[i].buffers[slot];
            if (buffer == MQ_BUFFER_INPUT) MQ_TRY(mq_call_bind(err, w->calls[i], slot, in));
            if (buffer == MQ_BUFFER_OUTPUT) MQ_TRY(mq_call_bind(err, w->calls[i], slot, out));
        }
cleanup:
    return status;
}

MQ_MUST_USE static mq_status run_picture(mq_err *err, const mq_program *p, const mq_worker *w,
                                         const float *in, float *out) {
    mq_status status = bind_ends(err, p, w, in, out);
    for (size_t i = 0; i < p->step_count && status == MQ_OK; i++)
        status = mq_call_run(err, w->dnn, w->calls[i]);
    return status;
}

static size_t result_size(const mq_program *p) {
    return p->output.h * p->output.w * p->output.c;
}

/* A run in work. */
typedef struct {
    const mq_program *program;
    const float *in;
    float *out;
} run_state;

static mq_status run_item(mq_err *err, void *ctx, size_t item, size_t worker) {
    const run_state *run = ctx;
    const mq_program *p = run->program;
    return run_picture(err, p, &p->workers[worker], run->in + item * p->in_size,
                       run->out + item * result_size(p));
}

mq_status mq_program_run(mq_err *err, mq_program *p, const float *pixels, size_t count, float *features) {
    return mq_parallel_each(err, p->worker_count, count, run_item, &(run_state){p, pixels, features});
}

mq_status mq_program_profile(mq_err *err, mq_program *p, size_t reps, mq_measure_visit visit, void *user) {
    mq_status status = MQ_OK;
    static const char *const kinds[] = {"rest", "forward", "depthwise forward", "forward"};
    const mq_worker *w = p->workers;
    float *in = NULL, *out = NULL;
    MQ_TRY(mq_calloc(err, p->in_size, sizeof *in, "a picture", &in));
    MQ_TRY(mq_calloc(err, result_size(p), sizeof *out, "features", &out));
    MQ_TRY(run_picture(err, p, w, in, out));
    for (size_t i = 0; i < p->step_count; i++) {
        double best = 0.0;
        for (size_t r = 0; r < reps; r++) {
            const double start = mq_seconds();
            MQ_TRY(mq_call_run(err, w->dnn, w->calls[i]));
            const double took = mq_seconds() - start;
            if (r == 0 || took < best) best = took;
        }
        const mq_kernel *kernel = p->steps[i].kernel;
        visit(user, &(mq_measure){.layer = p->steps[i].name,
                                  .what = kinds[p->steps[i].weights],
                                  .kernel = mq_kernel_name(kernel),
                                  .work = mq_kernel_work(kernel),
                                  .seconds = best});
    }
cleanup:
    free(in);
    free(out);
    return status;
}

mq_shape mq_program_output(const mq_program *program) {
    return program->output;
}

size_t mq_program_memory(const mq_program *p) {
    return p->weights_bytes + p->worker_count * p->arena_bytes;
}

const char *mq_program_key(const mq_program *program) {
    return program->key;
}
