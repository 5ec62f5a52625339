/* ref_train.h: a whole training pass as plain loops in double: every operation forward over a batch and
 * backward, batch norm on the batch's or on stored statistics. Gradients are checked against differences in
 * test_trainable.c. */
#ifndef MQ_REF_TRAIN_H
#define MQ_REF_TRAIN_H

#include "net/tensors.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const mq_graph *graph;
    const mq_bundle *weights;
    size_t n, nodes;
    bool batch;                         /* batch norms use the batch's statistics */
    double **x, **g;                    /* [nodes] tensors [n, h, w, c] and their gradients */
    double *param[256][MQ_NODE_PARAMS]; /* parameters, owned */
    double *grad[256][MQ_NODE_PARAMS];
    double *mean[256], *variance[256]; /* of batch norms in the last forward pass */
} ref_net;

static size_t ref_size(const ref_net *r, size_t i) {
    const mq_shape s = mq_graph_node(r->graph, i)->shape;
    return s.h * s.w * s.c;
}

static void ref_open(ref_net *r, const mq_graph *graph, const mq_bundle *weights, size_t n, bool batch) {
    *r = (ref_net){.graph = graph, .weights = weights, .n = n, .nodes = mq_graph_size(graph), .batch = batch};
    r->x = calloc(r->nodes, sizeof *r->x);
    r->g = calloc(r->nodes, sizeof *r->g);
    for (size_t i = 0; i < r->nodes; i++) {
        const mq_node *node = mq_graph_node(graph, i);
        r->x[i] = calloc(n * ref_size(r, i), sizeof(double));
        r->g[i] = calloc(n * ref_size(r, i), sizeof(double));
        r->mean[i] = calloc(node->shape.c, sizeof(double));
        r->variance[i] = calloc(node->shape.c, sizeof(double));
        for (size_t k = 0; k < mq_node_param_count(node); k++) {
            const mq_param_shape p = mq_node_param(graph, node, k);
            const float *values = mq_tensors_get(weights, "", node, p.name);
            r->param[i][k] = calloc(mq_param_numbers(&p), sizeof(double));
            r->grad[i][k] = calloc(mq_param_numbers(&p), sizeof(double));
            for (size_t j = 0; j < mq_param_numbers(&p); j++) r->param[i][k][j] = (double)values[j];
        }
    }
}

static void ref_close(ref_net *r) {
    for (size_t i = 0; i < r->nodes; i++) {
        free(r->x[i]);
        free(r->g[i]);
        free(r->mean[i]);
        free(r->variance[i]);
        for (size_t k = 0; k < MQ_NODE_PARAMS; k++) {
            free(r->param[i][k]);
            free(r->grad[i][k]);
        }
    }
    free(r->x);
    free(r->g);
}

typedef struct {
    const mq_node *node;
    mq_shape s, r; /* of source and result */
    bool depthwise;
    const double *x, *w;
    double *y;        /* NULL: backward */
    const double *dy; /* NULL: forward */
    double *dx, *dw;  /* added to */
} ref_conv;

/* A convolution of one picture, or its gradients. */
static void ref_conv_run(const ref_conv *v) {
    const mq_node *node = v->node;
    const mq_shape s = v->s, r = v->r;
    const size_t top = mq_window_extent(s.h, node->kernel, node->stride, node->same).before;
    const size_t left = mq_window_extent(s.w, node->kernel, node->stride, node->same).before;
    for (size_t p = 0; p < r.h * r.w; p++)
        for (size_t k = 0; k < node->kernel * node->kernel; k++) {
            const size_t sy = p / r.w * node->stride + k / node->kernel - top;
            const size_t sx = p % r.w * node->stride + k % node->kernel - left;
            if (sy >= s.h || sx >= s.w) continue;
            for (size_t i = 0; i < s.c; i++)
                for (size_t j = 0; j < (v->depthwise ? 1 : r.c); j++) {
                    const size_t at = (sy * s.w + sx) * s.c + i, to = p * r.c + (v->depthwise ? i : j);
                    const size_t wat = v->depthwise ? k * s.c + i : (k * s.c + i) * r.c + j;
                    if (v->y) v->y[to] += v->x[at] * v->w[wat];
                    if (v->dy) v->dx[at] += v->dy[to] * v->w[wat], v->dw[wat] += v->dy[to] * v->x[at];
                }
        }
}

static void ref_conv_node(ref_net *r, size_t i, bool backward) {
    const mq_node *node = mq_graph_node(r->graph, i), pointwise = {.kernel = 1, .stride = 1};
    const size_t in = node->inputs[0];
    const mq_shape s = mq_graph_node(r->graph, in)->shape, out = node->shape, mid = {out.h, out.w, s.c};
    const bool dense = node->op == MQ_OP_CONV;
    for (size_t p = 0; p < r->n; p++) {
        double *x = r->x[in] + p * ref_size(r, in), *dx = r->g[in] + p * ref_size(r, in);
        double *y = r->x[i] + p * ref_size(r, i), *dy = r->g[i] + p * ref_size(r, i);
        double *u = calloc(mid.h * mid.w * mid.c, sizeof *u), *du = calloc(mid.h * mid.w * mid.c, sizeof *du);
        ref_conv first = {.node = node, .s = s, .r = dense ? out : mid, .depthwise = !dense, .x = x};
        ref_conv second = {.node = &pointwise, .s = mid, .r = out, .x = u, .w = r->param[i][1]};
        first.w = r->param[i][0];
        if (!backward) memset(y, 0, ref_size(r, i) * sizeof *y);
        first.y = !dense ? u : backward ? NULL : y;
        if (first.y) ref_conv_run(&first);
        first.y = NULL;
        second.y = backward ? NULL : y;
        if (backward) second.dy = dy, second.dx = du, second.dw = r->grad[i][1];
        if (!dense) ref_conv_run(&second);
        first.dy = dense ? dy : du, first.dx = dx, first.dw = r->grad[i][0];
        if (backward) ref_conv_run(&first);
        free(u);
        free(du);
    }
}

static void ref_norm_forward(ref_net *r, size_t i) {
    const mq_node *node = mq_graph_node(r->graph, i);
    const size_t c = node->shape.c, count = r->n * ref_size(r, i);
    const double *x = r->x[node->inputs[0]], per = (double)(count / c);
    double *mean = r->mean[i], *variance = r->variance[i];
    for (size_t j = 0; j < c; j++) {
        mean[j] = r->batch ? 0 : r->param[i][2][j];
        variance[j] = r->batch ? 0 : r->param[i][3][j];
    }
    for (size_t k = 0; r->batch && k < count; k++) mean[k % c] += x[k] / per;
    for (size_t k = 0; r->batch && k < count; k++)
        variance[k % c] += (x[k] - mean[k % c]) * (x[k] - mean[k % c]) / per;
    for (size_t k = 0; k < count; k++)
        r->x[i][k] = r->param[i][0][k % c] * (x[k] - mean[k % c]) / sqrt(variance[k % c] + node->epsilon) +
                     r->param[i][1][k % c];
}

static void ref_norm_backward(ref_net *r, size_t i) {
    const mq_node *node = mq_graph_node(r->graph, i);
    const size_t c = node->shape.c, count = r->n * ref_size(r, i);
    const double *x = r->x[node->inputs[0]], *dy = r->g[i], per = (double)(count / c);
    for (size_t k = 0; k < count; k++) {
        const double hat = (x[k] - r->mean[i][k % c]) / sqrt(r->variance[i][k % c] + node->epsilon);
        r->grad[i][0][k % c] += dy[k] * hat;
        r->grad[i][1][k % c] += dy[k];
    }
    for (size_t k = 0; k < count; k++) {
        const size_t j = k % c;
        const double inverse = 1 / sqrt(r->variance[i][j] + node->epsilon),
                     hat = (x[k] - r->mean[i][j]) * inverse;
        const double rest = r->batch ? (r->grad[i][1][j] + hat * r->grad[i][0][j]) / per : 0;
        r->g[node->inputs[0]][k] += r->param[i][0][j] * inverse * (dy[k] - rest);
    }
}

/* The place of the largest in the window of result k; the first of equals. */
static size_t ref_largest(const ref_net *r, size_t i, size_t k) {
    const mq_node *node = mq_graph_node(r->graph, i);
    const mq_shape s = mq_graph_node(r->graph, node->inputs[0])->shape, out = node->shape;
    const size_t top = mq_window_extent(s.h, node->kernel, node->stride, node->same).before;
    const size_t left = mq_window_extent(s.w, node->kernel, node->stride, node->same).before;
    const size_t p = k / ref_size(r, i), c = k % out.c, y = k / out.c / out.w % out.h, x = k / out.c % out.w;
    const double *in = r->x[node->inputs[0]];
    size_t best = SIZE_MAX;
    for (size_t w = 0; w < node->kernel * node->kernel; w++) {
        const size_t sy = y * node->stride + w / node->kernel - top,
                     sx = x * node->stride + w % node->kernel - left;
        const size_t at = ((p * s.h + sy) * s.w + sx) * s.c + c;
        if (sy < s.h && sx < s.w && (best == SIZE_MAX || in[at] > in[best])) best = at;
    }
    return best;
}

static void ref_pool(ref_net *r, size_t i, bool backward) {
    const size_t in = mq_graph_node(r->graph, i)->inputs[0];
    for (size_t k = 0; k < r->n * ref_size(r, i); k++) {
        const size_t best = ref_largest(r, i, k);
        if (backward)
            r->g[in][best] += r->g[i][k];
        else
            r->x[i][k] = r->x[in][best];
    }
}

static void ref_mean(ref_net *r, size_t i, bool backward) {
    const size_t in = mq_graph_node(r->graph, i)->inputs[0], c = mq_graph_node(r->graph, i)->shape.c;
    const size_t pixels = ref_size(r, in) / c;
    for (size_t k = 0; k < r->n * c && !backward; k++) r->x[i][k] = 0;
    for (size_t k = 0; k < r->n * pixels * c; k++) {
        const size_t to = k / (pixels * c) * c + k % c;
        if (backward)
            r->g[in][k] += r->g[i][to] / (double)pixels;
        else
            r->x[i][to] += r->x[in][k] / (double)pixels;
    }
}

static void ref_step(ref_net *r, size_t i, bool backward) {
    const mq_node *node = mq_graph_node(r->graph, i);
    const size_t a = node->inputs[0], b = node->inputs[1], count = r->n * ref_size(r, i);
    switch (node->op) {
    case MQ_OP_CONV:
    case MQ_OP_SEPCONV:
        ref_conv_node(r, i, backward);
        break;
    case MQ_OP_BATCH_NORM:
        backward ? ref_norm_backward(r, i) : ref_norm_forward(r, i);
        break;
    case MQ_OP_MAX_POOL:
        ref_pool(r, i, backward);
        break;
    case MQ_OP_RELU:
        for (size_t k = 0; k < count; k++)
            if (backward)
                r->g[a][k] += r->x[a][k] > 0 ? r->g[i][k] : 0;
            else
                r->x[i][k] = fmax(r->x[a][k], 0);
        break;
    case MQ_OP_ADD:
        for (size_t k = 0; k < count; k++)
            if (backward)
                r->g[a][k] += r->g[i][k], r->g[b][k] += r->g[i][k];
            else
                r->x[i][k] = r->x[a][k] + r->x[b][k];
        break;
    case MQ_OP_GLOBAL_AVG_POOL:
        ref_mean(r, i, backward);
        break;
    default:
        break;
    }
}

/* From the tensor of node `from`, already filled, to the last. */
static void ref_forward(ref_net *r, size_t from) {
    for (size_t i = from + 1; i < r->nodes; i++) ref_step(r, i, false);
}

/* From the last node's gradient, already filled. */
static void ref_backward(ref_net *r) {
    for (size_t i = r->nodes; i-- > 1;) ref_step(r, i, true);
}

#endif
