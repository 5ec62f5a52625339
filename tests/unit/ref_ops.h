/* ref_ops.h: every operation of the graph as plain loops in double, and a walk over a whole graph with them.
 */
#ifndef MQ_REF_OPS_H
#define MQ_REF_OPS_H

#include "net/tensors.h"

#include <math.h>
#include <stdlib.h>

typedef struct {
    mq_shape shape;
    double *x; /* h, w, c */
} ref_tensor;

/* out(y, x, o) = sum over the window of in(.., i) * w(ky, kx, i, o); depthwise: o = i. */
static void ref_conv(const mq_node *node, const ref_tensor *in, const float *w, bool depthwise,
                     ref_tensor *out) {
    const mq_shape s = in->shape, r = out->shape;
    const size_t top = mq_window_extent(s.h, node->kernel, node->stride, node->same).before;
    const size_t left = mq_window_extent(s.w, node->kernel, node->stride, node->same).before;
    for (size_t i = 0; i < r.h * r.w * r.c; i++) out->x[i] = 0.0;
    for (size_t y = 0; y < r.h; y++)
        for (size_t x = 0; x < r.w; x++)
            for (size_t k = 0; k < node->kernel * node->kernel; k++) {
                const size_t sy = y * node->stride + k / node->kernel - top; /* wraps above the edge */
                const size_t sx = x * node->stride + k % node->kernel - left;
                if (sy >= s.h || sx >= s.w) continue;
                const double *pixel = in->x + (sy * s.w + sx) * s.c;
                double *o = out->x + (y * r.w + x) * r.c;
                for (size_t i = 0; i < s.c; i++) {
                    if (depthwise)
                        o[i] += pixel[i] * w[k * s.c + i];
                    else
                        for (size_t j = 0; j < r.c; j++) o[j] += pixel[i] * w[(k * s.c + i) * r.c + j];
                }
            }
}

static void ref_sepconv(const mq_node *node, const ref_tensor *in, const float *depth, const float *point,
                        ref_tensor *out) {
    ref_tensor between = {.shape = {out->shape.h, out->shape.w, in->shape.c}};
    const mq_node pointwise = {.kernel = 1, .stride = 1};
    between.x = calloc(between.shape.h * between.shape.w * between.shape.c, sizeof *between.x);
    ref_conv(node, in, depth, true, &between);
    ref_conv(&pointwise, &between, point, false, out);
    free(between.x);
}

static void ref_batch_norm(const mq_node *node, const ref_tensor *in, const float *const p[4],
                           ref_tensor *out) {
    const size_t c = in->shape.c;
    for (size_t i = 0; i < in->shape.h * in->shape.w * c; i++)
        out->x[i] = p[0][i % c] * (in->x[i] - p[2][i % c]) / sqrt(p[3][i % c] + node->epsilon) + p[1][i % c];
}

static void ref_max_pool(const mq_node *node, const ref_tensor *in, ref_tensor *out) {
    const mq_shape s = in->shape, r = out->shape;
    const size_t top = mq_window_extent(s.h, node->kernel, node->stride, node->same).before;
    const size_t left = mq_window_extent(s.w, node->kernel, node->stride, node->same).before;
    for (size_t i = 0; i < r.h * r.w * r.c; i++) {
        const size_t y = i / r.c / r.w, x = i / r.c % r.w, c = i % r.c;
        out->x[i] = -INFINITY;
        for (size_t k = 0; k < node->kernel * node->kernel; k++) {
            const size_t sy = y * node->stride + k / node->kernel - top;
            const size_t sx = x * node->stride + k % node->kernel - left;
            if (sy < s.h && sx < s.w) out->x[i] = fmax(out->x[i], in->x[(sy * s.w + sx) * s.c + c]);
        }
    }
}

static void ref_global_avg_pool(const ref_tensor *in, ref_tensor *out) {
    const size_t pixels = in->shape.h * in->shape.w, c = in->shape.c;
    for (size_t i = 0; i < c; i++) out->x[i] = 0.0;
    for (size_t i = 0; i < pixels * c; i++) out->x[i % c] += in->x[i] / (double)pixels;
}

static void ref_node(const mq_graph *graph, const mq_bundle *weights, const mq_node *node,
                     const ref_tensor *all, ref_tensor *out) {
    const ref_tensor *a = &all[node->inputs[0]], *b = &all[node->inputs[1]];
    const float *p[MQ_NODE_PARAMS] = {NULL};
    const size_t size = out->shape.h * out->shape.w * out->shape.c;
    for (size_t k = 0; k < mq_node_param_count(node); k++)
        p[k] = mq_tensors_get(weights, "", node, mq_node_param(graph, node, k).name);
    switch (node->op) {
    case MQ_OP_CONV:
        ref_conv(node, a, p[0], false, out);
        break;
    case MQ_OP_SEPCONV:
        ref_sepconv(node, a, p[0], p[1], out);
        break;
    case MQ_OP_BATCH_NORM:
        ref_batch_norm(node, a, (const float *const *)p, out);
        break;
    case MQ_OP_RELU:
        for (size_t i = 0; i < size; i++) out->x[i] = fmax(a->x[i], 0.0);
        break;
    case MQ_OP_MAX_POOL:
        ref_max_pool(node, a, out);
        break;
    case MQ_OP_ADD:
        for (size_t i = 0; i < size; i++) out->x[i] = a->x[i] + b->x[i];
        break;
    case MQ_OP_GLOBAL_AVG_POOL:
        ref_global_avg_pool(a, out);
        break;
    default: /* the input is filled by ref_graph */
        break;
    }
}

/* The result of the last node for one picture; the caller's, for free(). */
static double *ref_graph(const mq_graph *graph, const mq_bundle *weights, const float *picture) {
    const size_t nodes = mq_graph_size(graph);
    ref_tensor *all = calloc(nodes, sizeof *all);
    for (size_t i = 0; i < nodes; i++) {
        const mq_node *node = mq_graph_node(graph, i);
        const size_t size = node->shape.h * node->shape.w * node->shape.c;
        all[i] = (ref_tensor){node->shape, calloc(size, sizeof(double))};
        if (node->op == MQ_OP_INPUT)
            for (size_t k = 0; k < size; k++) all[i].x[k] = picture[k];
        ref_node(graph, weights, node, all, &all[i]);
    }
    double *result = all[nodes - 1].x;
    for (size_t i = 0; i + 1 < nodes; i++) free(all[i].x);
    free(all);
    return result;
}

#endif
