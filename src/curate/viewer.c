/* viewer.c: the network that looks at pictures. Called by whoever compares pictures by it. Owns its program.
 * Invariant: one program and one hash, however often and by whomever it is asked. */
#include "curate/viewer.h"
#include "base/hash.h"
#include "base/mem.h"
#include "net/tensors.h"

enum { BATCH = 16 };

struct mq_viewer {
    mq_viewer_plan plan;
    mq_program *program; /* NULL: nothing was looked at yet */
    char hash[MQ_HASH_HEX_SIZE];
};

mq_status mq_viewer_open(mq_err *err, const mq_viewer_plan *plan, mq_viewer **viewer) {
    mq_status status = MQ_OK;
    mq_viewer *v = NULL;
    MQ_REQUIRE(plan->size == sizeof *plan && plan->weights, err, MQ_INTERNAL, "a viewer without weights");
    MQ_TRY(mq_calloc(err, 1, sizeof *v, "network", &v));
    v->plan = *plan;
    *viewer = v;
cleanup:
    return status;
}

void mq_viewer_free(mq_viewer **viewer) {
    if (!*viewer) return;
    mq_program_free(&(*viewer)->program);
    free(*viewer);
    *viewer = NULL;
}

size_t mq_viewer_width(const mq_viewer *viewer) {
    return viewer->plan.arch->features;
}

/* The trunk, and the hash under which the cache knows its weights. */
static mq_status make_program(mq_err *err, mq_viewer *v) {
    mq_status status = MQ_OK;
    mq_graph *graph = NULL;
    const mq_viewer_plan *plan = &v->plan;
    const mq_program_plan make = {.size = sizeof make,
                                  .arch = plan->arch,
                                  .weights = plan->weights,
                                  .prefix = "",
                                  .imgsz = plan->recipe->imgsz,
                                  .batch = BATCH,
                                  .dtype = plan->dtype};
    MQ_TRY(plan->arch->build(err, plan->recipe->imgsz, &graph));
    MQ_TRY(mq_program_create(err, &make, &v->program)); /* checks the weights, of which the hash is */
    MQ_TRY(mq_tensors_hash(err, graph, plan->weights, mq_graph_size(graph) - 1, v->hash));
cleanup:
    mq_graph_free(&graph);
    return status;
}

mq_status mq_viewer_look(mq_err *err, mq_viewer *v, const mq_look_plan *plan, mq_features **features) {
    mq_status status = MQ_OK;
    if (!v->program) MQ_TRY(make_program(err, v));
    const mq_features_plan open = {.size = sizeof open,
                                   .dataset = plan->dataset,
                                   .split = plan->split,
                                   .count = mq_dataset_count(plan->dataset, plan->split),
                                   .flips = plan->flips,
                                   .recipe = v->plan.recipe,
                                   .program = v->program,
                                   .weights_hash = v->hash,
                                   .width = mq_viewer_width(v),
                                   .dtype = v->plan.dtype,
                                   .batch = BATCH,
                                   .workers = v->plan.workers,
                                   .stop = plan->stop,
                                   .progress = plan->progress,
                                   .user = plan->user};
    MQ_TRY(mq_features_open(err, &open, features));
cleanup:
    return status;
}
