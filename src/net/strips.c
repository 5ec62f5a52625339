/* strips.c: pairs of steps strip by strip. Called by program.c, and by lower_infer.c, which asks where strips
 * are worth it. Owns the calls of hands. Invariant: strips are equal and always the same ones, so that
 * numbers depend on neither the hands nor who does which. */
#include "net/strips.h"

#include "base/mem.h"
#include "base/par.h"

/* A strip and the kernel are to fit a second cache of 1 MB, beside what is read and written; for fewer pixels
 * than that oneDNN's products lose more than strips gain. */
enum { STRIP_MOST = 128 << 10, KERNEL_MOST = 512 << 10, PIXELS_LEAST = 64, LINE = 64 };

size_t mq_strip_rows(mq_dtype dtype, mq_shape made, size_t kernel_bytes) {
    const size_t row = made.w * made.c * mq_dtype_size(dtype);
    if (kernel_bytes > KERNEL_MOST || made.h * row <= STRIP_MOST) return 0;
    size_t rows = row < STRIP_MOST ? STRIP_MOST / row : 1;
    while (made.h % rows) rows--;
    return rows * made.w < PIXELS_LEAST ? 0 : rows;
}

static bool is_second(const mq_step *step) {
    return step->rows && step->kernel;
}

static size_t slot_bytes(const mq_step *step, mq_slot slot) {
    const mq_layout *layout = mq_kernel_layout(step->kernel, slot);
    return layout ? mq_round_up(mq_layout_bytes(layout), LINE) : 0;
}

size_t mq_strips_bytes(const mq_program *p) {
    size_t most = 0;
    for (size_t i = 0; i < p->step_count; i++) {
        if (!is_second(&p->steps[i])) continue;
        const size_t bytes = slot_bytes(&p->steps[i], MQ_SLOT_SRC) +
                             slot_bytes(&p->steps[i], MQ_SLOT_SCRATCH);
        most = bytes > most ? bytes : most;
    }
    return most;
}

MQ_MUST_USE static mq_status make_call(mq_err *err, const mq_program *p, const mq_step *step,
                                       const mq_hand *hand, mq_call **call) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_call_create(err, hand->dnn, step->kernel, call));
    MQ_TRY(mq_call_bind(err, *call, MQ_SLOT_SRC, hand->strip));
    MQ_TRY(mq_call_bind(err, *call, MQ_SLOT_SCRATCH, hand->strip + slot_bytes(step, MQ_SLOT_SRC)));
    MQ_TRY(mq_lower_bind(err, p, step, *call));
cleanup:
    return status;
}

mq_status mq_hand_create(mq_err *err, const mq_program *p, mq_hand *hand) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_dnn_beside(err, p->dnn, &hand->dnn));
    MQ_TRY(mq_calloc(err, p->step_count, sizeof *hand->calls, "a program", &hand->calls));
    for (size_t i = 0; i < p->step_count; i++)
        if (is_second(&p->steps[i])) MQ_TRY(make_call(err, p, &p->steps[i], hand, &hand->calls[i]));
cleanup:
    return status;
}

void mq_hand_free(const mq_program *p, mq_hand *hand) {
    for (size_t i = 0; hand->calls && i < p->step_count; i++) mq_call_free(&hand->calls[i]);
    free(hand->calls);
    mq_dnn_free(&hand->dnn);
}

void mq_depth_run(const mq_program *p, const mq_step *step, const void *source, size_t from, size_t to,
                  uint8_t *out) {
    const mq_depth_step *depth = &step->depth;
    mq_depthwise d = {.window = depth->window,
                      .a = source,
                      .out = out,
                      .weights = (const float *)(const void *)(p->weights + step->weights_at),
                      .relu = depth->relu};
    if (depth->quantised) d.zero = (const float *)(const void *)(p->weights + step->bias_at);
    depth->run(&d, from, to);
}

/* Of the pair whose second step it is. */
static size_t count_of(const mq_step *step) {
    return step[-1].depth.window.out_h / step->rows;
}

static mq_status do_strip(mq_err *err, void *ctx, size_t item, size_t worker) {
    mq_status status = MQ_OK;
    const mq_strips *s = ctx;
    const mq_step *step = s->step;
    const mq_hand *hand = s->hand ? s->hand : &s->program->hands[worker];
    mq_call *call = hand->calls[step - s->program->steps];
    const size_t bytes = mq_layout_bytes(mq_kernel_layout(step->kernel, MQ_SLOT_DST));
    if (s->part != MQ_STRIPS_PRODUCTS)
        mq_depth_run(s->program, step - 1, s->source, item * step->rows, (item + 1) * step->rows,
                     hand->strip);
    if (s->part == MQ_STRIPS_DEPTH) return MQ_OK;
    MQ_TRY(mq_call_bind(err, call, MQ_SLOT_DST, s->result + item * bytes));
    MQ_TRY(mq_call_run(err, hand->dnn, call));
cleanup:
    return status;
}

mq_status mq_strips_run(mq_err *err, const mq_strips *s) {
    mq_status status = MQ_OK;
    mq_strips strips = *s;
    const size_t count = count_of(s->step);
    if (!s->hand) return mq_parallel_each(err, s->program->hand_count, count, do_strip, &strips);
    for (size_t i = 0; i < count; i++) MQ_TRY(do_strip(err, &strips, i, 0));
cleanup:
    return status;
}

mq_work mq_strips_work(const mq_step *step) {
    const double count = (double)count_of(step),
                 kernel = (double)mq_layout_bytes(mq_kernel_layout(step->kernel, MQ_SLOT_WEIGHTS));
    const mq_work one = mq_kernel_work(step->kernel);
    return (mq_work){.flops = count * one.flops, .bytes = count * (one.bytes - kernel) + kernel};
}
