/* head.c: the classifier's parameters and its forward pass. Called by training
 * (which adds the backward pass in train/head_train.c) and by prediction, so
 * that both compute the same numbers. */
#include "infer/head.h"
#include "base/mem.h"
#include "base/rng.h"

#include <math.h>
#include <string.h>

static const char MEAN[] = "head/standardise/mean"; /* a linear classifier is known by it */

static size_t hidden_of(mq_head_kind kind) {
    return kind == MQ_HEAD_1024 ? MQ_HEAD_HIDDEN : 0;
}

const char *mq_head_name(mq_head_kind kind) {
    return kind == MQ_HEAD_LINEAR ? "linear" : "1024";
}

void mq_head_free(mq_head **head) {
    if (!*head) return;
    free((*head)->params);
    free((*head)->mean);
    free((*head)->scale);
    free(*head);
    *head = NULL;
}

mq_status mq_head_create(mq_err *err, mq_head_kind kind, size_t features, size_t classes, mq_head **head) {
    mq_status status = MQ_OK;
    mq_head *h = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *h, "a classifier", &h));
    h->kind = kind;
    h->features = features;
    h->classes = classes;
    h->hidden = hidden_of(kind);
    const size_t inner = h->hidden ? h->hidden : features;
    h->count = (h->hidden ? (features + 1) * h->hidden : 0) + (inner + 1) * classes;
    MQ_TRY(mq_alloc_aligned(err, h->count, sizeof *h->params, "a classifier", &h->params));
    memset(h->params, 0, h->count * sizeof *h->params);
    if (kind == MQ_HEAD_LINEAR) {
        MQ_TRY(mq_calloc(err, features, sizeof *h->mean, "a classifier", &h->mean));
        MQ_TRY(mq_calloc(err, features, sizeof *h->scale, "a classifier", &h->scale));
        for (size_t i = 0; i < features; i++) h->scale[i] = 1;
    }
    *head = h;
    h = NULL;
cleanup:
    mq_head_free(&h);
    return status;
}

mq_head_parts mq_head_split(const mq_head *head, float *params) {
    mq_head_parts parts = {0};
    if (head->hidden) {
        parts.w1 = params;
        parts.b1 = parts.w1 + head->features * head->hidden;
        params = parts.b1 + head->hidden;
    }
    parts.w2 = params;
    parts.b2 = parts.w2 + (head->hidden ? head->hidden : head->features) * head->classes;
    return parts;
}

/* first numbers the draws, so that the two layers never share one. */
static void glorot(float *w, size_t in, size_t out, uint64_t seed, uint64_t first) {
    const float limit = sqrtf(6.0f / (float)(in + out));
    for (size_t i = 0; i < in * out; i++)
        w[i] = (2 * mq_rng_unit(seed, MQ_RNG_INIT, 0, first + i) - 1) * limit;
}

void mq_head_init(mq_head *head, uint64_t seed) {
    const mq_head_parts parts = mq_head_split(head, head->params);
    memset(head->params, 0, head->count * sizeof *head->params);
    if (head->hidden) glorot(parts.w1, head->features, head->hidden, seed, 0);
    const size_t inner = head->hidden ? head->hidden : head->features;
    glorot(parts.w2, inner, head->classes, seed, (uint64_t)head->features * head->hidden);
}

void mq_head_work_free(mq_head_work **work) {
    if (!*work) return;
    free((*work)->input);
    free((*work)->hidden);
    free((*work)->logits);
    free((*work)->p);
    free((*work)->loss);
    free(*work);
    *work = NULL;
}

mq_status mq_head_work_create(mq_err *err, const mq_head *head, size_t rows, mq_head_work **work) {
    mq_status status = MQ_OK;
    mq_head_work *w = NULL;
    const size_t size = sizeof(float);
    MQ_TRY(mq_calloc(err, 1, sizeof *w, "a classifier", &w));
    w->rows = rows;
    if (head->mean) MQ_TRY(mq_alloc_aligned(err, rows * head->features, size, "a classifier", &w->input));
    if (head->hidden) MQ_TRY(mq_alloc_aligned(err, rows * head->hidden, size, "a classifier", &w->hidden));
    MQ_TRY(mq_alloc_aligned(err, rows * head->classes, size, "a classifier", &w->logits));
    MQ_TRY(mq_alloc_aligned(err, rows * head->classes, size, "a classifier", &w->p));
    MQ_TRY(mq_alloc_aligned(err, rows, size, "a classifier", &w->loss));
    *work = w;
    w = NULL;
cleanup:
    mq_head_work_free(&w);
    return status;
}

static void standardise(const mq_head *head, float *out, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < head->features; j++)
            out[i * head->features + j] = (x[i * head->features + j] - head->mean[j]) * head->scale[j];
}

mq_status mq_head_forward_targets(mq_err *err, const mq_head *head, mq_head_work *work, const float *x,
                                  const mq_targets *targets, size_t n) {
    mq_status status = MQ_OK;
    const mq_head_parts w = mq_head_split(head, head->params);
    const float *inner = x; /* [n, inner width] */
    size_t width = head->features;
    MQ_REQUIRE(n <= work->rows, err, MQ_INTERNAL, "%zu rows in a classifier made for %zu", n, work->rows);
    if (head->mean) {
        standardise(head, work->input, x, n);
        inner = work->input;
    }
    if (head->hidden) {
        width = head->hidden;
        mq_dense_forward(work->hidden, x, w.w1, w.b1, (mq_dense_shape){n, head->features, width});
        mq_relu_forward(work->hidden, work->hidden, n * width);
        inner = work->hidden;
    }
    mq_dense_forward(work->logits, inner, w.w2, w.b2, (mq_dense_shape){n, width, head->classes});
    mq_softmax_xent_forward(work->p, targets ? work->loss : NULL, work->logits, targets, n, head->classes);
cleanup:
    return status;
}

mq_status mq_head_forward(mq_err *err, const mq_head *head, mq_head_work *work, const float *x,
                          const uint32_t *labels, size_t n) {
    const mq_targets plain = {.labels.first = labels};
    return mq_head_forward_targets(err, head, work, x, labels ? &plain : NULL, n);
}

static mq_tensor tensor(const char *name, const float *data, size_t rows, size_t columns) {
    mq_tensor t = {
        .name = name, .dtype = MQ_F32, .data = data, .bytes = (rows ? rows : 1) * columns * sizeof(float)};
    if (rows) t.shape[t.rank++] = rows;
    t.shape[t.rank++] = columns;
    return t;
}

/* The tensors of a classifier; without parameters (w all NULL) their shapes alone. */
static size_t describe(const mq_head *head, const mq_head_parts *w, mq_tensor tensors[MQ_HEAD_TENSORS]) {
    size_t n = 0;
    if (head->hidden) {
        tensors[n++] = tensor("head/dense/kernel", w->w1, head->features, head->hidden);
        tensors[n++] = tensor("head/dense/bias", w->b1, 0, head->hidden);
    } else {
        tensors[n++] = tensor(MEAN, head->mean, 0, head->features);
        tensors[n++] = tensor("head/standardise/scale", head->scale, 0, head->features);
    }
    tensors[n++] = tensor("head/predictions/kernel", w->w2, head->hidden ? head->hidden : head->features,
                          head->classes);
    tensors[n++] = tensor("head/predictions/bias", w->b2, 0, head->classes);
    return n;
}

size_t mq_head_tensors(const mq_head *head, mq_tensor tensors[MQ_HEAD_TENSORS]) {
    const mq_head_parts parts = mq_head_split(head, head->params);
    return describe(head, &parts, tensors);
}

/* The file's tensors against those wanted, before anything of the size it claims is made. */
static mq_status find_tensors(mq_err *err, const mq_bundle *bundle, const mq_head *sizes,
                              const mq_tensor *found[MQ_HEAD_TENSORS]) {
    mq_tensor wanted[MQ_HEAD_TENSORS];
    const size_t count = describe(sizes, &(mq_head_parts){0}, wanted);
    for (size_t i = 0; i < count; i++) {
        const mq_tensor *w = &wanted[i], *f = found[i] = mq_bundle_find(bundle, w->name);
        if (!f || f->dtype != MQ_F32 || f->rank != w->rank ||
            memcmp(f->shape, w->shape, w->rank * sizeof *w->shape) != 0)
            return mq_fail(err, MQ_BAD_DATA, "%s: the classifier's tensor %s is missing or of another shape",
                           mq_bundle_path(bundle), w->name);
    }
    return MQ_OK;
}

mq_status mq_head_load(mq_err *err, const mq_bundle *bundle, size_t features, size_t classes,
                       mq_head **head) {
    mq_status status = MQ_OK;
    mq_head *h = NULL;
    mq_tensor wanted[MQ_HEAD_TENSORS];
    const mq_tensor *found[MQ_HEAD_TENSORS];
    const mq_head_kind kind = mq_bundle_find(bundle, MEAN) ? MQ_HEAD_LINEAR : MQ_HEAD_1024;
    MQ_TRY(find_tensors(
        err, bundle, &(mq_head){.hidden = hidden_of(kind), .features = features, .classes = classes}, found));
    MQ_TRY(mq_head_create(err, kind, features, classes, &h));
    /* The wanted tensors are views into h, which is ours to write. */
    for (size_t i = mq_head_tensors(h, wanted); i-- > 0;)
        memcpy((void *)(uintptr_t)wanted[i].data, found[i]->data, wanted[i].bytes);
    *head = h;
    h = NULL;
cleanup:
    mq_head_free(&h);
    return status;
}

void mq_top_k(const float *p, size_t classes, size_t k, size_t *best) {
    size_t count = 0;
    for (size_t j = 0; j < classes; j++) {
        size_t place = count;
        while (place > 0 && p[j] > p[best[place - 1]]) place--;
        if (place >= k) continue;
        if (count < k) count++;
        for (size_t i = count - 1; i > place; i--) best[i] = best[i - 1];
        best[place] = j;
    }
}
