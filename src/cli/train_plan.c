/* train_plan.c: the table of stages with time, memory and disk, from a few
 * measured batches. Called by cmd_train.c. Owns nothing. Invariant: nothing is
 * promised that was not measured or counted on this machine. */
#include "cli/train_plan.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { DETAILS_LIMIT = 64 << 20, UNEVEN = 10 };

/* The program itself, oneDNN's generated code and stacks; and pictures on their way while a cache is filled:
 * the loader's, mirrored ones, those being decoded. Both measured (tests/job/test_thaw.py). */
static const double PROCESS = 40e6, PICTURES = 84;

/* What the process holds in all: the stage, the weights as they came, the classifier with gradient, moments
 * and a copy, and what it makes of a batch: features, its layers and their gradients. */
static double memory_of(const mq_train_plan *plan, const mq_trunk_cost *cost) {
    double weights = 0;
    for (size_t i = 0; i < mq_bundle_count(plan->weights); i++)
        weights += (double)mq_bundle_at(plan->weights, i)->bytes;
    const double picture = 3.0 * sizeof(float) * plan->recipe->imgsz * plan->recipe->imgsz;
    const double row = 4.0 * (double)plan->arch->features + 3.0 * (double)mq_dataset_classes(plan->dataset);
    return (double)cost->memory + weights + PROCESS + PICTURES * picture +
           sizeof(float) * (5.0 * (double)cost->head_params + (double)plan->batch * row);
}

static void print_head(const mq_train_plan *plan, const mq_trunk_cost *first, size_t count) {
    fprintf(stderr, "%s %u px, %s, %d %s (%.1f img/s forward), %zu classes, train %zu, val %zu\n",
            plan->arch->name, plan->recipe->imgsz, mq_dtype_name(plan->dtype), mq_par_threads(),
            mq_par_threads() == 1 ? "core" : "cores", 1 / (first->frozen + first->validation),
            mq_dataset_classes(plan->dataset), count, plan->parts->val_count);
    fprintf(stderr, "%-10s%-20s%9s%8s%9s  %-7s%9s%9s%9s\n", "stage", "thawed", "params", "epochs", "lr", "BN",
            "time", "memory", "disk");
}

/* What is asked for beyond each picture once and each label as it is. */
static void print_labels(const mq_train_plan *plan) {
    const float *w = plan->class_weights;
    float least = w ? w[0] : 1, most = least;
    for (size_t c = 0; w && c < mq_dataset_classes(plan->dataset); c++) {
        least = fminf(least, w[c]);
        most = fmaxf(most, w[c]);
    }
    if (w) fprintf(stderr, "class weights %.3g to %.3g\n", (double)least, (double)most);
    if (plan->sampling == MQ_SAMPLE_BALANCED) fputs("each class is shown equally often\n", stderr);
    if (plan->shuffle_buffer) fprintf(stderr, "pictures are shuffled %zu at a time\n", plan->shuffle_buffer);
    if (plan->smoothing > 0) fprintf(stderr, "labels smoothed by %.3g\n", plan->smoothing);
}

/* Names what helps where one class has many times the pictures of another and nothing is done about it. */
static mq_status print_uneven(mq_err *err, const mq_train_plan *plan) {
    mq_status status = MQ_OK;
    const mq_parts *parts = plan->parts;
    const size_t classes = mq_dataset_classes(plan->dataset);
    size_t *pictures = NULL, least = SIZE_MAX, most = 0;
    if (plan->class_weights || plan->sampling != MQ_SAMPLE_SHUFFLE) return MQ_OK;
    MQ_TRY(mq_calloc(err, classes, sizeof *pictures, "a list of classes", &pictures));
    for (size_t i = 0; i < parts->train_count; i++)
        pictures[mq_dataset_label(plan->dataset, MQ_TRAIN, parts->train[i])]++;
    for (size_t c = 0; c < classes; c++) {
        if (pictures[c] && pictures[c] < least) least = pictures[c];
        if (pictures[c] > most) most = pictures[c];
    }
    if (most / least >= UNEVEN)
        mq_note("uneven classes: %zu to %zu training pictures; if all matter alike, try --sampling balanced",
                least, most);
cleanup:
    free(pictures);
    return status;
}

/* "block13 and above" and the like. */
static const char *thawed_text(const mq_stage *stage, char out[48]) {
    if (mq_stage_is_head(stage)) return "classifier";
    char block[MQ_STAGE_NAME];
    if (!mq_stage_block(stage, block)) return "everything";
    snprintf(out, 48, "%s and above", block);
    return out;
}

static void print_stage(const mq_train_plan *plan, const mq_stage *stage, const mq_trunk_cost *cost,
                        size_t count) {
    char time[32], thawed[48];
    const double seconds = mq_trunk_seconds(cost, stage->epochs, (double)count,
                                            (double)plan->parts->val_count);
    const double disk = (double)cost->disk / 1e6, params = (double)(cost->params + cost->head_params);
    const bool few = params < 1e6;
    fprintf(stderr, "%-10s%-20s%7.1f %c%8u%9.3g  %-7s%9s%6.2f GB%6.*f %s\n", stage->thaw,
            thawed_text(stage, thawed), params / (few ? 1e3 : 1e6), few ? 'k' : 'M', stage->epochs, stage->lr,
            stage->batch_statistics ? "train" : "stored", mq_duration(seconds, time),
            memory_of(plan, cost) / 1e9, disk < 1000 ? 0 : 1, disk < 1000 ? disk : disk / 1e3,
            disk < 1000 ? "MB" : "GB");
}

/* How the stage's pictures change, where there is more to say than that they are mirrored. */
static void print_augmentation(const mq_train_plan *plan, const mq_stage *stage, const mq_trunk_cost *cost) {
    if (!stage->augment || mq_augment_cacheable(stage->augment)) return;
    fprintf(stderr, "  pictures: %s\n", mq_augment_text(stage->augment));
    if (plan->cache && cost->frozen > 0 && !cost->views)
        fputs("  cache: off for training pictures, which change in every epoch\n", stderr);
}

/* Said before the first step, with a batch that fits. */
static mq_status check_memory(mq_err *err, const mq_train_plan *plan, const mq_stage *stage,
                              const mq_trunk_cost *cost) {
    mq_status status = MQ_OK;
    const uint64_t available = mq_memory_available();
    const double wanted = memory_of(plan, cost), free_now = (double)available;
    const double fixed = wanted - (double)plan->batch * (double)cost->memory_picture;
    const double fits = floor((free_now - fixed) / (double)cost->memory_picture);
    if (available == UINT64_MAX || wanted <= free_now) return MQ_OK;
    MQ_REQUIRE(
        fits < 1, err, MQ_NO_MEMORY,
        "the stage %s takes %.1f GB with batches of %zu and %.1f GB are free; batches of %.0f fit: -b %.0f",
        stage->thaw, wanted / 1e9, plan->batch, free_now / 1e9, fits, fits);
    MQ_REQUIRE(false, err, MQ_NO_MEMORY,
               "the stage %s takes %.1f GB and %.1f GB are free; thaw fewer blocks or take smaller pictures "
               "(--imgsz)",
               stage->thaw, wanted / 1e9, free_now / 1e9);
cleanup:
    return status;
}

static mq_status check_disk(mq_err *err, double disk) {
    mq_status status = MQ_OK;
    char *cache = NULL;
    if (disk <= 0) return MQ_OK;
    MQ_TRY(mq_cache_folder(err, &cache));
    MQ_TRY(mq_make_folder(err, cache));
    const uint64_t available = mq_disk_free(cache);
    MQ_REQUIRE(
        (double)available >= disk, err, MQ_IO,
        "%s: the features need %.0f MB more and %.0f MB are free; free some, set XDG_CACHE_HOME or use "
        "--cache off",
        cache, disk / 1e6, (double)available / 1e6);
cleanup:
    free(cache);
    return status;
}

static void print_row(const mq_train_plan *plan, size_t i, const mq_trunk_cost *cost) {
    const size_t count = plan->parts->train_count;
    if (i == 0) {
        print_labels(plan);
        print_head(plan, cost, count);
    }
    print_stage(plan, &plan->stages[i], cost, count);
    print_augmentation(plan, &plan->stages[i], cost);
}

mq_status mq_check_train_plan(mq_err *err, const mq_train_plan *plan, bool details) {
    mq_status status = MQ_OK;
    const bool told = details || !plan->resume; /* else it was, when the run began */
    mq_buf text = mq_buf_init(DETAILS_LIMIT);
    double disk = 0, last = 0;
    if (told) MQ_TRY(print_uneven(err, plan));
    if (told && !plan->parts->val_count)
        mq_note("no validation part, so best will be the last; of data with folds --fold N validates on one");
    for (size_t i = 0; i < plan->stage_count; i++) {
        mq_trunk_cost cost;
        MQ_TRY(mq_train_measure(err, plan, i, told, &cost));
        if (told) print_row(plan, i, &cost);
        MQ_TRY(check_memory(err, plan, &plan->stages[i], &cost));
        /* A stage that thaws what the one before it does reads the same cache. */
        const bool same = i && strcmp(plan->stages[i].thaw, plan->stages[i - 1].thaw) == 0;
        const double missing = (double)(cost.disk - cost.held);
        disk += same ? fmax(missing - last, 0) : missing;
        last = same ? fmax(missing, last) : missing;
        if (!details) continue;
        MQ_TRY(mq_buf_printf(err, &text, "%sstage %s\n", i ? "\n" : "", plan->stages[i].thaw));
        MQ_TRY(mq_train_describe(err, plan, i, &text));
    }
    MQ_TRY(check_disk(err, disk));
    if (text.size) fputs((const char *)text.data, stdout);
cleanup:
    mq_buf_free(&text);
    return status;
}
