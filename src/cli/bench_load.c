/* bench_load.c: how fast pictures come. Called by cmd_bench.c when it is given a data set. Owns the order of
 * pictures while it measures. Invariant: the disk is out of the figure, since the same pictures were read
 * before; or wholly in it, since none were. */
#include "cli/bench_load.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/mem.h"
#include "cli/cli.h"
#include "data/loader.h"
#include "train/sampling.h"

#include <sys/resource.h>

enum { PICTURES = 512, SEED = 123 };
static const double SECONDS = 5;

/* Pictures in an order of training, and what they took. */
typedef struct {
    const mq_bench_load_plan *plan;
    mq_dataset *dataset; /* owned, as is what follows */
    uint32_t *order;     /* of the whole part, of which the first count are taken */
    uint8_t *flips;
    size_t count;
    mq_recipe recipe;
    size_t loaded;
    double seconds, processor; /* of all cores */
} load_bench;

static mq_status open_bench(mq_err *err, load_bench *b) {
    mq_status status = MQ_OK;
    mq_sampling *sampling = NULL;
    uint32_t *times = NULL;
    MQ_TRY(mq_dataset_open(err, b->plan->folder, &b->dataset));
    const size_t all = mq_dataset_count(b->dataset, MQ_TRAIN);
    MQ_REQUIRE(all, err, MQ_NO_INPUT, "%s: has no training pictures to load", b->plan->folder);
    b->recipe = mq_recipe_default(b->plan->imgsz, MQ_RANGE_TF);
    mq_dataset_recipe(b->dataset, &b->recipe);
    b->count = all < PICTURES || b->plan->cold ? all : PICTURES;
    MQ_TRY(mq_calloc(err, all, sizeof *b->order, "the order of pictures", &b->order));
    MQ_TRY(mq_calloc(err, all, sizeof *b->flips, "the order of pictures", &b->flips));
    MQ_TRY(mq_calloc(err, all, sizeof *times, "the order of pictures", &times));
    MQ_TRY(mq_sampling_create(err, &(mq_sampling_plan){.buffer = b->plan->buffer, .count = all}, &sampling));
    mq_sampling_draw(sampling, SEED, 0, b->order, times);
    for (size_t i = 0; i < all; i++) b->flips[i] = i % 2;
cleanup:
    mq_sampling_free(&sampling);
    free(times);
    return status;
}

static double processor_seconds(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

/* All pictures once; what they took is added. */
static mq_status pass(mq_err *err, load_bench *b) {
    mq_status status = MQ_OK;
    mq_loader *loader = NULL;
    const double start = mq_seconds(), before = processor_seconds();
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = b->dataset,
                                 .split = MQ_TRAIN,
                                 .recipe = &b->recipe,
                                 .order = b->order,
                                 .flips = b->flips,
                                 .count = b->count,
                                 .batch = b->plan->batch,
                                 .workers = b->plan->workers,
                                 .ahead = b->plan->buffer};
    MQ_TRY(mq_loader_open(err, &load, &loader));
    for (size_t n = 1; n;) {
        const float *pixels = NULL;
        MQ_REQUIRE(!mq_stop_wanted(NULL), err, MQ_INTERRUPTED, "stopped");
        MQ_TRY(mq_loader_next(err, loader, &pixels, &n));
        b->loaded += n;
    }
    b->seconds += mq_seconds() - start;
    b->processor += processor_seconds() - before;
cleanup:
    mq_loader_free(&loader);
    return status;
}

static mq_status print_load(mq_err *err, const load_bench *b) {
    mq_status status = MQ_OK;
    mq_json *json = NULL;
    const double img_s = (double)b->loaded / b->seconds, ms = 1e3 * b->processor / (double)b->loaded;
    if (!b->plan->json) {
        printf("loading %s%s, %u px, batch %zu, %zu %s: %.1f img/s, %.2f ms of a core a picture\n",
               b->plan->folder, b->plan->cold ? " from disk" : "", b->plan->imgsz, b->plan->batch,
               b->plan->workers, b->plan->workers == 1 ? "worker" : "workers", img_s, ms);
        return MQ_OK;
    }
    MQ_TRY(mq_json_pack(err, &json, "{s:s, s:f, s:s, s:i, s:i, s:i, s:f, s:I, s:b, s:I}", "schema",
                        "marque.bench.v1", "img_s", img_s, "pass", "load", "imgsz", (int)b->plan->imgsz,
                        "batch", (int)b->plan->batch, "workers", (int)b->plan->workers, "core_ms", ms,
                        "pictures", (long long)b->loaded, "cold", b->plan->cold, "shuffle_buffer",
                        (long long)b->plan->buffer));
    MQ_TRY(mq_print_json(err, &json));
cleanup:
    mq_json_free(&json);
    return status;
}

mq_status mq_bench_load(mq_err *err, const mq_bench_load_plan *plan) {
    mq_status status = MQ_OK;
    load_bench b = {.plan = plan};
    MQ_TRY(open_bench(err, &b));
    if (plan->cold) {
        mq_progress("loading %zu pictures from disk", b.count);
        mq_dataset_forget(b.dataset, MQ_TRAIN);
        MQ_TRY(pass(err, &b));
    } else {
        mq_progress("loading %zu pictures for %.0f seconds", b.count, SECONDS);
        MQ_TRY(pass(err, &b)); /* reads them from disk */
        b.loaded = 0;
        b.seconds = b.processor = 0;
        while (b.seconds < SECONDS) MQ_TRY(pass(err, &b));
    }
    MQ_TRY(print_load(err, &b));
cleanup:
    mq_dataset_free(&b.dataset);
    free(b.order);
    free(b.flips);
    return status;
}
