/* program.c: runs what lower_*.c made. Called by inference, feature extraction
 * and bench. Owns a program's memory. Invariant: every slice has the same
 * number of pictures, the last one filled up with zeros, so that no picture's
 * numbers depend on how many others there are. */
#include "net/program_impl.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/par.h"

#include <stdio.h>
#include <string.h>

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
    MQ_TRY(mq_lower_infer(err, plan, p));
    snprintf(p->key, sizeof p->key, "infer %s slice %zu onednn %s %s threads %d", mq_dtype_name(plan->dtype),
             p->slice, mq_dnn_version(), mq_dnn_isa(), mq_par_threads());
    *program = p;
    p = NULL;
cleanup:
    mq_program_free(&p);
    return status;
}

void mq_program_free(mq_program **program) {
    mq_program *p = *program;
    if (!p) return;
    for (size_t i = 0; i < p->step_count; i++) mq_kernel_free(&p->steps[i].kernel);
    free(p->steps);
    free(p->buffers);
    free(p->arena);
    free(p->weights);
    free(p->in_stage);
    free(p->out_stage);
    mq_dnn_free(&p->dnn);
    mq_graph_free(&p->graph);
    free(p);
    *program = NULL;
}

/* Binds the caller's side of the program. */
MQ_MUST_USE static mq_status bind_ends(mq_err *err, mq_program *p, const float *in, float *out) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < p->step_count; i++)
        for (mq_slot slot = 0; slot < MQ_SLOTS; slot++) {
            const size_t buffer = p->steps[i].buffers[slot];
            if (buffer == MQ_BUFFER_INPUT) MQ_TRY(mq_kernel_bind(err, p->steps[i].kernel, slot, in));
            if (buffer == MQ_BUFFER_OUTPUT) MQ_TRY(mq_kernel_bind(err, p->steps[i].kernel, slot, out));
        }
cleanup:
    return status;
}

MQ_MUST_USE static mq_status run_slice(mq_err *err, mq_program *p, const float *in, float *out) {
    mq_status status = bind_ends(err, p, in, out);
    for (size_t i = 0; i < p->step_count && status == MQ_OK; i++)
        status = mq_kernel_run(err, p->dnn, p->steps[i].kernel);
    return status;
}

mq_status mq_program_run(mq_err *err, mq_program *p, const float *pixels, size_t count, float *features) {
    mq_status status = MQ_OK;
    const size_t out_size = p->output.h * p->output.w * p->output.c;
    size_t done = 0;
    for (; count - done >= p->slice; done += p->slice)
        MQ_TRY(run_slice(err, p, pixels + done * p->in_size, features + done * out_size));
    if (done < count) {
        const size_t rest = count - done;
        memcpy(p->in_stage, pixels + done * p->in_size, rest * p->in_size * sizeof *pixels);
        memset(p->in_stage + rest * p->in_size, 0, (p->slice - rest) * p->in_size * sizeof *pixels);
        MQ_TRY(run_slice(err, p, p->in_stage, p->out_stage));
        memcpy(features + done * out_size, p->out_stage, rest * out_size * sizeof *features);
    }
cleanup:
    return status;
}

mq_status mq_program_profile(mq_err *err, mq_program *p, size_t reps, mq_program_visit visit, void *user) {
    mq_status status = MQ_OK;
    memset(p->in_stage, 0, p->slice * p->in_size * sizeof *p->in_stage);
    MQ_TRY(run_slice(err, p, p->in_stage, p->out_stage));
    for (size_t i = 0; i < p->step_count; i++) {
        double best = 0.0;
        for (size_t r = 0; r < reps; r++) {
            const double start = mq_seconds();
            MQ_TRY(mq_kernel_run(err, p->dnn, p->steps[i].kernel));
            const double took = mq_seconds() - start;
            if (r == 0 || took < best) best = took;
        }
        visit(user, p->steps[i].name, mq_kernel_name(p->steps[i].kernel), best);
    }
cleanup:
    return status;
}

mq_shape mq_program_output(const mq_program *program) {
    return program->output;
}

size_t mq_program_memory(const mq_program *p) {
    const mq_shape o = p->output;
    return p->weights_bytes + p->arena_bytes + p->slice * (p->in_size + o.h * o.w * o.c) * sizeof(float);
}

const char *mq_program_key(const mq_program *program) {
    return program->key;
}
