/* export.c: a model file in, a model file in 8 bits out. Called by cmd_export.c.
 * Owns what it reads while it works. Invariant: everything but the layers that are
 * quantised goes over as it is, metadata too but for the text on calibration. */
#include "infer/export.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/rng.h"
#include "data/loader.h"

#include <string.h>

/* What a layer may lose: the error's part of the variance of its result. */
static const double LOST_MOST = 0.01;
static const char CALIBRATION[] = "calibration"; /* the text that an export adds, and replaces */

typedef struct {
    const mq_export_plan *plan;
    mq_exported *exported;
    mq_bundle *bundle;
    mq_model_card card;
    mq_calibration *calibration;
} export_state;

/* Shows the calibration `count` training pictures. */
static mq_status show_pictures(mq_err *err, export_state *s, size_t count) {
    mq_status status = MQ_OK;
    const mq_export_plan *plan = s->plan;
    const size_t all = mq_dataset_count(plan->dataset, MQ_TRAIN);
    const double start = mq_seconds();
    uint32_t *order = NULL;
    mq_loader *loader = NULL;
    MQ_TRY(mq_calloc(err, all, sizeof *order, "the order of pictures", &order));
    mq_rng_permutation(plan->seed, MQ_RNG_CALIBRATE, 0, order, (uint32_t)all);
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = plan->dataset,
                                 .split = MQ_TRAIN,
                                 .recipe = &s->card.recipe,
                                 .order = order,
                                 .count = count,
                                 .batch = 1,
                                 .workers = plan->workers};
    MQ_TRY(mq_loader_open(err, &load, &loader));
    for (size_t done = 1; done <= count; done++) {
        const float *pixels = NULL;
        size_t n = 0;
        MQ_TRY(mq_loader_next(err, loader, &pixels, &n));
        MQ_TRY(mq_calibration_add(err, s->calibration, pixels));
        if (plan->progress) plan->progress(plan->user, done, count, mq_seconds() - start);
        MQ_REQUIRE(!plan->stop || !plan->stop(plan->user), err, MQ_INTERRUPTED,
                   "stopped; nothing is written");
    }
cleanup:
    mq_loader_free(&loader);
    free(order);
    return status;
}

static mq_status count_layer(mq_err *err, void *user, const mq_calibrated *layer, size_t index,
                             size_t count) {
    const export_state *s = user;
    const mq_export_plan *plan = s->plan;
    s->exported->layers = count;
    s->exported->quantised += layer->quantised;
    if (plan->stop && plan->stop(plan->user))
        return mq_fail(err, MQ_INTERRUPTED, "stopped; nothing is written");
    return plan->layer ? plan->layer(err, plan->user, layer, index, count) : MQ_OK;
}

/* The bundle's tensors, with those of the calibration in their places or behind them; *all is the caller's.
 */
static mq_status join_tensors(mq_err *err, const export_state *s, mq_tensor **all, size_t *count) {
    mq_status status = MQ_OK;
    const mq_tensor *made = NULL;
    const size_t made_count = mq_calibration_tensors(s->calibration, &made);
    mq_tensor *list = NULL;
    size_t n = 0;
    MQ_TRY(mq_calloc(err, mq_bundle_count(s->bundle) + made_count, sizeof *list, "a model", &list));
    for (size_t i = 0; i < mq_bundle_count(s->bundle); i++) {
        const mq_tensor *tensor = mq_bundle_at(s->bundle, i);
        size_t k = 0;
        while (k < made_count && strcmp(made[k].name, tensor->name) != 0) k++;
        if (k == made_count) list[n++] = *tensor;
    }
    memcpy(list + n, made, made_count * sizeof *made);
    *all = list;
    *count = n + made_count;
cleanup:
    return status;
}

static mq_status write_model(mq_err *err, const export_state *s) {
    mq_status status = MQ_OK;
    mq_tensor *tensors = NULL;
    mq_meta *metas = NULL, *all = NULL;
    mq_json *calibration = NULL;
    char *text = NULL;
    size_t tensor_count = 0, meta_count = 0, kept = 0;
    MQ_TRY(join_tensors(err, s, &tensors, &tensor_count));
    MQ_TRY(mq_bundle_metas(err, s->bundle, &metas, &meta_count));
    MQ_TRY(mq_calloc(err, meta_count + 2, sizeof *all, "a model", &all));
    for (size_t i = 0; i < meta_count; i++)
        if (strcmp(metas[i].key, CALIBRATION) != 0 && strcmp(metas[i].key, MQ_BUNDLE_SEAL) != 0)
            all[kept++] = metas[i];
    all[kept++] = (mq_meta){MQ_BUNDLE_SEAL, ""};
    MQ_TRY(mq_json_pack(err, &calibration, "{s:i, s:i, s:i, s:s, s:s}", "pictures",
                        (int)s->exported->pictures, "layers", (int)s->exported->layers, "quantised",
                        (int)s->exported->quantised, "data", mq_dataset_digest(s->plan->dataset), "model",
                        mq_bundle_digest(s->bundle)));
    MQ_TRY(mq_json_dump(err, calibration, 0, &text));
    all[kept++] = (mq_meta){CALIBRATION, text};
    MQ_TRY(mq_bundle_write(err, s->plan->to, tensors, tensor_count, all, kept));
cleanup:
    free(tensors);
    free(metas);
    free(all);
    free(text);
    mq_json_free(&calibration);
    return status;
}

mq_status mq_export_int8(mq_err *err, const mq_export_plan *plan, mq_exported *exported) {
    mq_status status = MQ_OK;
    export_state s = {.plan = plan, .exported = exported};
    mq_writer *probe = NULL;
    mq_head *head = NULL;
    *exported = (mq_exported){0};
    MQ_REQUIRE(plan->size == sizeof *plan && plan->pictures, err, MQ_INTERNAL, "an export without pictures");
    const size_t all = mq_dataset_count(plan->dataset, MQ_TRAIN);
    MQ_REQUIRE(all, err, MQ_BAD_DATA, "%s: has no training pictures to calibrate on",
               mq_dataset_folder(plan->dataset));
    exported->pictures = plan->pictures < all ? plan->pictures : all;
    MQ_TRY(mq_bundle_open(err, plan->from, &s.bundle));
    MQ_TRY(mq_model_card_read(err, s.bundle, &s.card));
    MQ_TRY(mq_head_load(err, s.bundle, s.card.arch->features, s.card.classes.count, &head)); /* to check it */
    exported->own = strcmp(s.card.data_digest, mq_dataset_digest(plan->dataset)) == 0;
    MQ_TRY(mq_writer_open(err, plan->to, &probe)); /* what cannot be written is told before the search */
    mq_writer_abort(&probe);
    const mq_calibration_plan calibration = {.size = sizeof calibration,
                                             .arch = s.card.arch,
                                             .weights = s.bundle,
                                             .prefix = MQ_TRUNK_PREFIX,
                                             .imgsz = s.card.recipe.imgsz,
                                             .pictures = exported->pictures,
                                             .seed = plan->seed};
    MQ_TRY(mq_calibration_create(err, &calibration, &s.calibration));
    MQ_TRY(show_pictures(err, &s, exported->pictures));
    MQ_TRY(mq_calibration_fit(err, s.calibration, LOST_MOST, count_layer, &s));
    MQ_TRY(write_model(err, &s));
cleanup:
    mq_head_free(&head);
    mq_calibration_free(&s.calibration);
    mq_model_card_free(&s.card);
    mq_bundle_free(&s.bundle);
    return status;
}
