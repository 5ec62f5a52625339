/* cmd_bench.c: `marque bench`, a network's pace beside what the processor allows. Owns nothing beyond the
 * call. Invariant: every share is of a peak measured in the same call. */
#include "base/file.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/text.h"
#include "cli/bench_load.h"
#include "cli/common.h"
#include "infer/model.h"
#include "net/seeded.h"
#include "train/bench.h"
#include "train/stages.h"

#include <stdlib.h>
#include <string.h>

enum { KINDS_MAX = 32, SEED = 123, IMGSZ = 299 /* of pictures loaded without a network */ };

typedef struct {
    bool train, infer, layers, cold, json;
    int bn, dtype;
    const char *thaw;
    int64_t batch, imgsz, shuffle_buffer, threads, workers;
} bench_options;

static const mq_option params[] = {
    {.name = "train",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(bench_options, train),
     .help = "steps of training (the default)"},
    {.name = "infer",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(bench_options, infer),
     .help = "forward passes, as eval and predict make them"},
    {.name = "bn",
     .kind = MQ_OPTION_CHOICE,
     .value = "train|stored",
     .standard = "train",
     .offset = offsetof(bench_options, bn),
     .help = "training: batch norms on the statistics of the batch, or on the stored ones"},
    {.name = "thaw",
     .kind = MQ_OPTION_TEXT,
     .value = "all|BLOCK+",
     .standard = "all",
     .offset = offsetof(bench_options, thaw),
     .help = "training: what is trained; pictures come as cached tensors from below"},
    MQ_OPTION_BATCH(bench_options),
    {.name = "imgsz",
     .alias = "img-size",
     .kind = MQ_OPTION_INT,
     .value = "N",
     .standard = "0",
     .min = 0,
     .max = 4096,
     .offset = offsetof(bench_options, imgsz),
     .help = "side of the pictures; 0: the network's or the model's own"},
    MQ_OPTION_DTYPE(bench_options, "bf16 if the processor has it, int8 to --infer 8-bit models"),
    MQ_OPTION_THREADS(bench_options),
    MQ_OPTION_WORKERS(bench_options),
    {.name = "layers",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(bench_options, layers),
     .help = "also every layer, in the order of their work"},
    {.name = "cold",
     .kind = MQ_OPTION_FLAG,
     .offset = offsetof(bench_options, cold),
     .help = "DATA: all training pictures once, read from the disk"},
    MQ_OPTION_SHUFFLE_BUFFER(bench_options, "DATA: in the order of marque train --shuffle-buffer N"),
    MQ_OPTION_JSON(bench_options),
    {.name = NULL},
};

/* What is measured; owned. */
typedef struct {
    mq_bench_plan plan;
    mq_bundle *weights;
    char block[MQ_STAGE_NAME];
    bool seeded;
} bench_input;

static mq_status open_seeded(mq_err *err, bench_input *in, uint32_t imgsz) {
    mq_status status = MQ_OK;
    mq_graph *graph = NULL;
    in->seeded = true;
    in->plan.prefix = "";
    in->plan.imgsz = imgsz ? imgsz : in->plan.arch->imgsz;
    MQ_TRY(in->plan.arch->build(err, in->plan.arch->imgsz, &graph)); /* weights are the same at any size */
    MQ_TRY(mq_seeded_weights(err, graph, SEED, &in->weights));
cleanup:
    mq_graph_free(&graph);
    return status;
}

/* own: a model in 8 bits is measured in 8. */
static mq_status open_model(mq_err *err, const char *name, bench_input *in, uint32_t imgsz, bool own) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_model_card card = {0};
    MQ_TRY(mq_model_find(err, name, &path));
    MQ_TRY(mq_bundle_open(err, path, &in->weights));
    MQ_TRY(mq_model_card_read(err, in->weights, &card));
    in->plan.arch = card.arch;
    in->plan.imgsz = imgsz ? imgsz : card.recipe.imgsz;
    in->plan.prefix = MQ_TRUNK_PREFIX;
    if (own && card.quantised && mq_dnn_has_int8()) in->plan.dtype = MQ_I8;
cleanup:
    mq_model_card_free(&card);
    free(path);
    return status;
}

static mq_status read_thaw(mq_err *err, const bench_options *o, bench_input *in) {
    mq_status status = MQ_OK;
    mq_stage stage = {.epochs = 1};
    MQ_REQUIRE(strlen(o->thaw) < sizeof stage.thaw, err, MQ_USAGE, "--thaw %.40s: all or BLOCK+", o->thaw);
    memcpy(stage.thaw, o->thaw, strlen(o->thaw) + 1);
    if (strcmp(o->thaw, "all") == 0) goto cleanup;
    MQ_REQUIRE(mq_stage_block(&stage, in->block), err, MQ_USAGE, "--thaw %s: all or BLOCK+, such as block13+",
               o->thaw);
    in->plan.first = in->block;
cleanup:
    return status;
}

static mq_status open_input(mq_err *err, const mq_call *call, bench_input *in) {
    mq_status status = MQ_OK;
    const bench_options *o = call->options;
    const uint32_t imgsz = (uint32_t)o->imgsz;
    MQ_REQUIRE(!o->train || !o->infer, err, MQ_USAGE, "--train and --infer: one of them at a time");
    in->plan = (mq_bench_plan){.size = sizeof in->plan,
                               .arch = mq_arch_find(call->args[0]),
                               .batch = (size_t)o->batch,
                               .train = !o->infer,
                               .batch_statistics = o->bn == 0,
                               .stop = mq_stop_wanted};
    MQ_TRY(mq_choose_dtype(err, o->dtype, &in->plan.dtype));
    MQ_TRY(read_thaw(err, o, in));
    if (in->plan.arch)
        MQ_TRY(open_seeded(err, in, imgsz));
    else
        MQ_TRY(open_model(err, call->args[0], in, imgsz, o->infer && o->dtype == 0));
    MQ_REQUIRE(in->plan.imgsz >= in->plan.arch->imgsz_min, err, MQ_USAGE,
               "--imgsz %u: %s takes pictures from %u pixels on", in->plan.imgsz, in->plan.arch->name,
               in->plan.arch->imgsz_min);
    in->plan.weights = &in->weights;
cleanup:
    return status;
}

/* Layers of one kind of work as one, of a picture, in the order of their first; returns how many. */
static size_t sum_kinds(const mq_bench *bench, double pictures, mq_measure kinds[KINDS_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < bench->layer_count; i++) {
        const mq_measure *m = &bench->layers[i];
        size_t k = 0;
        while (k < count && strcmp(kinds[k].what, m->what) != 0) k++;
        if (k == KINDS_MAX) continue;
        if (k == count) kinds[count++] = (mq_measure){.what = m->what};
        kinds[k].seconds += m->seconds / pictures;
        kinds[k].work.flops += m->work.flops / pictures;
        kinds[k].work.bytes += m->work.bytes / pictures;
    }
    return count;
}

/* Of one core's peak. */
static double share_of_peak(const mq_bench *bench, const mq_measure *m) {
    return m->seconds > 0 ? m->work.flops / m->seconds / bench->peak_flops * mq_par_threads() : 0;
}

static void print_columns(const mq_bench *bench, const mq_measure *m, double pictures) {
    const double ms = m->seconds * 1e3 / pictures, s = m->seconds > 0 ? m->seconds : 1e-9;
    printf("%9.3f", ms);
    if (m->work.flops > 0)
        printf("%9.1f%6.0f %%", m->work.flops / s / 1e9, 100 * share_of_peak(bench, m));
    else
        printf("%9s%8s", "", "");
    printf("%9.1f%8.1f\n", m->work.bytes / pictures / 1e6, m->work.bytes / s / 1e9);
}

#define COLUMNS "       ms  GFLOP/s of peak       MB    GB/s\n"

static void print_text(const bench_input *in, const bench_options *o, const mq_bench *bench) {
    const mq_bench_plan *p = &in->plan;
    const double pictures = (double)bench->layer_pictures, flops = bench->picture.flops;
    mq_measure kinds[KINDS_MAX], all = {.seconds = 0};
    printf("%s %u px, %s, %s weights, %d threads; peak %.1f GFLOP/s, memory %.1f GB/s\n", p->arch->name,
           p->imgsz, mq_dtype_name(p->dtype), in->seeded ? "made-up" : "the model's", mq_par_threads(),
           bench->peak_flops / 1e9, bench->bandwidth / 1e9);
    printf(p->train ? "training %s, --bn %s, batch %zu: " : "inference%.0s%.0s, batch %zu: ", o->thaw,
           p->batch_statistics ? "train" : "stored", p->batch);
    printf("%.2f img/s (%d steps of %.0f to %.0f ms)\n", bench->img_s, MQ_BENCH_STEPS,
           1e3 * bench->seconds[0], 1e3 * bench->seconds[MQ_BENCH_STEPS - 1]);
    printf(
        "%.2f GFLOP a picture, %.0f %% of the peak, %.0f %% of the limit (%.2f img/s); planned memory %.2f "
        "GB\n",
        flops / 1e9, 100 * flops * bench->img_s / bench->peak_flops, 100 * bench->img_s / bench->limit_img_s,
        bench->limit_img_s, (double)bench->memory / 1e9);
    printf("\nof one picture on one core:\n%-26s" COLUMNS, "work");
    const size_t count = sum_kinds(bench, pictures, kinds);
    for (size_t i = 0; i < count; i++) {
        printf("%-26s", kinds[i].what);
        print_columns(bench, &kinds[i], 1);
        all.seconds += kinds[i].seconds;
    }
    all.work = bench->picture;
    printf("%-26s", "in all");
    print_columns(bench, &all, 1);
    if (!o->layers) return;
    printf("\n%-26s%-22s%-30s" COLUMNS, "layer", "work", "kernel");
    for (size_t i = 0; i < bench->layer_count; i++) {
        const mq_measure *m = &bench->layers[i];
        printf("%-26s%-22s%-30s", m->layer, m->what, m->kernel);
        print_columns(bench, m, pictures);
    }
}

/* Takes over nothing; layer and kernel are left out of sums. */
static mq_status measure_json(mq_err *err, const mq_bench *bench, const mq_measure *m, double pictures,
                              mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "{s:s, s:f, s:f, s:f, s:f}", "what", m->what, "seconds",
                        m->seconds / pictures, "flops", m->work.flops / pictures, "bytes",
                        m->work.bytes / pictures, "of_peak", share_of_peak(bench, m)));
    if (m->layer) {
        MQ_TRY(mq_json_set(err, *json, "layer", mq_json_text(m->layer)));
        MQ_TRY(mq_json_set(err, *json, "kernel", mq_json_text(m->kernel)));
    }
cleanup:
    return status;
}

static mq_status list_json(mq_err *err, const mq_bench *bench, const mq_measure *list, size_t count,
                           double pictures, mq_json **json) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, json, "[]"));
    for (size_t i = 0; i < count; i++) {
        mq_json *one = NULL;
        MQ_TRY(measure_json(err, bench, &list[i], pictures, &one));
        MQ_TRY(mq_json_append(err, *json, one));
    }
cleanup:
    return status;
}

static mq_status print_bench_json(mq_err *err, const bench_input *in, const bench_options *o,
                                  const mq_bench *bench) {
    mq_status status = MQ_OK;
    const mq_bench_plan *p = &in->plan;
    const double pictures = (double)bench->layer_pictures;
    mq_json *kinds = NULL, *layers = NULL, *all = NULL;
    mq_measure sums[KINDS_MAX];
    MQ_TRY(list_json(err, bench, sums, sum_kinds(bench, pictures, sums), 1, &kinds));
    MQ_TRY(list_json(err, bench, bench->layers, bench->layer_count, pictures, &layers));
    MQ_TRY(mq_json_pack(
        err, &all, "{s:s, s:f, s:s, s:s, s:i, s:s, s:i, s:i, s:f, s:f, s:I, s:f, s:f, s:f, s:f, s:O, s:O}",
        "schema", "marque.bench.v1", "img_s", bench->img_s, "arch", p->arch->name, "pass",
        p->train ? "train" : "infer", "imgsz", (int)p->imgsz, "dtype", mq_dtype_name(p->dtype), "batch",
        (int)p->batch, "threads", mq_par_threads(), "best_s", bench->seconds[0], "median_s",
        bench->seconds[MQ_BENCH_STEPS / 2], "memory", (long long)bench->memory, "peak_flops",
        bench->peak_flops, "bandwidth", bench->bandwidth, "flops", bench->picture.flops, "limit_img_s",
        bench->limit_img_s, "work", kinds, "layers", layers));
    if (p->train) {
        MQ_TRY(mq_json_set(err, all, "thaw", mq_json_text(o->thaw)));
        MQ_TRY(mq_json_set(err, all, "bn", mq_json_text(p->batch_statistics ? "train" : "stored")));
    }
    MQ_TRY(mq_print_json(err, &all));
cleanup:
    mq_json_free(&kinds);
    mq_json_free(&layers);
    mq_json_free(&all);
    return status;
}

/* Whether DATA was given: a folder with a dataset.json. */
static mq_status is_data(mq_err *err, const char *name, bool *data) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_path_join(err, name, "dataset.json", &path));
    *data = mq_file_exists(path);
cleanup:
    free(path);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    const bench_options *o = call->options;
    bench_input in = {.seeded = false};
    mq_bench bench = {.memory = 0};
    bool data = false;
    const size_t workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(is_data(err, call->args[0], &data));
    if (data) {
        MQ_TRY(mq_options_only(err, params, o, "batch|imgsz|jobs|shuffle-buffer|cold|json", "a data set"));
        return mq_bench_load(err, &(mq_bench_load_plan){.folder = call->args[0],
                                                        .imgsz = o->imgsz ? (uint32_t)o->imgsz : IMGSZ,
                                                        .batch = (size_t)o->batch,
                                                        .workers = workers,
                                                        .buffer = (size_t)o->shuffle_buffer,
                                                        .cold = o->cold,
                                                        .json = o->json});
    }
    if (o->infer)
        MQ_TRY(mq_options_only(err, params, o, "train|infer|batch|imgsz|dtype|threads|jobs|layers|json",
                               "--infer"));
    MQ_REQUIRE(!o->cold && !o->shuffle_buffer, err, MQ_USAGE, "%s is no data set, and --%s is for one",
               call->args[0], o->cold ? "cold" : "shuffle-buffer");
    MQ_TRY(open_input(err, call, &in));
    mq_progress("measuring %d steps of %zu pictures", MQ_BENCH_STEPS + 1, in.plan.batch);
    MQ_TRY(mq_bench_run(err, &in.plan, &bench));
    if (o->json)
        MQ_TRY(print_bench_json(err, &in, o, &bench));
    else
        print_text(&in, o, &bench);
cleanup:
    mq_bench_free(&bench);
    mq_bundle_free(&in.weights);
    return status;
}

const mq_command mq_cmd_bench = {
    .name = "bench",
    .usage = "NAME|MODEL|DATA [--train|--infer] [options]",
    .summary = "measure a network's pace beside what the processor allows, or how fast pictures load",
    .params = params,
    .options_size = sizeof(bench_options),
    .args_min = 1,
    .args_max = 1,
    .examples = "  marque bench xception\n"
                "  marque bench xception --train --bn stored --thaw block9+ -b 16 --layers\n"
                "  marque bench runs/cars-xception --infer -b 1 --json\n"
                "  marque bench cars.mq --imgsz 299 -j 1\n"
                "  marque bench cars.mq --cold --shuffle-buffer 10000\n",
    .run = run,
};
