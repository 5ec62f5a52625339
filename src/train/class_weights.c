/* class_weights.c: class weights counted or read. Called by cmd_train.c. Owns
 * nothing. Invariant: every weight is a finite number from 0, one at least above. */
#include "train/class_weights.h"
#include "base/csv.h"
#include "base/mem.h"
#include "base/text.h"

#include <stdio.h>
#include <string.h>

enum { SHOWN = 80 };

static const double WEIGHT_MAX = 1e6;

mq_status mq_class_weights_balanced(mq_err *err, const mq_dataset *dataset, const uint32_t *subset,
                                    size_t count, float **weights) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(dataset);
    size_t *pictures = NULL, present = 0;
    float *w = NULL;
    MQ_TRY(mq_calloc(err, classes, sizeof *w, "class weights", &w));
    MQ_TRY(mq_calloc(err, classes, sizeof *pictures, "class weights", &pictures));
    for (size_t i = 0; i < count; i++) pictures[mq_dataset_label(dataset, MQ_TRAIN, subset[i])]++;
    for (size_t c = 0; c < classes; c++) present += pictures[c] > 0;
    for (size_t c = 0; c < classes; c++)
        w[c] = pictures[c] ? (float)((double)count / ((double)present * (double)pictures[c])) : 1;
    *weights = w;
    w = NULL;
cleanup:
    free(pictures);
    free(w);
    return status;
}

/* The class called name; classes if there is none. */
static size_t find_class(const mq_dataset *dataset, const char *name) {
    size_t c = 0;
    while (c < mq_dataset_classes(dataset) && strcmp(mq_dataset_class(dataset, c), name) != 0) c++;
    return c;
}

/* ", did you mean NAME?" or nothing, in out. */
static mq_status suggest(mq_err *err, const mq_dataset *dataset, const char *name, char out[2 * SHOWN]) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(dataset);
    const char **names = NULL;
    char shown[SHOWN];
    MQ_TRY(mq_calloc(err, classes + 1, sizeof *names, "class names", &names));
    for (size_t c = 0; c < classes; c++) names[c] = mq_dataset_class(dataset, c);
    const char *near = mq_text_nearest(name, names);
    out[0] = 0;
    if (near) snprintf(out, 2 * SHOWN, ", did you mean %s?", mq_text_safe(near, shown, sizeof shown));
cleanup:
    free(names);
    return status;
}

typedef struct {
    const char *path;
    const mq_dataset *dataset;
    int class, weight; /* columns */
    float *weights;    /* [classes]; below 0: not named yet */
} weights_reader;

static mq_status read_row(mq_err *err, const weights_reader *r, const mq_csv *csv) {
    mq_status status = MQ_OK;
    const char *name = mq_csv_get(csv, r->class), *text = mq_csv_get(csv, r->weight);
    char shown[SHOWN], near[2 * SHOWN], *end;
    const size_t c = find_class(r->dataset, name), line = mq_csv_line(csv);
    mq_text_safe(name, shown, sizeof shown);
    if (c == mq_dataset_classes(r->dataset)) {
        MQ_TRY(suggest(err, r->dataset, name, near));
        MQ_REQUIRE(false, err, MQ_BAD_DATA, "%s:%zu: %s is no class of %s%s", r->path, line, shown,
                   mq_dataset_folder(r->dataset), near);
    }
    MQ_REQUIRE(r->weights[c] < 0, err, MQ_BAD_DATA, "%s:%zu: the class %s has a weight already", r->path,
               line, shown);
    const double weight = strtod(text, &end);
    MQ_REQUIRE(end != text && !*end && weight >= 0 && weight <= WEIGHT_MAX, err, MQ_BAD_DATA,
               "%s:%zu: \"%.40s\" is no weight; write a number from 0 to 1e6", r->path, line, text);
    r->weights[c] = (float)weight;
cleanup:
    return status;
}

mq_status mq_class_weights_read(mq_err *err, const char *path, const mq_dataset *dataset, float **weights) {
    mq_status status = MQ_OK;
    const size_t classes = mq_dataset_classes(dataset);
    mq_csv *csv = NULL;
    weights_reader r = {.path = path, .dataset = dataset};
    bool more = true, any = false;
    MQ_TRY(mq_calloc(err, classes, sizeof *r.weights, "class weights", &r.weights));
    for (size_t c = 0; c < classes; c++) r.weights[c] = -1;
    MQ_TRY(mq_csv_open(err, path, &csv));
    MQ_TRY(mq_csv_need(err, csv, "class", &r.class));
    MQ_TRY(mq_csv_need(err, csv, "weight", &r.weight));
    for (;;) {
        MQ_TRY(mq_csv_next(err, csv, &more));
        if (!more) break;
        MQ_TRY(read_row(err, &r, csv));
    }
    for (size_t c = 0; c < classes; c++) {
        if (r.weights[c] < 0) r.weights[c] = 1;
        any = any || r.weights[c] > 0;
    }
    MQ_REQUIRE(any, err, MQ_BAD_DATA, "%s: every class has the weight 0, so nothing would be learned", path);
    *weights = r.weights;
    r.weights = NULL;
cleanup:
    mq_csv_free(&csv);
    free(r.weights);
    return status;
}
