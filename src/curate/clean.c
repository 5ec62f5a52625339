/* clean.c: the way from a data set to its list of edits. Called by `marque clean`. Owns the answers while
 * they are judged. Invariant: a picture has one row at most. */
#include "curate/clean.h"
#include "base/mem.h"
#include "curate/confident.h"

#include <math.h>
#include <string.h>

/* A class of fewer pictures, copies as one, teaches too little for its labels to be judged. */
enum { FEW = 4 };
/* From these chances on a label is thought wrong rather than right, and another class known rather than
 * guessed. */
static const double SURE = 0.5;
static const float KNOWN = 0.5F;

static const char LABEL[] = "doubtful label";
/* Of the same bytes or not, in one class or several. */
static const char *const copy_reasons[2][2] = {{"near copy", "near copy in another class"},
                                               {"copy", "copy in another class"}};

/* What is known of the pictures while the list is made; arrays [pictures], owned. */
typedef struct {
    const mq_clean_plan *plan;
    mq_clean_report *report;
    size_t capacity;  /* of report->edits */
    uint32_t *groups; /* the first picture of the same look */
    bool *listed;
    mq_doubt *doubts; /* what is thought of each label, */
    bool *doubted;    /* and whether the answers speak against it */
} finding;

static void close_finding(finding *f) {
    free(f->groups);
    free(f->listed);
    free(f->doubts);
    free(f->doubted);
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

/* Copies are answered by classifiers that know none of them: all of a group go by its first picture. */
static mq_status find_groups(mq_err *err, finding *f) {
    mq_status status = MQ_OK;
    const mq_duplicates *found = &f->plan->scan->duplicates;
    MQ_TRY(mq_calloc(err, f->report->pictures, sizeof *f->groups, "groups", &f->groups));
    for (uint32_t i = 0; i < f->report->pictures; i++) f->groups[i] = i;
    for (size_t i = 0; i < found->count; i++)
        for (size_t k = 0; k < found->groups[i].count; k++)
            f->groups[found->groups[i].pictures[k]] = found->groups[i].pictures[0];
cleanup:
    return status;
}

/* Whether a is the better one of two copies to keep: that of test before val before train, so that what a
 * model is measured on stays and what it could have learned by heart goes; then the larger. */
static bool is_better(const finding *f, uint32_t a, uint32_t b) {
    const mq_named *x = &f->report->named[a], *y = &f->report->named[b];
    const mq_scan_row *of_x = &f->plan->scan->rows[a], *of_y = &f->plan->scan->rows[b];
    const uint64_t size_x = (uint64_t)of_x->width * of_x->height,
                   size_y = (uint64_t)of_y->width * of_y->height;
    if (x->split != y->split) return x->split > y->split;
    return size_x > size_y;
}

/* Of a conflict's copies the next one after k, around, that bears another class. */
static uint32_t contrary(const finding *f, const mq_duplicate_group *g, size_t k) {
    const mq_named *named = f->report->named;
    const uint32_t own = g->pictures[k];
    uint32_t other = own;
    for (size_t i = 1; i < g->count && named[other].label == named[own].label; i++)
        other = g->pictures[(k + i) % g->count];
    return other;
}

/* Whether two copies have the same bytes. */
static bool are_exact(const finding *f, uint32_t a, uint32_t b) {
    uint8_t digests[2][MQ_SHA256_SIZE];
    const uint32_t pictures[2] = {a, b};
    for (size_t i = 0; i < 2; i++) {
        size_t index;
        const mq_split split = mq_picture_place(f->plan->dataset, pictures[i], &index);
        mq_dataset_sha256(f->plan->dataset, split, index, digests[i]);
    }
    return memcmp(digests[0], digests[1], sizeof digests[0]) == 0;
}

/* Of copies the best stays; copies in several classes are for a person to look at, each beside one of another
 * class, which is the likeliest should its own be wrong. */
static mq_status list_group(mq_err *err, finding *f, const mq_duplicate_group *g) {
    mq_status status = MQ_OK;
    uint32_t best = g->pictures[0];
    for (size_t k = 1; k < g->count; k++)
        if (is_better(f, g->pictures[k], best)) best = g->pictures[k];
    for (size_t k = 0; k < g->count; k++) {
        const uint32_t picture = g->pictures[k];
        if (f->listed[picture] || (!g->conflict && picture == best)) continue;
        const uint32_t beside = g->conflict ? contrary(f, g, k) : best;
        const mq_named *other = &f->report->named[beside];
        const bool exact = are_exact(f, picture, beside);
        const mq_edit edit = {.reason = copy_reasons[exact][g->conflict],
                              .score = exact ? 1 : fmax(0, fmin(1, (double)g->cosine)),
                              .copy_of = other->name,
                              .suggestion = g->conflict ? mq_dataset_class(f->plan->dataset, other->label)
                                                        : "",
                              .action = g->conflict ? MQ_KEEP : MQ_DROP};
        *(g->conflict ? &f->report->conflicts : &f->report->copies) += 1;
        MQ_TRY(add(err, f, picture, &edit));
    }
cleanup:
    return status;
}

static mq_status list_copies(mq_err *err, finding *f, bool conflict) {
    mq_status status = MQ_OK;
    const mq_duplicates *found = &f->plan->scan->duplicates;
    for (size_t i = 0; i < found->count; i++)
        if (found->groups[i].confirmed && found->groups[i].conflict == conflict)
            MQ_TRY(list_group(err, f, &found->groups[i]));
cleanup:
    return status;
}

static mq_status list_flaw(mq_err *err, finding *f, mq_flaw flaw, double score, mq_action action) {
    mq_status status = MQ_OK;
    for (uint32_t i = 0; i < f->report->pictures; i++) {
        if (f->listed[i] || !(f->plan->scan->rows[i].flaws & 1U << flaw)) continue;
        const mq_edit edit = {.reason = mq_flaw_name(flaw)->word,
                              .score = score,
                              .copy_of = "",
                              .suggestion = "",
                              .action = action};
        f->report->flawed++;
        MQ_TRY(add(err, f, i, &edit));
    }
cleanup:
    return status;
}

/* A wrong label is replaced where the right one is known, else its picture is dropped; a doubt alone changes
 * nothing, nor does a chance from too few pictures. */
static mq_action action_of(const mq_doubt *doubt) {
    if (doubt->wrong < SURE || !doubt->founded) return MQ_KEEP;
    return doubt->best >= KNOWN ? MQ_RELABEL : MQ_DROP;
}

static mq_status list_label(mq_err *err, finding *f, size_t picture, const mq_doubt *doubt) {
    const mq_edit edit = {.reason = LABEL,
                          .score = doubt->wrong,
                          .copy_of = "",
                          .suggestion = mq_dataset_class(f->plan->dataset, doubt->other),
                          .action = action_of(doubt)};
    f->report->doubtful++;
    f->report->unfounded += doubt->wrong >= SURE && !doubt->founded;
    return add(err, f, picture, &edit);
}

/* Finds the labels that the answers speak against. */
static mq_status judge_answers(mq_err *err, finding *f, const mq_answers_given *given) {
    mq_status status = MQ_OK;
    mq_clean_report *r = f->report;
    size_t *counts = NULL;
    MQ_TRY(mq_calloc(err, given->count, sizeof *f->doubts, "labels", &f->doubts));
    MQ_TRY(mq_calloc(err, given->count, sizeof *f->doubted, "labels", &f->doubted));
    MQ_TRY(mq_calloc(err, given->classes, sizeof *counts, "classes", &counts));
    mq_confident_counts(given, counts);
    for (size_t c = 0; c < given->classes; c++) r->small += counts[c] > 0 && counts[c] < FEW;
    MQ_TRY(mq_confident_judge(err, given, f->doubts, &r->rate));
    for (size_t i = 0; i < given->count; i++) {
        const mq_doubt *d = &f->doubts[i];
        r->confident += d->confident < given->classes && d->confident != given->labels[i] &&
                        mq_confident_counts_as_one(given, i);
        f->doubted[i] = d->best > d->given && d->wrong >= f->plan->least && counts[given->labels[i]] >= FEW;
    }
cleanup:
    free(counts);
    return status;
}

/* Lists the labels that are in doubt, those that are to be changed or the others. */
static mq_status list_labels(mq_err *err, finding *f, bool changing) {
    mq_status status = MQ_OK;
    for (size_t i = 0; i < f->report->pictures; i++) {
        const mq_doubt *d = &f->doubts[i];
        if (!f->listed[i] && f->doubted[i] && (action_of(d) != MQ_KEEP) == changing)
            MQ_TRY(list_label(err, f, i, d));
    }
cleanup:
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
    const mq_answers_given given = {p, labels, n, classes, f->groups};
    MQ_TRY(judge_answers(err, f, &given));
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
    static const mq_flaw little[] = {MQ_FLAW_DARK, MQ_FLAW_OVEREXPOSED, MQ_FLAW_BLURRED, MQ_FLAW_TINY};
    finding f = {.plan = plan, .report = report};
    *report = (mq_clean_report){0};
    MQ_REQUIRE(plan->size == sizeof *plan, err, MQ_INTERNAL, "a cleaning plan of %zu bytes", plan->size);
    MQ_TRY(mq_named_read(err, plan->dataset, plan->stop, &report->named, &report->pictures));
    MQ_REQUIRE(plan->vectors->count == report->pictures && plan->scan->pictures == report->pictures, err,
               MQ_INTERNAL, "features or a scan of other pictures");
    MQ_TRY(mq_calloc(err, report->pictures, sizeof *f.listed, "pictures", &f.listed));
    MQ_TRY(find_groups(err, &f));
    MQ_TRY(judge_labels(err, &f));
    /* The first reason is the picture's row: what changes something before what is to be looked at. */
    MQ_TRY(list_copies(err, &f, false));
    MQ_TRY(list_flaw(err, &f, MQ_FLAW_EMPTY, 1, MQ_DROP));
    MQ_TRY(list_labels(err, &f, true));
    MQ_TRY(list_copies(err, &f, true));
    MQ_TRY(list_labels(err, &f, false));
    for (size_t i = 0; i < sizeof little / sizeof *little; i++)
        MQ_TRY(list_flaw(err, &f, little[i], SURE, MQ_KEEP));
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
