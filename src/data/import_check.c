/* import_check.c: decodes every picture once, in parallel.
 * Called by import.c between reading and placing. Owns the workers' scratch.
 * Invariant: a worker touches the entry it was given and nothing else. */
#include "base/log.h"
#include "base/mem.h"
#include "base/pipeline.h"
#include "base/text.h"
#include "data/import_parts.h"
#include "data/picture.h"
#include "data/tfrecord.h"

#include <string.h>

enum { SLOTS_EACH = 8 };

typedef struct {
    mq_import_job *job;
    mq_buf *files; /* one for each worker */
    size_t *runs;  /* [count + 1]: where each run of entries about one picture begins */
    size_t count;
} checker;

/* Failures that speak of the picture, not of the machine. */
static bool is_of_picture(mq_status status) {
    return status == MQ_BAD_DATA || status == MQ_NO_INPUT;
}

/* Decodes a picture or, where the plan takes that, what is left of one that is cut short; and looks at it. */
static mq_status decode(mq_err *err, const mq_import_job *job, const mq_encoded *in, mq_entry *entry,
                        mq_picture_info *info) {
    static const uint8_t white[3] = {255, 255, 255};
    mq_pixels pixels = {0};
    mq_err other = {0};
    mq_status status = mq_picture_probe(err, in->name, in->bytes, in->size, info);
    if (status == MQ_OK) status = mq_picture_decode(err, in->name, in->bytes, in->size, white, &pixels);
    entry->truncated = false;
    if (is_of_picture(status) && job->plan->truncated == MQ_TRUNCATED_ACCEPT) {
        const mq_status salvaged = mq_picture_salvage(&other, in, white, info, &pixels);
        entry->truncated = salvaged == MQ_OK;
        if (!is_of_picture(salvaged)) { /* else the first words say best what is wrong */
            status = salvaged;
            *err = other;
        }
    }
    if (status == MQ_OK && !mq_phash_of_pixels(&pixels, info->orientation, &entry->look))
        entry->look = (mq_phash){0};
    mq_pixels_free(&pixels);
    return status;
}

/* Reads and decodes one picture; what its bytes say goes to the entry. */
static mq_status read_picture(mq_err *err, const mq_import_job *job, mq_entry *entry, mq_buf *file) {
    mq_status status = MQ_OK;
    mq_picture_info info;
    char *path = NULL;
    MQ_TRY(mq_import_read(err, job, entry, file, &path));
    /* An empty file has no memory yet. */
    const uint8_t *bytes = file->data ? file->data : (const uint8_t *)"";
    MQ_TRY(mq_sha256(err, bytes, file->size, entry->digest));
    MQ_TRY(decode(err, job, &(mq_encoded){path, bytes, file->size}, entry, &info));
    entry->width = info.width;
    entry->height = info.height;
    entry->orientation = info.orientation;
    entry->format = info.format;
    entry->colour = info.colour;
    entry->becomes = info.becomes;
    entry->animated = info.animated;
    entry->size = file->size;
cleanup:
    if (is_of_picture(status)) {
        const size_t prefix = path ? strlen(path) : 0; /* messages begin with the path, which has a column */
        const bool named = path && strncmp(err->text, path, prefix) == 0;
        const char *reason = named ? err->text + prefix + strspn(err->text + prefix, ": ") : err->text;
        mq_err inner = {0};
        status = mq_manifest_leave_out(&inner, entry, "%s", reason);
        *err = inner;
    }
    free(path);
    return status;
}

/* What was found out about a picture holds for another box of it. */
static mq_status copy_facts(mq_err *err, const mq_entry *from, mq_entry *to) {
    memcpy(to->digest, from->digest, sizeof to->digest);
    to->look = from->look;
    to->width = from->width;
    to->height = from->height;
    to->orientation = from->orientation;
    to->format = from->format;
    to->colour = from->colour;
    to->becomes = from->becomes;
    to->animated = from->animated;
    to->truncated = from->truncated;
    to->size = from->size;
    return from->reason ? mq_manifest_leave_out(err, to, "%s", from->reason) : MQ_OK;
}

/* One picture with all its boxes. */
static mq_status work(mq_err *err, void *ctx, size_t item, size_t slot, size_t worker) {
    mq_status status = MQ_OK;
    const checker *c = ctx;
    const mq_entry *known = NULL;
    (void)slot;
    for (size_t i = c->runs[item]; i < c->runs[item + 1]; i++) {
        mq_entry *entry = &c->job->manifest.entries[i];
        if (entry->reason) continue;
        if (known) {
            MQ_TRY(copy_facts(err, known, entry));
        } else {
            MQ_TRY(read_picture(err, c->job, entry, &c->files[worker]));
            known = entry;
        }
    }
cleanup:
    return status;
}

/* Entries about one picture follow each other, for their names begin alike. */
static mq_status find_runs(mq_err *err, checker *c) {
    mq_status status = MQ_OK;
    const mq_manifest *m = &c->job->manifest;
    MQ_TRY(mq_calloc(err, m->count + 1, sizeof *c->runs, "pictures", &c->runs));
    for (size_t i = 0; i < m->count; i++)
        if (i == 0 || !mq_entry_same_picture(&m->entries[i - 1], &m->entries[i])) c->runs[c->count++] = i;
    c->runs[c->count] = m->count;
cleanup:
    return status;
}

mq_status mq_import_check(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_import_plan *plan = job->plan;
    checker c = {.job = job};
    mq_pipeline *pipeline = NULL;
    size_t slot, large = 0;
    MQ_TRY(find_runs(err, &c));
    const mq_pipeline_plan pipes = {sizeof pipes,  c.count, SLOTS_EACH * plan->workers,
                                    plan->workers, work,    &c};
    MQ_TRY(mq_calloc(err, plan->workers, sizeof *c.files, "workers", &c.files));
    for (size_t i = 0; i < plan->workers; i++) c.files[i] = mq_buf_init(MQ_TFRECORD_MAX - (1 << 20));
    MQ_TRY(mq_pipeline_start(err, &pipes, &pipeline));
    for (size_t i = 0; i < c.count; i++) {
        const mq_entry *entry = &job->manifest.entries[c.runs[i]];
        MQ_TRY(mq_import_go_on(err, job));
        MQ_TRY(mq_pipeline_next(err, pipeline, &slot));
        mq_pipeline_release(pipeline, 1);
        large += !entry->reason && (uint64_t)entry->width * entry->height > MQ_PIXELS_WARN;
        if (plan->progress) plan->progress(plan->user, "pictures checked", i + 1, c.count);
    }
    if (large)
        mq_warn("%zu %s more than 89 million pixels; that takes long to read", large,
                large == 1 ? "picture has" : "pictures have");
cleanup:
    mq_pipeline_free(&pipeline);
    for (size_t i = 0; c.files && i < plan->workers; i++) mq_buf_free(&c.files[i]);
    free(c.files);
    free(c.runs);
    return status;
}
