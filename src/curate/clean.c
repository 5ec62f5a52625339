/* clean.c: the way from a data set to its list of edits. Called by `marque clean`. Owns the answers while
 * they are judged. Invariant: a picture has one row at most. */
#include "curate/clean.h"
#include "base/mem.h"
#include "curate/confident.h"

#include <math.h>
#include <string.h>

/* A class of fewer pictures teaches too little for its labels to be judged. */
enum { FEW = 4 };
/* From these chances on a label is thought wrong rather than right, and another class known rather than
 * guessed. */
static const double SURE = 0.5;
static const float KNOWN = 0.5F;

static const char COPY[] = "copy", CONFLICT[] = "copy in another class", LABEL[] = "doubtful label";

/* What is known of the pictures while the list is made; arrays [pictures], owned. */
typedef struct {
    const mq_clean_plan *plan;
    mq_clean_report *report;
    size_t capacity; /* of report->edits */
    uint8_t (*digests)[MQ_SHA256_SIZE];
    uint32_t *groups; /* the first picture of the same bytes */
    bool *listed;
} finding;

static void close_finding(finding *f) {
    free(f->digests);
    free(f->groups);
    free(f->listed);
}

static mq_status add(mq_err *err, finding *f, size_t picture, const mq_edit *edit) {
    mq_status status = MQ_OK;
    mq_clean_report *r = f->report;
    MQ_TRY(mq_grow(err, &r->edits, &f->capacity, r->count + 1, sizeof *r->edits));
    r->edits[r->count] = *edit;
    r->edits[r->count].picture = r->named[picture].name;
    r->edits[r->count].class = mq_dataset_class(f->plan->dataset, r->named[picture].label);
    r->count++;
    r->actions[edit->action]++;
    f->listed[picture] = true;
cleanup:
    return status;
}

/* A picture and the digest of its bytes, to be sorted. */
typedef struct {
    const uint8_t *digest;
    uint32_t picture;
} digest_place;

static int by_digest(const void *a, const void *b) {
    const digest_place *x = a, *y = b;
    const int order = memcmp(x->digest, y->digest, MQ_SHA256_SIZE);
    return order ? order : x->picture < y->picture ? -1 : x->picture > y->picture;
}

/* Pictures of the same bytes; the first by split and place stands for all. */
static mq_status find_groups(mq_err *err, finding *f) {
    mq_status status = MQ_OK;
    const size_t n = f->report->pictures;
    digest_place *places = NULL;
    MQ_TRY(mq_calloc(err, n, sizeof *f->digests, "digests", &f->digests));
    MQ_TRY(mq_calloc(err, n, sizeof *f->groups, "groups", &f->groups));
    MQ_TRY(mq_calloc(err, n, sizeof *places, "digests", &places));
    for (uint32_t i = 0; i < n; i++) {
        const mq_named *one = &f->report->named[i];
        mq_dataset_sha256(f->plan->dataset, one->split, one->index, f->digests[i]);
        places[i] = (digest_place){f->digests[i], i};
    }
    if (n) qsort(places, n, sizeof *places, by_digest);
    for (size_t i = 0; i < n; i++) {
        const bool same = i && memcmp(places[i].digest, places[i - 1].digest, MQ_SHA256_SIZE) == 0;
        f->groups[places[i].picture] = same ? f->groups[places[i - 1].picture] : places[i].picture;
    }
cleanup:
    free(places);
    return status;
}

/* Of copies one stays; copies in several classes are for a person to look at. */
static mq_status list_copies(mq_err *err, finding *f) {
    mq_status status = MQ_OK;
    mq_clean_report *r = f->report;
    bool *conflict = NULL;
    MQ_TRY(mq_calloc(err, r->pictures, sizeof *conflict, "groups", &conflict));
    for (size_t i = 0; i < r->pictures; i++)
        if (r->named[i].label != r->named[f->groups[i]].label) conflict[f->groups[i]] = true;
    for (size_t i = 0; i < r->pictures; i++) {
        const uint32_t first = f->groups[i];
        if (!conflict[first] && first == i) continue;
        const char *twin = r->named[first].name;
        for (size_t k = i + 1; first == i; k++) /* the first one's twin is the next of the group */
            if (f->groups[k] == first) {
                twin = r->named[k].name;
                break;
            }
        const mq_edit edit = {.reason = conflict[first] ? CONFLICT : COPY,
                              .score = 1,
                              .suggestion = twin,
                              .action = conflict[first] ? MQ_KEEP : MQ_DROP};
        *(conflict[first] ? &r->conflicts : &r->copies) += 1;
        MQ_TRY(add(err, f, i, &edit));
    }
cleanup:
    free(conflict);
    return status;
}

/* A wrong label is replaced where the right one is known, else its picture is dropped; a doubt alone changes
 * nothing. */
static mq_status list_label(mq_err *err, finding *f, size_t picture, const mq_doubt *doubt) {
    const bool known = doubt->best >= KNOWN;
    const mq_edit edit = {.reason = LABEL,
                          .score = doubt->wrong,
                          .suggestion = mq_dataset_class(f->plan->dataset, doubt->other),
                          .action = doubt->wrong < SURE ? MQ_KEEP
                                    : known             ? MQ_RELABEL
                                                        : MQ_DROP};
    f->report->doubtful++;
    return add(err, f, picture, &edit);
}

/* Lists the labels that the answers speak against. */
static mq_status list_labels(mq_err *err, finding *f, const mq_answers_given *given) {
    mq_status status = MQ_OK;
    mq_clean_report *r = f->report;
    mq_doubt *doubts = NULL;
    size_t *counts = NULL;
    MQ_TRY(mq_calloc(err, given->count, sizeof *doubts, "labels", &doubts));
    MQ_TRY(mq_calloc(err, given->classes, sizeof *counts, "classes", &counts));
    for (size_t i = 0; i < given->count; i++) counts[given->labels[i]]++;
    for (size_t c = 0; c < given->classes; c++) r->small += counts[c] > 0 && counts[c] < FEW;
    MQ_TRY(mq_confident_judge(err, given, doubts, &r->rate));
    for (size_t i = 0; i < given->count; i++) {
        const bool contradicted = doubts[i].best > doubts[i].given && doubts[i].wrong >= f->plan->least;
        if (!f->listed[i] && contradicted && counts[given->labels[i]] >= FEW)
            MQ_TRY(list_label(err, f, i, &doubts[i]));
    }
cleanup:
    free(doubts);
    free(counts);
    return status;
}

static mq_status judge_labels(mq_err *err, finding *f) {
    mq_status status = MQ_OK;
    const mq_clean_plan *plan = f->plan;
    const size_t n = f->report->pictures, classes = mq_dataset_classes(plan->dataset);
    uint32_t *labels = NULL;
    float *p = NULL;
    mq_vectors_standardise(plan->vectors);
    MQ_TRY(mq_calloc(err, n, sizeof *labels, "labels", &labels));
    MQ_TRY(mq_alloc_aligned(err, n * classes, sizeof *p, "answers", &p));
    for (size_t i = 0; i < n; i++) labels[i] = f->report->named[i].label;
    const mq_confident_plan confident = {.size = sizeof confident,
                                         .x = plan->vectors->rows,
                                         .labels = labels,
                                         .groups = f->groups,
                                         .count = n,
                                         .features = plan->vectors->width,
                                         .classes = classes,
                                         .folds = plan->folds,
                                         .seed = plan->seed,
                                         .stop = plan->stop,
                                         .progress = plan->progress,
                                         .user = plan->user};
    MQ_TRY(mq_confident_answers(err, &confident, p));
    const mq_answers_given given = {p, labels, n, classes};
    MQ_TRY(list_labels(err, f, &given));
cleanup:
    free(labels);
    free(p);
    return status;
}

/* The surest first, and what changes something before what does not. */
static int by_certainty(const void *a, const void *b) {
    const mq_edit *x = a, *y = b;
    if (x->score != y->score) return x->score > y->score ? -1 : 1;
    if (x->reason != y->reason) return strcmp(x->reason, y->reason);
    return strcmp(x->picture, y->picture);
}

mq_status mq_clean_find(mq_err *err, const mq_clean_plan *plan, mq_clean_report *report) {
    mq_status status = MQ_OK;
    finding f = {.plan = plan, .report = report};
    *report = (mq_clean_report){0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a cleaning plan of %zu bytes", plan->size);
    MQ_TRY(mq_named_read(err, plan->dataset, plan->stop, &report->named, &report->pictures));
    MQ_REQUIRE(plan->vectors->count == report->pictures, err, MQ_INTERNAL, "features of other pictures");
    MQ_TRY(mq_calloc(err, report->pictures, sizeof *f.listed, "pictures", &f.listed));
    MQ_TRY(find_groups(err, &f));
    MQ_TRY(list_copies(err, &f));
    MQ_TRY(judge_labels(err, &f));
    if (report->count) qsort(report->edits, report->count, sizeof *report->edits, by_certainty);
cleanup:
    close_finding(&f);
    return status;
}

void mq_clean_report_free(mq_clean_report *report) {
    free(report->edits);
    mq_named_free(&report->named, report->pictures);
    *report = (mq_clean_report){0};
}
