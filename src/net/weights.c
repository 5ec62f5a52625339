/* weights.c: the place of pulled weights and the list of what they hold.
 * Called by pull, train, bench and doctor. Owns nothing. Invariant: the list
 * stands in the order of Keras' model.layers, since files that do not name
 * their layers are read by that order alone. */
#include "net/weights.h"
#include "base/file.h"
#include "base/mem.h"

static mq_status find_arch(mq_err *err, const char *name, const mq_arch **arch) {
    *arch = mq_arch_find(name);
    if (*arch) return MQ_OK;
    return mq_fail(err, MQ_USAGE, "%s is not a network marque knows; marque pull --list shows them", name);
}

mq_status mq_weights_place(mq_err *err, const char *name, char **path) {
    mq_status status = MQ_OK;
    const mq_arch *arch = NULL;
    char *cache = NULL, *file = NULL;
    MQ_TRY(find_arch(err, name, &arch));
    MQ_TRY(mq_cache_folder(err, &cache));
    MQ_TRY(mq_format(err, &file, "weights/%s.safetensors", arch->name));
    MQ_TRY(mq_path_join(err, cache, file, path));
cleanup:
    free(cache);
    free(file);
    return status;
}

mq_status mq_weights_path(mq_err *err, const char *name, char **path) {
    mq_status status = MQ_OK;
    char *place = NULL;
    MQ_TRY(mq_weights_place(err, name, &place));
    const mq_arch *arch = mq_arch_find(name);
    MQ_REQUIRE(mq_file_exists(place), err, MQ_NO_INPUT,
               "the weights of %s are not here yet; fetch them with: marque pull %s (%.0f MB, %s)",
               arch->name, arch->name, (double)arch->bytes / 1e6, arch->licence);
    *path = place;
    place = NULL;
cleanup:
    free(place);
    return status;
}

/* A node's place in Keras' model.layers: farther from the output first, then as first met from there. */
typedef struct {
    size_t node, depth, met;
} place;

static int by_keras(const void *left, const void *right) {
    const place *l = left, *r = right;
    if (l->depth != r->depth) return l->depth > r->depth ? -1 : 1;
    return l->met < r->met ? -1 : l->met > r->met;
}

/* Longest way from each node to the output, the last node. Inputs stand before what they feed. */
static void measure_depths(const mq_graph *graph, place *places, size_t count) {
    for (size_t i = count; i-- > 0;) {
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = 0; k < node->input_count; k++) {
            place *input = &places[node->inputs[k]];
            if (input->depth < places[i].depth + 1) input->depth = places[i].depth + 1;
        }
    }
}

/* Numbers the nodes in the order in which a walk from the output, inputs in turn, first meets them. stack has
 * room for all edges. */
static void number_nodes(const mq_graph *graph, place *places, size_t count, size_t *stack) {
    size_t top = 0, met = 1;
    stack[top++] = count - 1;
    while (top) {
        const size_t i = stack[--top];
        if (places[i].met) continue;
        places[i].met = met++;
        const mq_node *node = mq_graph_node(graph, i);
        for (size_t k = node->input_count; k-- > 0;) stack[top++] = node->inputs[k];
    }
}

/* A node as Keras sees it. */
static void fill_layer(const mq_graph *graph, const mq_node *node, mq_foreign_layer *layer) {
    layer->layer = node->name;
    layer->class_name = mq_node_class(node);
    layer->param_count = mq_node_param_count(node);
    for (size_t p = 0; p < layer->param_count; p++) layer->params[p] = mq_node_param(graph, node, p);
}

mq_status mq_weights_list(mq_err *err, const char *network, const mq_graph *graph, mq_foreign_list *list) {
    mq_status status = MQ_OK;
    const size_t count = mq_graph_size(graph);
    place *places = NULL;
    size_t *stack = NULL;
    *list = (mq_foreign_list){.network = network};
    MQ_TRY(mq_calloc(err, count, sizeof *places, "a list of layers", &places));
    MQ_TRY(mq_calloc(err, count * MQ_NODE_INPUTS + 1, sizeof *stack, "a list of layers", &stack));
    MQ_TRY(mq_calloc(err, count, sizeof *list->layers, "a list of layers", &list->layers));
    for (size_t i = 0; i < count; i++) places[i].node = i;
    measure_depths(graph, places, count);
    number_nodes(graph, places, count, stack);
    qsort(places, count, sizeof *places, by_keras);
    for (size_t i = 0; i < count; i++) {
        const mq_node *node = mq_graph_node(graph, places[i].node);
        if (mq_node_param_count(node)) fill_layer(graph, node, &list->layers[list->count++]);
    }
cleanup:
    free(places);
    free(stack);
    return status;
}
