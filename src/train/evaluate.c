/* evaluate.c: the pass over a split behind `marque eval`. Invariant: every
 * picture of the split is counted exactly once, in the order of the shards. */
#include "train/evaluate.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/text.h"
#include "base/unicode.h"
#include "data/loader.h"
#include "data/shared.h"

#include <math.h>
#include <string.h>

/* A matrix of more classes is of no use to anybody, and larger than 50 MB. */
enum { TOP = 5, TEXT_LIMIT = 256 << 20, MATRIX_MOST = 5000 };

/* What a picture is, and what it was taken for. */
typedef struct {
    uint32_t truth, answer;
} verdict;

typedef struct {
    const mq_evaluate_plan *plan;
    size_t classes;
    size_t *map; /* [data set's classes] -> the model's */
    mq_metrics *metrics;
    mq_writer *predictions;     /* NULL: not wanted */
    mq_buf record, line;        /* for files */
    size_t seen;                /* pictures that the model may have been trained on */
    uint32_t *labels, *answers; /* [batch] in the model's numbering */
    float *p, *loss;            /* [batch, classes], [batch] */
    verdict *verdicts;          /* [pictures of the part] */
} evaluation;

static size_t picture_count(const mq_evaluate_plan *plan) {
    return plan->pictures ? plan->count : mq_dataset_count(plan->dataset, plan->split);
}

/* As an index into the data set's part. */
static size_t picture_at(const mq_evaluate_plan *plan, size_t i) {
    return plan->pictures ? plan->pictures[i] : i;
}

/* A class of the data set that the model does not have; people may see one that it has. */
static mq_status unknown_class(mq_err *err, const evaluation *e, const char *name) {
    mq_status status = MQ_OK;
    char *folded = NULL, *other = NULL, safe[128], near[128];
    const char *folder = mq_dataset_folder(e->plan->dataset);
    mq_text_safe(name, safe, sizeof safe);
    MQ_TRY(mq_unicode_fold(err, name, &folded));
    for (size_t j = 0; j < e->classes; j++) {
        free(other);
        other = NULL;
        MQ_TRY(mq_unicode_fold(err, mq_model_class(e->plan->model, j), &other));
        MQ_REQUIRE(
            strcmp(folded, other) != 0, err, MQ_BAD_DATA,
            "%s: the class \"%s\" is not among the model's %zu classes, but \"%s\", which differs only "
            "in case or in the bytes that write its accents",
            folder, safe, e->classes, mq_text_safe(mq_model_class(e->plan->model, j), near, sizeof near));
    }
    MQ_REQUIRE(false, err, MQ_BAD_DATA, "%s: the class \"%s\" is not among the model's %zu classes", folder,
               safe, e->classes);
cleanup:
    free(folded);
    free(other);
    return status;
}

/* Matches classes by name, so that another order never scores wrongly in silence. */
static mq_status map_classes(mq_err *err, evaluation *e) {
    mq_status status = MQ_OK;
    const mq_dataset *data = e->plan->dataset;
    const size_t count = mq_dataset_classes(data);
    MQ_TRY(mq_calloc(err, count, sizeof *e->map, "classes", &e->map));
    for (size_t i = 0; i < count; i++) {
        const char *name = mq_dataset_class(data, i);
        /* Mostly they stand in the same place. */
        size_t j = i < e->classes && strcmp(mq_model_class(e->plan->model, i), name) == 0 ? i : 0;
        while (j < e->classes && strcmp(mq_model_class(e->plan->model, j), name) != 0) j++;
        if (j == e->classes) MQ_TRY(unknown_class(err, e, name));
        e->map[i] = j;
    }
cleanup:
    return status;
}

static mq_status write_prediction(mq_err *err, evaluation *e, size_t index, const float *p, uint32_t label) {
    mq_status status = MQ_OK;
    mq_sample sample;
    size_t best[TOP];
    const size_t top = e->classes < TOP ? e->classes : TOP;
    mq_top_k(p, e->classes, top, best);
    MQ_TRY(mq_dataset_read(err, e->plan->dataset, e->plan->split, index, &e->record, &sample));
    mq_buf_clear(&e->line);
    MQ_TRY(mq_csv_field(err, &e->line, sample.name));
    MQ_TRY(mq_buf_printf(err, &e->line, ",%u,", label));
    MQ_TRY(mq_csv_field(err, &e->line, mq_model_class(e->plan->model, label)));
    MQ_TRY(mq_buf_printf(err, &e->line, ",%zu,", best[0]));
    MQ_TRY(mq_csv_field(err, &e->line, mq_model_class(e->plan->model, best[0])));
    MQ_TRY(mq_buf_printf(err, &e->line, ",%.6f,%.6f,", (double)p[best[0]], (double)p[label]));
    for (size_t i = 0; i < top; i++) MQ_TRY(mq_buf_printf(err, &e->line, "%s%zu", i ? " " : "", best[i]));
    MQ_TRY(mq_buf_add(err, &e->line, "\n", 1));
    MQ_TRY(mq_writer_add(err, e->predictions, e->line.data, e->line.size));
cleanup:
    return status;
}

static mq_status run_batches(mq_err *err, evaluation *e, mq_loader *loader, double start) {
    mq_status status = MQ_OK;
    const mq_evaluate_plan *plan = e->plan;
    const size_t total = picture_count(plan);
    for (size_t done = 0; done < total;) {
        const float *pixels;
        size_t n;
        MQ_TRY(mq_loader_next(err, loader, &pixels, &n));
        for (size_t i = 0; i < n; i++)
            e->labels[i] =
                (uint32_t)e->map[mq_dataset_label(plan->dataset, plan->split, picture_at(plan, done + i))];
        MQ_TRY(mq_model_run(err, plan->model, pixels, n, &(mq_answers){e->labels, e->p, e->loss}));
        mq_metrics_add(e->metrics, e->p, e->loss, e->labels, n, e->answers);
        for (size_t i = 0; i < n; i++) e->verdicts[done + i] = (verdict){e->labels[i], e->answers[i]};
        for (size_t i = 0; i < n && e->predictions; i++)
            MQ_TRY(write_prediction(err, e, picture_at(plan, done + i), e->p + i * e->classes, e->labels[i]));
        done += n;
        if (plan->progress) plan->progress(plan->user, done, total, mq_seconds() - start);
        MQ_REQUIRE(!plan->stop || !plan->stop(plan->user), err, MQ_INTERRUPTED,
                   "stopped after %zu of %zu pictures", done, total);
    }
cleanup:
    return status;
}

static mq_status class_json(mq_err *err, const evaluation *e, mq_json **list) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_json_pack(err, list, "[]"));
    for (size_t i = 0; i < e->classes; i++) {
        mq_class_scores s;
        mq_json *one = NULL;
        mq_metrics_class(e->metrics, i, &s);
        MQ_TRY(mq_json_pack(err, &one, "{s:i, s:o, s:i, s:o, s:o, s:o}", "class", (int)i, "name",
                            mq_json_text(mq_model_class(e->plan->model, i)), "images", (int)s.pictures,
                            "precision", mq_json_number(s.precision), "recall", mq_json_number(s.recall),
                            "f1", mq_json_number(s.f1)));
        MQ_TRY(mq_json_append(err, *list, one));
    }
cleanup:
    return status;
}

static mq_status scores_json(mq_err *err, const evaluation *e, const mq_scores *s, double seconds,
                             mq_json **json) {
    mq_status status = MQ_OK;
    const mq_evaluate_plan *plan = e->plan;
    mq_json *classes = NULL, *seen = NULL;
    MQ_TRY(class_json(err, e, &classes));
    MQ_TRY(mq_json_pack(err, &seen, plan->trained_on ? "I" : "n", (long long)e->seen));
    MQ_TRY(mq_json_pack(
        err, json,
        "{s:s, s:o,s:o,s:o,s:o,s:o,s:o,s:o, s:[o,o], s:{s:o,s:o,s:o}, s:i,s:i,s:O,s:i, s:s,s:o,s:s, "
        "s:o,s:s,s:s,s:I,s:i,s:s,"
        " s:o,s:o, s:O}",
        "schema", "marque.eval.v1", "top1", mq_json_number(s->top1), "top5", mq_json_number(s->top5), "loss",
        mq_json_number(s->loss), "auc", mq_json_number(s->auc), "auc_error", mq_json_number(s->auc_error),
        "auc_tf200", mq_json_number(s->auc_tf200), "mae", mq_json_number(s->mae), "top1_ci95",
        mq_json_number(s->top1_low), mq_json_number(s->top1_high), "macro", "precision",
        mq_json_number(s->precision), "recall", mq_json_number(s->recall), "f1", mq_json_number(s->f1),
        "images", (int)s->pictures, "skipped", 0, "seen", seen, "num_classes", (int)e->classes, "split",
        mq_split_name(plan->pictures ? MQ_VAL : plan->split), "data",
        mq_json_text(mq_dataset_folder(plan->dataset)), "data_sha256", mq_dataset_digest(plan->dataset),
        "model", mq_json_text(plan->model_name), "model_sha256", mq_model_digest(plan->model), "arch",
        mq_model_arch(plan->model)->name, "param_count", (long long)mq_model_params(plan->model), "imgsz",
        (int)mq_model_recipe(plan->model)->imgsz, "dtype", mq_dtype_name(mq_model_dtype(plan->model)),
        "seconds", mq_json_number(seconds), "img_s", mq_json_number((double)s->pictures / seconds),
        "per_class", classes));
cleanup:
    mq_json_free(&classes);
    mq_json_free(&seen);
    return status;
}

static mq_status add_share(mq_err *err, mq_buf *text, double value) {
    return isfinite(value) ? mq_buf_printf(err, text, ",%.6f", value) : mq_buf_add(err, text, ",", 1);
}

static mq_status write_per_class(mq_err *err, const evaluation *e, const char *path) {
    mq_status status = MQ_OK;
    mq_buf text = mq_buf_init(TEXT_LIMIT);
    MQ_TRY(mq_buf_add_text(err, &text, "class,name,images,precision,recall,f1\n"));
    for (size_t i = 0; i < e->classes; i++) {
        mq_class_scores s;
        mq_metrics_class(e->metrics, i, &s);
        MQ_TRY(mq_buf_printf(err, &text, "%zu,", i));
        MQ_TRY(mq_csv_field(err, &text, mq_model_class(e->plan->model, i)));
        MQ_TRY(mq_buf_printf(err, &text, ",%zu", s.pictures));
        MQ_TRY(add_share(err, &text, s.precision));
        MQ_TRY(add_share(err, &text, s.recall));
        MQ_TRY(add_share(err, &text, s.f1));
        MQ_TRY(mq_buf_add(err, &text, "\n", 1));
    }
    MQ_TRY(mq_file_write(err, path, text.data, text.size));
cleanup:
    mq_buf_free(&text);
    return status;
}

static int by_cell(const void *left, const void *right) {
    const verdict *l = left, *r = right;
    if (l->truth != r->truth) return l->truth < r->truth ? -1 : 1;
    return (l->answer > r->answer) - (l->answer < r->answer);
}

/* Adds the line of a class to e->line; *at: its first verdict, then the next class's. */
static mq_status add_matrix_row(mq_err *err, evaluation *e, size_t truth, size_t *at) {
    mq_status status = MQ_OK;
    const size_t pictures = picture_count(e->plan);
    MQ_TRY(mq_csv_field(err, &e->line, mq_model_class(e->plan->model, truth)));
    for (size_t j = 0; j < e->classes; j++) {
        const size_t first = *at;
        while (*at < pictures && e->verdicts[*at].truth == truth && e->verdicts[*at].answer == j) ++*at;
        MQ_TRY(mq_buf_printf(err, &e->line, ",%zu", *at - first));
    }
    MQ_TRY(mq_buf_add(err, &e->line, "\n", 1));
cleanup:
    return status;
}

/* Rows are truths, columns answers, both named. Sorts the verdicts. */
static mq_status write_confusion(mq_err *err, evaluation *e, const char *path) {
    mq_status status = MQ_OK;
    mq_writer *writer = NULL;
    size_t at = 0;
    if (e->classes > MATRIX_MOST) {
        mq_note("no confusion_matrix.csv for more than %d classes; predictions.csv has every answer",
                MATRIX_MOST);
        return MQ_OK;
    }
    qsort(e->verdicts, picture_count(e->plan), sizeof *e->verdicts, by_cell);
    MQ_TRY(mq_writer_open(err, path, &writer));
    mq_buf_clear(&e->line);
    MQ_TRY(mq_buf_add_text(err, &e->line, "true\\predicted"));
    for (size_t i = 0; i < e->classes; i++) {
        MQ_TRY(mq_buf_add(err, &e->line, ",", 1));
        MQ_TRY(mq_csv_field(err, &e->line, mq_model_class(e->plan->model, i)));
    }
    MQ_TRY(mq_buf_add(err, &e->line, "\n", 1));
    for (size_t i = 0; i < e->classes; i++) {
        MQ_TRY(add_matrix_row(err, e, i, &at));
        MQ_TRY(mq_writer_add(err, writer, e->line.data, e->line.size));
        mq_buf_clear(&e->line);
    }
    MQ_TRY(mq_writer_commit(err, &writer));
cleanup:
    mq_writer_abort(&writer);
    return status;
}

/* Pictures of the part that lie in the training part of the model's own data. Where that is this data set,
 * who asks for its training part knows. */
static mq_status count_seen(mq_err *err, evaluation *e) {
    mq_status status = MQ_OK;
    const mq_evaluate_plan *plan = e->plan;
    if (!plan->trained_on || plan->pictures) return MQ_OK; /* a fold was not trained on */
    MQ_TRY(mq_shared_count(err, plan->dataset, plan->split, plan->trained_on, MQ_TRAIN, &e->seen));
    if (e->seen && plan->trained_on != plan->dataset)
        mq_warn(
            "%zu of the %zu pictures of the %s part of %s are among those that the model was trained on, so "
            "the figures say less of new pictures",
            e->seen, mq_dataset_count(plan->dataset, plan->split), mq_split_name(plan->split),
            mq_dataset_folder(plan->dataset));
cleanup:
    return status;
}

static mq_status open_predictions(mq_err *err, evaluation *e) {
    mq_status status = MQ_OK;
    static const char header[] =
        "file,class,name,predicted,predicted_name,confidence,confidence_of_class,top5\n";
    char *path = NULL;
    mq_err why = {0};
    MQ_TRY(mq_path_join(err, e->plan->folder, "predictions.csv", &path));
    const bool made = mq_make_folder(&why, e->plan->folder) == MQ_OK &&
                      mq_writer_open(&why, path, &e->predictions) == MQ_OK;
    MQ_REQUIRE(made, err, why.code, "%s; -o DIR takes the files elsewhere", why.text);
    MQ_TRY(mq_writer_add(err, e->predictions, header, strlen(header)));
cleanup:
    free(path);
    return status;
}

static mq_status write_files(mq_err *err, evaluation *e, const mq_json *json) {
    mq_status status = MQ_OK;
    char *per_class = NULL, *confusion = NULL, *metrics = NULL;
    const char *folder = e->plan->folder;
    MQ_TRY(mq_path_join(err, folder, "per_class.csv", &per_class));
    MQ_TRY(mq_path_join(err, folder, "confusion_matrix.csv", &confusion));
    MQ_TRY(mq_path_join(err, folder, "metrics.json", &metrics));
    MQ_TRY(mq_writer_commit(err, &e->predictions));
    MQ_TRY(write_per_class(err, e, per_class));
    MQ_TRY(write_confusion(err, e, confusion));
    MQ_TRY(mq_json_save(err, json, metrics));
cleanup:
    free(per_class);
    free(confusion);
    free(metrics);
    return status;
}

mq_status mq_evaluate(mq_err *err, const mq_evaluate_plan *plan, mq_scores *scores, mq_json **json) {
    mq_status status = MQ_OK;
    evaluation e = {.plan = plan,
                    .classes = mq_model_classes(plan->model),
                    .record = mq_buf_init(TEXT_LIMIT),
                    .line = mq_buf_init(TEXT_LIMIT)};
    mq_loader *loader = NULL;
    const double start = mq_seconds();
    MQ_REQUIRE(plan->size == sizeof *plan && plan->batch, err, MQ_INTERNAL, "an evaluation of no batch");
    MQ_REQUIRE(picture_count(plan), err, MQ_BAD_DATA, "%s: its %s part has no pictures",
               mq_dataset_folder(plan->dataset), mq_split_name(plan->split));
    MQ_TRY(map_classes(err, &e));
    MQ_TRY(count_seen(err, &e));
    MQ_TRY(mq_metrics_create(err, e.classes, &e.metrics));
    MQ_TRY(mq_calloc(err, plan->batch, sizeof *e.labels, "labels", &e.labels));
    MQ_TRY(mq_calloc(err, plan->batch, sizeof *e.answers, "answers", &e.answers));
    MQ_TRY(mq_calloc(err, picture_count(plan), sizeof *e.verdicts, "answers", &e.verdicts));
    MQ_TRY(mq_alloc_aligned(err, plan->batch * e.classes, sizeof *e.p, "answers", &e.p));
    MQ_TRY(mq_alloc_aligned(err, plan->batch, sizeof *e.loss, "losses", &e.loss));
    if (plan->folder) MQ_TRY(open_predictions(err, &e));
    const mq_loader_plan load = {.size = sizeof load,
                                 .dataset = plan->dataset,
                                 .split = plan->split,
                                 .recipe = mq_model_recipe(plan->model),
                                 .order = plan->pictures,
                                 .count = picture_count(plan),
                                 .batch = plan->batch,
                                 .workers = plan->workers};
    MQ_TRY(mq_loader_open(err, &load, &loader));
    MQ_TRY(run_batches(err, &e, loader, start));
    mq_metrics_scores(e.metrics, scores);
    MQ_TRY(scores_json(err, &e, scores, mq_seconds() - start, json));
    if (plan->folder) MQ_TRY(write_files(err, &e, *json));
cleanup:
    mq_loader_free(&loader);
    mq_writer_abort(&e.predictions);
    mq_metrics_free(&e.metrics);
    mq_buf_free(&e.record);
    mq_buf_free(&e.line);
    free(e.map);
    free(e.labels);
    free(e.answers);
    free(e.verdicts);
    free(e.p);
    free(e.loss);
    return status;
}
