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
#include "data/augment.h"
#include "infer/model.h"
#include "train/class_weights.h"
#include "train/train.h"

#include <math.h>
#include <string.h>

enum { DIGEST_LIMIT = 1 << 20, POLICIES_LIMIT = 1 << 20 };

static const char REFERENCE[] = "hflip@0.5"; /* canonical text of the preset */
static const char STANDARD_STAGES[] = "head:20@1e-3,block13+:5@1e-4";

/* Everything a call of `marque train` opens. */
typedef struct {
    mq_train_options options;
    const char *data;  /* folder of the data set; borrowed */
    char *run_folder;  /* of the resumed run */
    char *run_data;    /* the data set that its config names */
    mq_json *config;   /* of --config or the resumed run */
    char *stages_text; /* of the config, if it had a list of stages */
    mq_stage stages[MQ_STAGES_MAX];
    size_t stage_count;
    mq_dataset *dataset;
    mq_parts parts;
    mq_bundle *weights;
    mq_run *run;
    mq_augment *policies[MQ_STAGES_MAX];
    char *augment_text; /* of all stages; options.augment from choose_augment on */
    mq_recipe recipe;
    const mq_arch *arch;
    mq_dtype dtype;
    size_t workers;
    float *class_weights;     /* [classes]; NULL: none */
    char digest[MQ_HEX_SIZE]; /* of the settings that decide the numbers */
} train_call;

static void close_call(train_call *c) {
    mq_run_free(&c->run);
    mq_bundle_free(&c->weights);
    mq_parts_free(&c->parts);
    mq_dataset_free(&c->dataset);
    for (size_t i = 0; i < MQ_STAGES_MAX; i++) mq_augment_free(&c->policies[i]);
    free(c->augment_text);
    mq_json_free(&c->config);
    free(c->run_folder);
    free(c->run_data);
    free(c->stages_text);
    free(c->class_weights);
}

/* What goes together; o holds what the command line alone says. */
static mq_status check_flags(mq_err *err, const mq_train_options *o) {
    mq_status status = MQ_OK;
    MQ_REQUIRE(!(o->resume && o->config), err, MQ_USAGE,
               "--resume reads the run's own config; leave out --config");
    MQ_REQUIRE(!(o->resume && (o->output || o->name || o->preset)), err, MQ_USAGE,
               "--resume goes on in the run's own folder, as it was begun; leave out --output, --name and "
               "--preset");
    MQ_REQUIRE(!(o->output && o->name), err, MQ_USAGE,
               "--output and --name both name the run's folder; take one of the two");
cleanup:
    return status;
}

/* Flags come before the config file: the file is laid over the defaults, then the flags are read once more.
 */
static mq_status read_config(mq_err *err, const mq_call *call, const char *path, train_call *c) {
    mq_status status = MQ_OK;
    const char *data = NULL;
    mq_words words = {.argv = call->argv, .count = call->argc};
    MQ_TRY(mq_json_load(err, path, &c->config));
    MQ_TRY(mq_options_defaults(err, mq_train_options_table, &c->options));
    MQ_TRY(mq_config_apply(err, path, c->config, &c->options, &data, &c->stages_text));
    MQ_TRY(mq_calloc(err, call->argc, sizeof *words.args, "arguments", &words.args));
    MQ_TRY(mq_options_parse(err, mq_train_options_table, &c->options, &words));
    if (!c->data) c->data = data;
cleanup:
    free(words.args);
    return status;
}

/* The config of the resumed run, whose data set may stand elsewhere now: then DATA says where. */
static mq_status read_run(mq_err *err, const mq_call *call, train_call *c) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_run_find(err, c->options.resume, &c->run_folder));
    MQ_TRY(mq_path_join(err, c->run_folder, "config.json", &path));
    MQ_REQUIRE(mq_file_exists(path), err, MQ_NO_INPUT, "%s: not a run folder (it has no config.json)",
               c->run_folder);
    if (!c->data) {
        MQ_TRY(mq_run_data(err, c->run_folder, &c->run_data));
        c->data = c->run_data;
    }
    MQ_TRY(read_config(err, call, path, c));
    c->options.resume = c->run_folder;
cleanup:
    free(path);
    return status;
}

static mq_status read_settings(mq_err *err, const mq_call *call, train_call *c) {
    mq_status status = MQ_OK;
    c->options = *(const mq_train_options *)call->options;
    c->data = call->arg_count ? call->args[0] : NULL;
    MQ_TRY(check_flags(err, &c->options));
    if (c->options.resume)
        MQ_TRY(read_run(err, call, c));
    else if (c->options.config)
        MQ_TRY(read_config(err, call, c->options.config, c));
    MQ_REQUIRE(c->data, err, MQ_USAGE, "usage: marque train DATA [options]");
cleanup:
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

/* "A" for all stages, or "A; B" with one for each; text is cut up. */
static mq_status parse_policies(mq_err *err, char *text, train_call *c, size_t *count) {
    mq_status status = MQ_OK;
    char *rest = NULL;
    *count = 0;
    for (char *word = strtok_r(text, ";", &rest); word; word = strtok_r(NULL, ";", &rest)) {
        MQ_REQUIRE(*count < MQ_STAGES_MAX, err, MQ_USAGE, "--augment: more than %d policies", MQ_STAGES_MAX);
        word += strspn(word, " ");
        MQ_TRY(mq_augment_parse(err, word, &c->policies[*count]));
        ++*count;
    }
    MQ_REQUIRE(*count == 1 || *count == c->stage_count, err, MQ_USAGE,
               "--augment has %zu policies for %zu stages; give one for all, or one for each between "
               "semicolons",
               *count, c->stage_count);
cleanup:
    return status;
}

/* A picture is mixed with another of its batch. */
static mq_status check_mixed(mq_err *err, const train_call *c, size_t count) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < count; i++) {
        const mq_mix_rule mix = mq_augment_mix(c->policies[i]);
        MQ_REQUIRE(c->options.batch > 1 || !mq_mix_wanted(&mix), err, MQ_USAGE,
                   "--augment: mixup and cutmix mix the pictures of a batch, and -b 1 leaves one in each; "
                   "take -b 2 or more");
    }
cleanup:
    return status;
}

/* Gives every stage its policy; the options hold the canonical text of them from here on. */
static mq_status choose_augment(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    size_t count = 0;
    bool same = true;
    char *copy = NULL;
    mq_buf text = mq_buf_init(POLICIES_LIMIT);
    MQ_TRY(mq_strdup(err, c->options.augment, &copy));
    MQ_TRY(parse_policies(err, copy, c, &count));
    for (size_t i = 0; i < c->stage_count; i++) c->stages[i].augment = c->policies[count == 1 ? 0 : i];
    MQ_TRY(check_mixed(err, c, count));
    for (size_t i = 0; i < count; i++)
        same &= strcmp(mq_augment_text(c->policies[i]), mq_augment_text(c->policies[0])) == 0;
    for (size_t i = 0; i < (same ? 1 : count); i++)
        MQ_TRY(mq_buf_printf(err, &text, "%s%s", i ? "; " : "", mq_augment_text(c->policies[i])));
    c->options.augment = c->augment_text = (char *)text.data;
    text.data = NULL;
cleanup:
    free(copy);
    mq_buf_free(&text);
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

/* --class-weights: none, balanced or a file's. */
static mq_status find_class_weights(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    if (strcmp(o->class_weights, "none") == 0) return MQ_OK;
    if (strcmp(o->class_weights, "balanced") != 0) {
        MQ_REQUIRE(!o->resume || mq_file_exists(o->class_weights), err, MQ_NO_INPUT,
                   "%s: no such file from here; %s was begun with its class weights, so put a copy there",
                   o->class_weights, o->resume);
        return mq_class_weights_read(err, o->class_weights, c->dataset, &c->class_weights);
    }
    MQ_REQUIRE(
        o->sampling != MQ_SAMPLE_BALANCED, err, MQ_USAGE,
        "--sampling balanced shows rare classes as often as others, and --class-weights balanced would "
        "count them more once again; take one of the two");
    MQ_TRY(
        mq_class_weights_balanced(err, c->dataset, c->parts.train, c->parts.train_count, &c->class_weights));
cleanup:
    return status;
}

/* Appends what the digest says of sampling and labels: nothing where nothing was asked for, so that older
 * runs go on. */
static mq_status digest_labels(mq_err *err, const train_call *c, mq_buf *text) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    char weights[MQ_HEX_SIZE];
    if (o->sampling) MQ_TRY(mq_buf_printf(err, text, "|sampling %d", o->sampling));
    if (o->shuffle_buffer)
        MQ_TRY(mq_buf_printf(err, text, "|shuffle-buffer %lld", (long long)o->shuffle_buffer));
    if (o->smoothing > 0) MQ_TRY(mq_buf_printf(err, text, "|smoothing %.9g", o->smoothing));
    if (!c->class_weights) goto cleanup;
    MQ_TRY(mq_sha256_hex(err, c->class_weights, mq_dataset_classes(c->dataset) * sizeof *c->class_weights,
                         weights));
    MQ_TRY(mq_buf_printf(err, text, "|weights %s", weights));
cleanup:
    return status;
}

/* The digest of everything that decides the numbers but the epochs of the last stage, which may be extended,
 * and what --allow-inexact lets change: the data type and all else that the program's key says. */
static mq_status digest_settings(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    mq_json *recipe = NULL;
    char *recipe_text = NULL, *stages = NULL;
    mq_buf text = mq_buf_init(DIGEST_LIMIT);
    const mq_train_options *o = &c->options;
    const bool flips = strcmp(o->augment, REFERENCE) == 0; /* as before there were others */
    mq_stage fixed[MQ_STAGES_MAX];
    memcpy(fixed, c->stages, sizeof fixed);
    fixed[c->stage_count - 1].epochs = 0;
    MQ_TRY(mq_recipe_to_json(err, &c->recipe, &recipe));
    MQ_TRY(mq_json_dump(err, recipe, 0, &recipe_text));
    MQ_TRY(mq_stages_text(err, fixed, c->stage_count, &stages));
    MQ_TRY(mq_buf_printf(err, &text, "%s|%s|%s|%s|%d|%lld|%lld|%.9g|%d%s%s", mq_dataset_digest(c->dataset),
                         mq_bundle_digest(c->weights), recipe_text, stages, o->head, (long long)o->batch,
                         (long long)o->seed, o->fraction, o->monitor, flips ? "" : "|",
                         flips ? "" : o->augment));
    if (o->fold) MQ_TRY(mq_buf_printf(err, &text, "|fold %lld", (long long)o->fold));
    MQ_TRY(digest_labels(err, c, &text));
    MQ_TRY(mq_sha256_hex(err, text.data, text.size, c->digest));
cleanup:
    mq_json_free(&recipe);
    mq_buf_free(&text);
    free(recipe_text);
    free(stages);
    return status;
}

/* A model that a run begins with works at any size, so another one than its own may be meant, or not. */
static mq_status tell_size(mq_err *err, const train_call *c) {
    mq_status status = MQ_OK;
    mq_model_card card = {0};
    const mq_train_options *o = &c->options;
    if (!c->weights || o->resume) return MQ_OK;
    MQ_TRY(mq_model_card_read(err, c->weights, &card));
    if (card.recipe.imgsz != o->imgsz)
        mq_note("%s was trained at %u pixels, and this run is at %lld; --imgsz %u keeps its size", o->model,
                card.recipe.imgsz, (long long)o->imgsz, card.recipe.imgsz);
cleanup:
    mq_model_card_free(&card);
    return status;
}

static mq_status open_inputs(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    MQ_REQUIRE(!o->shuffle_buffer || o->sampling != MQ_SAMPLE_BALANCED, err, MQ_USAGE,
               "--shuffle-buffer is for pictures that all come once, and --sampling balanced draws from all "
               "classes at any time; take one of the two");
    MQ_TRY(mq_find_network(err, o->model, &c->arch, &c->weights));
    MQ_TRY(tell_size(err, c));
    MQ_TRY(mq_check_imgsz(err, c->arch, o->imgsz));
    MQ_TRY(check_blocks(err, c));
    MQ_TRY(mq_choose_dtype(err, o->dtype, &c->dtype));
    c->workers = mq_choose_threads(o->threads, o->workers);
    MQ_TRY(mq_dataset_open(err, c->data, &c->dataset));
    MQ_REQUIRE(mq_dataset_count(c->dataset, MQ_TRAIN), err, MQ_BAD_DATA, "%s: no pictures to train on",
               c->data);
    MQ_TRY(mq_parts_make(err, c->dataset, o->fraction, (uint32_t)o->fold, &c->parts));
    MQ_TRY(find_class_weights(err, c));
    MQ_TRY(mq_open_weights(err, c->arch, &c->weights));
    c->recipe = mq_recipe_default((uint32_t)o->imgsz, c->arch->range);
    c->recipe.filter = (mq_filter)o->filter;
    c->recipe.fit = (mq_fit)o->fit;
    c->recipe.denoise = (mq_denoise)o->denoise;
    MQ_REQUIRE(!c->recipe.denoise || c->recipe.filter == MQ_FILTER_PILLOW, err, MQ_USAGE,
               "--denoise goes with --filter pillow alone");
    mq_dataset_recipe(c->dataset, &c->recipe);
    MQ_TRY(mq_dataset_check_recipe(err, c->dataset, &c->recipe));
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
                           .parts = &c->parts,
                           .seed = (uint64_t)o->seed,
                           .sampling = (mq_sampling_kind)o->sampling,
                           .shuffle_buffer = (size_t)o->shuffle_buffer,
                           .class_weights = c->class_weights,
                           .smoothing = o->smoothing,
                           .monitor = (mq_monitor)o->monitor,
                           .cache = o->cache == 0,
                           .max_bad = o->max_bad,
                           .stop = mq_stop_wanted};
}

static void tell_epoch(const mq_train_progress *p) {
    const mq_run_row *row = p->row;
    char skipped[48] = "";
    if (row->skipped) snprintf(skipped, sizeof skipped, "  %zu skipped", row->skipped);
    if (isnan(row->val_top1)) {
        mq_progress_keep("%s %u/%u loss %.4f top1 %.1f %%%s", p->stage, p->epoch, p->epochs, row->train_loss,
                         100 * row->train_top1, skipped);
    } else {
        mq_progress_keep("%s %u/%u loss %.4f top1 %.1f %%  val loss %.4f top1 %.1f %% top5 %.1f %%%s%s",
                         p->stage, p->epoch, p->epochs, row->train_loss, 100 * row->train_top1, row->val_loss,
                         100 * row->val_top1, 100 * row->val_top5, p->best ? "  best" : "", skipped);
    }
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
        mq_progress("%s %u/%u [%zu/%zu %zu%%] loss %.3f top1 %.1f lr %.3g %.*f img/s data %.0f%% eta %s",
                    p->stage, p->epoch, p->epochs, p->done, p->total, 100 * p->done / p->total, p->loss,
                    100 * p->top1, p->lr, p->img_s < 100 ? 1 : 0, p->img_s,
                    100 * p->waited / fmax(p->seconds, 1e-9), left);
    } else {
        tell_epoch(p);
    }
}

static void print_end(const train_call *c, const mq_train_result *result) {
    char time[32];
    printf("%u %s in %s\n", result->epochs, result->epochs == 1 ? "epoch" : "epochs",
           mq_duration(result->seconds, time));
    if (result->validated) {
        printf("best: epoch %u, validation top-1 %.1f %% (95 %%: %.1f to %.1f), top-5 %.1f %%, loss %.3f\n",
               result->best_epoch, 100 * result->best.top1, 100 * result->best.top1_low,
               100 * result->best.top1_high, 100 * result->best.top5, result->best.loss);
    } else {
        puts("no validation part, so best = last");
    }
    if (result->skipped)
        printf("%zu of its pictures could not be read and were skipped; %s/log.jsonl names them\n",
               result->skipped, mq_run_folder(c->run));
    printf("run: %s\nnext: marque eval %s\n", mq_run_folder(c->run),
           mq_text_word(mq_run_folder(c->run), &(mq_word){0}));
}

/* mq_train_plan.accepted: a resumed run keeps its old config until its checkpoint has accepted the new one.
 */
static mq_status describe_run(mq_err *err, void *user) {
    mq_status status = MQ_OK;
    const train_call *c = user;
    mq_json *config = NULL;
    MQ_TRY(mq_config_make(err, &c->options, c->data, c->stages, c->stage_count, &config));
    MQ_TRY(mq_json_set(err, config, MQ_CONFIG_DATA_DIGEST, mq_json_text(mq_dataset_digest(c->dataset))));
    MQ_TRY(mq_run_describe(err, c->run, config, c->dataset));
cleanup:
    mq_json_free(&config);
    return status;
}

/* Runs that began before their config said so are known to have other data by their checkpoint alone. */
static mq_status check_data(mq_err *err, const train_call *c) {
    const char *then = mq_json_string(mq_json_get(c->config, MQ_CONFIG_DATA_DIGEST));
    if (!then || strcmp(then, mq_dataset_digest(c->dataset)) == 0) return MQ_OK;
    return mq_fail(
        err, MQ_BAD_DATA,
        "%s: is not the data set that %s began with, or was changed since (marque import --update); "
        "put that one back, or begin another run, with what this one has learnt: marque train %s "
        "--model %s",
        c->data, c->options.resume, mq_text_word(c->data, &(mq_word){0}),
        mq_text_word(c->options.resume, &(mq_word){0}));
}

static mq_status open_run(mq_err *err, train_call *c) {
    mq_status status = MQ_OK;
    const mq_train_options *o = &c->options;
    mq_json *config = NULL;
    if (o->resume) {
        MQ_TRY(mq_run_open(err, o->resume, &c->run));
        MQ_TRY(mq_config_make(err, o, c->data, c->stages, c->stage_count, &config));
        MQ_TRY(mq_config_compare(err, o->resume, c->config, config));
        MQ_TRY(check_data(err, c));
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
    if (!c.options.resume && !c.options.plan) MQ_TRY(mq_run_check(err, c.options.output, c.options.name));
    MQ_TRY(choose_stages(err, &c));
    MQ_TRY(choose_augment(err, &c));
    MQ_TRY(open_inputs(err, &c));
    mq_train_plan plan = plan_of(&c);
    MQ_TRY(mq_check_train_plan(err, &plan, c.options.plan));
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
        mq_note("go on by: marque train --resume %s", mq_text_word(mq_run_folder(c.run), &(mq_word){0}));
    else if (status == MQ_INTERRUPTED)
        mq_note("nothing was to be saved yet: give the same command again");
    close_call(&c);
    return status;
}

const mq_command mq_cmd_train = {
    .name = "train",
    .usage = "DATA [options]   |   marque train [DATA] --resume RUN [--epochs N]",
    .summary = "teach a network the classes of a data set",
    .params = mq_train_options_table,
    .options_size = sizeof(mq_train_options),
    .args_max = 1,
    .examples = "  marque train cars.mq\n"
                "  marque train cars.mq --stages head:10@1e-3,block9+:5@1e-4 --bn stored --name first\n"
                "  marque train cars.mq --preset reference\n"
                "  marque train cars.mq --augment \"reference; fine-grained\"\n"
                "  marque train many.mq --shuffle-buffer 10000\n"
                "  marque train many.mq --max-bad 0\n"
                "  marque train vans.mq --model runs/first\n"
                "  marque train --resume runs/first --epochs 30\n"
                "  marque train cars.mq --plan\n",
    .resumable = true,
    .run = run,
};
