/* import_report.c: what an import tells of itself. Called by import.c once
 * pictures are checked, and once they are placed. Owns nothing but the report's
 * texts. Invariant: it changes no entry. */
#include "base/mem.h"
#include "data/import_parts.h"

#include <string.h>

enum { FEW = 5 /* pictures of a class; below it the report warns */ };

/* Like reasons together, in the order of names. */
static int compare_left_out(const void *a, const void *b) {
    const mq_entry *x = *(const mq_entry *const *)a, *y = *(const mq_entry *const *)b;
    const int by_reason = strcmp(x->reason, y->reason);
    return by_reason ? by_reason : strcmp(x->name, y->name);
}

/* The most frequent first, then by their words. */
static int compare_reasons(const void *a, const void *b) {
    const mq_import_reason *x = a, *y = b;
    if (x->count != y->count) return x->count > y->count ? -1 : 1;
    return strcmp(x->text, y->text);
}

mq_status mq_import_count_reasons(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_import_report *r = job->report;
    const mq_entry **left = NULL;
    size_t count = 0;
    MQ_TRY(mq_calloc(err, job->manifest.count, sizeof *left, "reasons", &left));
    for (size_t i = 0; i < job->manifest.count; i++)
        if (job->manifest.entries[i].reason) left[count++] = &job->manifest.entries[i];
    r->left_out = count;
    if (count) qsort(left, count, sizeof *left, compare_left_out);
    MQ_TRY(mq_calloc(err, count, sizeof *r->reasons, "reasons", &r->reasons));
    for (size_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(left[i - 1]->reason, left[i]->reason) != 0) {
            MQ_TRY(mq_strdup(err, left[i]->reason, &r->reasons[r->reason_count].text));
            r->reason_count++;
        }
        mq_import_reason *reason = &r->reasons[r->reason_count - 1];
        if (reason->count < MQ_EXAMPLES)
            MQ_TRY(mq_strdup(err, left[i]->name, &reason->examples[reason->count]));
        reason->count++;
    }
    if (r->reason_count) qsort(r->reasons, r->reason_count, sizeof *r->reasons, compare_reasons);
cleanup:
    free(left);
    return status;
}

static int compare_digests(const void *a, const void *b) {
    const mq_entry *x = *(const mq_entry *const *)a, *y = *(const mq_entry *const *)b;
    return memcmp(x->digest, y->digest, MQ_SHA256_SIZE);
}

/* Pictures whose content another one has; of three alike two count. Boxes of one picture are one picture. */
static mq_status count_twins(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_manifest *m = &job->manifest;
    const mq_entry **pictures = NULL, *last = NULL;
    size_t count = 0;
    MQ_TRY(mq_calloc(err, m->count, sizeof *pictures, "digests", &pictures));
    for (size_t i = 0; i < m->count; i++) {
        if (m->entries[i].reason) continue;
        if (!last || !mq_entry_same_picture(last, &m->entries[i])) pictures[count++] = &m->entries[i];
        last = &m->entries[i];
    }
    job->report->originals = count;
    if (count) qsort(pictures, count, sizeof *pictures, compare_digests);
    for (size_t i = 1; i < count; i++)
        job->report->twins += compare_digests(&pictures[i - 1], &pictures[i]) == 0;
cleanup:
    free(pictures);
    return status;
}

/* Names of the pictures that are cut short and taken all the same, in the order of the source. */
static mq_status list_truncated(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_import_report *r = job->report;
    const mq_manifest *m = &job->manifest;
    size_t capacity = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (m->entries[i].reason || !m->entries[i].truncated) continue;
        MQ_TRY(mq_grow(err, &r->truncated, &capacity, r->truncated_count + 1, sizeof *r->truncated));
        MQ_TRY(mq_strdup(err, m->entries[i].name, &r->truncated[r->truncated_count]));
        r->truncated_count++;
    }
cleanup:
    return status;
}

/* What would be written, as the plan says and with pictures cut. */
static void estimate(mq_import_job *job) {
    mq_import_plan plan = *job->plan;
    mq_import_job cut = *job;
    size_t shards = 0;
    plan.store = MQ_STORE_CROP;
    cut.plan = &plan;
    mq_import_estimate(&cut, &shards, &job->report->cut_bytes);
    mq_import_estimate(job, &job->report->shards, &job->report->bytes);
}

mq_status mq_import_count_pictures(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_import_report *r = job->report;
    const mq_manifest *m = &job->manifest;
    MQ_TRY(mq_calloc(err, m->class_count, sizeof *r->classes, "classes", &r->classes));
    for (; r->class_count < m->class_count; r->class_count++)
        MQ_TRY(mq_strdup(err, m->classes[r->class_count], &r->classes[r->class_count].name));
    for (size_t i = 0; i < m->count; i++) {
        const mq_entry *e = &m->entries[i];
        if (e->reason) continue;
        r->pictures++;
        r->count[e->split]++;
        r->classes[e->class].count[e->split]++;
        r->kept += e->known;
        r->as_png += e->becomes && strcmp(e->becomes, "png") == 0;
        r->as_jpeg += e->becomes && strcmp(e->becomes, "jpeg") == 0;
        r->animated += e->animated;
    }
    r->empty = job->dropped_classes;
    r->fresh = job->plan->update ? r->pictures - r->kept - r->moved : 0;
    for (size_t i = 0; i < r->class_count; i++) {
        const size_t *count = r->classes[i].count, all = count[MQ_TRAIN] + count[MQ_VAL] + count[MQ_TEST];
        r->empty += all == 0;
        r->small += all > 0 && all < FEW;
        r->untrained += all > 0 && !count[MQ_TRAIN];
    }
    MQ_TRY(count_twins(err, job));
    MQ_TRY(list_truncated(err, job));
    estimate(job);
cleanup:
    return status;
}

void mq_import_report_free(mq_import_report *report) {
    for (size_t i = 0; i < report->class_count; i++) free(report->classes[i].name);
    for (size_t i = 0; i < report->reason_count; i++) {
        free(report->reasons[i].text);
        for (size_t k = 0; k < MQ_EXAMPLES; k++) free(report->reasons[i].examples[k]);
    }
    for (size_t i = 0; i < report->truncated_count; i++) free(report->truncated[i]);
    free(report->truncated);
    free(report->classes);
    free(report->reasons);
    *report = (mq_import_report){0};
}
