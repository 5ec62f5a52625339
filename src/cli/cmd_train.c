/* cmd_train.c: `marque train`: settings from flags, config file or run, the
 * plan, the run, and what is told on the way. */
#include "base/clock.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "cli/common.h"
#include "cli/config.h"
#include "cli/train_plan.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

static const char STANDARD_STAGES[] = "head:20@1e-3,block13+:5@1e-4";

/* Everything a call of `marque train` opens. */
typedef struct {
    mq_train_options options;
    const char *data;  /* folder of the data set; borrowed */
    mq_json *config;   /* of --config or the resumed run */
    char *stages_text; /* of the config, if it had a list of stages */
    mq_stage stages[MQ_STAGES_MAX];
    size_t stage_count;
    mq_dataset *dataset;
    mq_bundle *weights;
    mq_run *run;
    mq_recipe recipe;
    const mq_arch *arch;
    mq_dtype dtype;
    size_t workers;
    char digest[MQ_HEX_SIZE]; /* of the settings that decide the numbers */
} train_call;

static void close_call(train_call *c) {
    mq_run_free(&c->run);
    mq_bundle_free(&c->weights);
    mq_dataset_free(&c->dataset);
    mq_json_free(&c->config);
    free(c->stages_text);
}

/* Flags come before the config file: the file is laid over the defaults, then the flags are read once more.
 */
static mq_status read_settings(mq_err *err, const mq_call *call, train_call *c) {
    mq_status status = MQ_OK;
    char *path = NULL;
    mq_words words = {.argv = call->argv, .count = call->argc};
    c->options = *(const mq_train_options *)call->options;
    c->data = call->arg_count ? call->args[0] : NULL;
    const mq_train_options *o = call->options;
    MQ_REQUIRE(!(o->resume && o->config), err, MQ_USAGE,
               "--resume reads the run's own config; leave out --config");
    MQ_REQUIRE(!(o->resume && c->data), err, MQ_USAGE, "--resume takes no DATA: the run knows its own");
    if (o->resume) MQ_TRY(mq_path_join(err, o->resume, "config.json", &path));
    if (o->config) MQ_TRY(mq_strdup(err, o->config, &path));
    if (path) {
        const char *data = NULL;
        MQ_REQUIRE(!o->resume || mq_file_exists(path), err, MQ_NO_INPUT,
                   "%s: not a run folder (it has no config.json)", o->resume);
        MQ_TRY(mq_json_load(err, path, &c->config));
        MQ_TRY(mq_options_defaults(err, mq_train_options_table, &c->options));
        MQ_TRY(mq_config_apply(err, path, c->config, &c->options, &data, &c->stages_text));
        MQ_TRY(mq_calloc(err, call->argc, sizeof *words.args, "arguments", &words.args));
        MQ_TRY(mq_options_parse(err, mq_train_options_table, &c->options, &words));
        if (!c->data) c->data = data;
    }
    MQ_REQUIRE(c->data, err, MQ_USAGE, "usage: marque train DATA [options]");
cleanup:
    free(words.args);
    free(path);
    return status;
}

/* Named settings: what stands in them unless a flag or the config says otherwise. */
static const struct {
    const char *name, *stages;
} presets[] = {
    {"reference", "head:10@1e-3,all:10@1e-4"}, /* the published experiment in its corrected form; head 1024 */
};

static mq_status choose_stages(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    const char *stages = STANDARD_STAGES;
    bool known = !o->preset;
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (o->preset && strcmp(o->preset, presets[i].name) == 0) stages = presets[i].stages, known = true;
    MQ_REQUIRE(known, err, MQ_USAGE, "--preset %s is not known; there is: reference", o->preset);
    const mq_stages_words words = {o->stages ? o->stages : stages, o->epochs, o->lr, (mq_bn)o->bn};
    MQ_TRY(mq_stages_parse(err, &words, c->stages, &c->stage_count));
cleanup:
    return status;
}

/* Whether the network has the blocks that the stages name. */
static mq_status check_blocks(mq_err *err, const train_call *c) {
    mq_status status = MQ_OK;
    mq_graph *graph = NULL;
    size_t node;
    MQ_TRY(c->arch->build(err, (uint32_t)c->options.imgsz, &graph));
    for (size_t i = 0; i < c->stage_count; i++) {
        char block[MQ_STAGE_NAME];
        if (mq_stage_block(&c->stages[i], block)) MQ_TRY(mq_graph_boundary(err, graph, block, &node));
    }
cleanup:
    mq_graph_free(&graph);
    return status;
}

/* The digest of everything that decides the numbers but the epochs of the last stage, which may be extended,
 * and what --allow-inexact lets change: the data type and all else that the program's key says. */
static mq_status digest_settings(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    mq_json *recipe = NULL;
    char *recipe_text = NULL, *stages = NULL, *text = NULL;
    const mq_train_options *o = &c->options;
    mq_stage fixed[MQ_STAGES_MAX];
    memcpy(fixed, c->stages, sizeof fixed);
    fixed[c->stage_count - 1].epochs = 0;
    MQ_TRY(mq_recipe_to_json(err, &c->recipe, &recipe));
    MQ_TRY(mq_json_dump(err, recipe, 0, &recipe_text));
    MQ_TRY(mq_stages_text(err, fixed, c->stage_count, &stages));
    MQ_TRY(mq_format(err, &text, "%s|%s|%s|%s|%d|%lld|%lld|%.9g|%d", mq_dataset_digest(c->dataset),
                     mq_bundle_digest(c->weights), recipe_text, stages, o->head, (long long)o->batch,
                     (long long)o->seed, o->fraction, o->monitor));
    MQ_TRY(mq_sha256_hex(err, text, strlen(text), c->digest));
cleanup:
    mq_json_free(&recipe);
    free(recipe_text);
    free(stages);
    free(text);
    return status;
}

static mq_status open_inputs(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    MQ_TRY(mq_find_network(err, o->model, &c->arch, &c->weights));
    MQ_REQUIRE(o->imgsz >= c->arch->imgsz_min, err, MQ_USAGE,
               "--imgsz %lld is too small for %s; it takes %u and more", (long long)o->imgsz, c->arch->name,
               c->arch->imgsz_min);
    MQ_TRY(check_blocks(err, c));
    MQ_TRY(mq_choose_dtype(err, o->dtype, &c->dtype));
    c->workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(mq_dataset_open(err, c->data, &c->dataset));
    MQ_REQUIRE(mq_dataset_count(c->dataset, MQ_TRAIN), err, MQ_BAD_DATA, "%s: no pictures to train on",
               c->data);
    MQ_TRY(mq_open_weights(err, c->arch, &c->weights));
    c->recipe = mq_recipe_default((uint32_t)o->imgsz, c->arch->range);
    c->recipe.filter = (mq_filter)o->filter;
    c->recipe.fit = (mq_fit)o->fit;
    c->recipe.denoise = (mq_denoise)o->denoise;
    MQ_REQUIRE(!c->recipe.denoise || c->recipe.filter == MQ_FILTER_PILLOW, err, MQ_USAGE,
               "--denoise goes with --filter pillow alone");
    mq_dataset_recipe(c->dataset, &c->recipe);
    MQ_TRY(digest_settings(err, c));
cleanup:
    return status;
}

static mq_train_plan plan_of(train_call *c) {
    const mq_train_options *o = &c->options;
    return (mq_train_plan){.size = sizeof(mq_train_plan),
                           .dataset = c->dataset,
                           .arch = c->arch,
                           .weights = c->weights,
                           .recipe = &c->recipe,
                           .run = c->run,
                           .config = c->digest,
                           .resume = o->resume != NULL,
                           .inexact = o->allow_inexact,
                           .head = (mq_head_kind)o->head,
                           .dtype = c->dtype,
                           .stages = c->stages,
                           .stage_count = c->stage_count,
                           .batch = (size_t)o->batch,
                           .workers = c->workers,
                           .keep = (size_t)o->keep,
                           .checkpoint_every = o->checkpoint_every,
                           .summary_steps = (uint64_t)o->summary_steps,
                           .fraction = o->fraction,
                           .seed = (uint64_t)o->seed,
                           .monitor = (mq_monitor)o->monitor,
                           .cache = o->cache == 0,
                           .stop = mq_stop_wanted};
}

static void tell(void *user, const mq_train_progress *p) {
    (void)user;
    char left[32];
    mq_duration(p->left, left);
    if (p->phase == MQ_PHASE_FEATURES) {
        mq_progress("features of %s [%zu/%zu %zu%%] %.1f img/s data %.0f%% eta %s", mq_split_name(p->split),
                    p->done, p->total, 100 * p->done / p->total, p->img_s,
                    100 * p->waited / fmax(p->seconds, 1e-9), left);
    } else if (p->phase == MQ_PHASE_VALIDATE) {
        mq_progress("validation [%zu/%zu %zu%%] %.1f img/s eta %s", p->done, p->total,
                    100 * p->done / p->total, p->img_s, left);
    } else if (p->phase == MQ_PHASE_TRAIN) {
        mq_progress("%s %u/%u [%zu/%zu %zu%%] loss %.3f top1 %.1f lr %.0e %.*f img/s data %.0f%% eta %s",
                    p->stage, p->epoch, p->epochs, p->done, p->total, 100 * p->done / p->total, p->loss,
                    100 * p->top1, p->lr, p->img_s < 100 ? 1 : 0, p->img_s,
                    100 * p->waited / fmax(p->seconds, 1e-9), left);
    } else if (isnan(p->row->val_top1)) {
        mq_progress_keep("%s %u/%u loss %.4f top1 %.1f %%", p->stage, p->epoch, p->epochs, p->row->train_loss,
                         100 * p->row->train_top1);
    } else {
        mq_progress_keep("%s %u/%u loss %.4f top1 %.1f %%  val loss %.4f top1 %.1f %% top5 %.1f %%%s",
                         p->stage, p->epoch, p->epochs, p->row->train_loss, 100 * p->row->train_top1,
                         p->row->val_loss, 100 * p->row->val_top1, 100 * p->row->val_top5,
                         p->best ? "  best" : "");
    }
}

static void print_end(const train_call *c, const mq_train_result *result) {
    char time[32];
    printf("%u epochs in %s\n", result->epochs, mq_duration(result->seconds, time));
    if (result->validated) {
        printf("best: epoch %u, validation top-1 %.1f %% (95 %%: %.1f to %.1f), top-5 %.1f %%, loss %.3f\n",
               result->best_epoch, 100 * result->best.top1, 100 * result->best.top1_low,
               100 * result->best.top1_high, 100 * result->best.top5, result->best.loss);
    } else {
        puts("no validation part, so best = last");
    }
    printf("run: %s\nnext: marque eval %s\n", mq_run_folder(c->run), mq_run_folder(c->run));
}

/* mq_train_plan.accepted: a resumed run keeps its old config until its checkpoint has accepted the new one.
 */
static mq_status describe_run(mq_err *err, void *user) {
    mq_status status = MQ_OK;
    const train_call *c = user;
    mq_json *config = NULL;
    MQ_TRY(mq_config_make(err, &c->options, c->data, c->stages, c->stage_count, &config));
    MQ_TRY(mq_run_describe(err, c->run, config, c->dataset));
cleanup:
    mq_json_free(&config);
    return status;
}

static mq_status open_run(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    mq_json *config = NULL;
    if (o->resume) {
        MQ_TRY(mq_run_open(err, o->resume, &c->run));
        MQ_TRY(mq_config_make(err, o, c->data, c->stages, c->stage_count, &config));
        MQ_TRY(mq_config_compare(err, o->resume, c->config, config));
        goto cleanup;
    }
    MQ_TRY(mq_run_create(err, o->output, o->name, c->data, c->arch->name, &c->run));
    MQ_TRY(describe_run(err, c));
cleanup:
    mq_json_free(&config);
    return status;
}

static mq_status run(mq_err *err, const mq_call *call) {
    mq_status status = MQ_OK;
    train_call c = {0};
    mq_train_result result;
    MQ_TRY(read_settings(err, call, &c));
    MQ_TRY(choose_stages(err, &c));
    MQ_TRY(open_inputs(err, &c));
    mq_train_plan plan = plan_of(&c);
    MQ_TRY(mq_print_train_plan(err, &plan, c.options.plan));
    if (c.options.plan) goto cleanup;
    MQ_TRY(open_run(err, &c));
    plan.run = c.run;
    plan.progress = tell;
    if (c.options.resume) plan.accepted = describe_run;
    plan.user = &c;
    MQ_TRY(mq_train(err, &plan, &result));
    print_end(&c, &result);
cleanup:
    if ((status == MQ_INTERRUPTED || status == MQ_IO) && c.run)
        mq_note("go on by: marque train --resume %s", mq_run_folder(c.run));
    else if (status == MQ_INTERRUPTED)
        mq_note("nothing was to be saved yet: give the same command again");
    close_call(&c);
    return status;
}

const mq_command mq_cmd_train = {
    .name = "train",
    .usage = "DATA [options]   |   marque train --resume RUN [--epochs N]",
    .summary = "teach a network the classes of a data set",
    .params = mq_train_options_table,
    .options_size = sizeof(mq_train_options),
    .args_max = 1,
    .examples = "  marque train cars.mq\n"
                "  marque train cars.mq --stages head:10@1e-3,block9+:5@1e-4 --bn stored --name first\n"
                "  marque train cars.mq --preset reference\n"
                "  marque train vans.mq --model runs/first\n"
                "  marque train --resume runs/first --epochs 30\n"
                "  marque train cars.mq --plan\n",
    .resumable = true,
    .run = run,
};
