/* import_objects.c: objects in pictures, as annotations of boxes have them, become
 * entries. Called by the readers of boxes. Owns
 * nothing. Invariant: an entry with a box is called after its file and its own
 * number there, one without a box after the file alone. */
#include "base/mem.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIDES = 4, SIDE_LIMIT = 1 << 30 };

mq_status mq_import_find_file(mq_err *err, const mq_import_job *job, const char *const *folders,
                              const char *file, char **name) {
    mq_status status = MQ_OK;
    char *path = NULL;
    for (size_t i = 0; folders[i]; i++) {
        free(path);
        path = NULL;
        MQ_TRY(mq_format(err, name, "%s%s%s", folders[i], *folders[i] ? "/" : "", file));
        MQ_TRY(mq_path_join(err, job->root, *name, &path));
        if (mq_file_exists(path)) goto cleanup;
        free(*name);
        *name = NULL;
    }
cleanup:
    free(path);
    return status;
}

bool mq_import_split_in(const char *name, mq_split *split) {
    static const struct {
        const char *word;
        mq_split split;
    } words[] = {
        {"train", MQ_TRAIN}, {"val", MQ_VAL}, {"valid", MQ_VAL}, {"validation", MQ_VAL}, {"test", MQ_TEST}};
    bool found = false;
    for (const char *p = name; *p;) {
        size_t length = 0;
        for (; !isalnum((unsigned char)*p) && *p; p++) continue;
        const char *begin = p;
        for (; isalnum((unsigned char)*p); p++) length += isalpha((unsigned char)*p) != 0;
        for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
            /* The year behind it, as in train2017, is none of its letters. */
            if (strlen(words[i].word) != length || strncmp(begin, words[i].word, length) != 0) continue;
            *split = words[i].split;
            found = true;
        }
    }
    return found;
}

/* Edges between pixels, each the nearest to where it was drawn. */
static mq_status round_box(mq_err *err, const mq_object *o, mq_box *box) {
    mq_status status = MQ_OK;
    int32_t sides[SIDES];
    char safe[256];
    for (size_t i = 0; i < SIDES; i++) {
        MQ_REQUIRE(fabs(o->box[i]) < SIDE_LIMIT, err, MQ_BAD_DATA,
                   "%s: the box of object %" PRIu64 " is not four numbers of sensible size",
                   mq_text_safe(o->file, safe, sizeof safe), o->number);
        sides[i] = (int32_t)lround(o->box[i]);
    }
    *box = (mq_box){sides[0], sides[1], sides[2], sides[3]};
cleanup:
    return status;
}

uint32_t mq_import_side(double pixels) {
    return pixels >= 1 && pixels < SIDE_LIMIT ? (uint32_t)pixels : 0;
}

mq_status mq_import_add_object(mq_err *err, mq_import_job *job, const mq_object *o, mq_wrong_rows *inverted,
                               mq_entry **entry) {
    mq_status status = MQ_OK;
    const bool boxed = o->has_box && job->plan->boxes == MQ_BOXES_CROP;
    char *name = NULL;
    mq_entry *e = NULL;
    if (boxed && !o->alone) MQ_TRY(mq_format(err, &name, "%s#%" PRIu64, o->file, o->number));
    MQ_TRY(mq_manifest_add(err, &job->manifest, name ? name : o->file, o->class, &e));
    if (name || o->holder)
        MQ_TRY(mq_manifest_file(err, &job->manifest, o->holder ? o->holder : o->file, &e->file));
    e->offset = o->offset;
    e->length = o->length;
    if (boxed) {
        MQ_TRY(round_box(err, o, &e->box));
        if (o->box[2] < o->box[0] || o->box[3] < o->box[1]) {
            if (inverted) MQ_TRY(mq_wrong_row(err, inverted, o->row, o->file));
        } else if (e->box.x1 == e->box.x2 || e->box.y1 == e->box.y2)
            MQ_TRY(mq_manifest_leave_out(err, e, MQ_NO_PIXEL));
    }
    e->has_box = boxed;
    e->drawn_width = o->width;
    e->drawn_height = o->height;
    e->row = o->row;
    e->split = o->split;
    MQ_TRY(mq_import_judge_link(err, job, e));
    if (entry) *entry = e;
cleanup:
    free(name);
    return status;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

mq_status mq_import_end_objects(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    mq_manifest *m = &job->manifest;
    size_t kept = 0;
    mq_manifest_sort(m);
    for (size_t i = 0; i < m->count; i++) {
        mq_entry *e = &m->entries[i], *last = kept ? &m->entries[kept - 1] : NULL;
        if (!last || e->has_box || last->has_box || strcmp(e->name, last->name) != 0) {
            if (i != kept) {
                m->entries[kept] = *e;
                *e = (mq_entry){0};
            }
            kept++;
            continue;
        }
        if (e->class != last->class)
            MQ_TRY(mq_manifest_leave_out(err, last, "shows objects of several classes"));
        if (e->split != last->split || !same_text(e->group, last->group))
            MQ_TRY(mq_manifest_leave_out(err, last, "shows objects of several parts or groups"));
        free(e->name);
        free(e->group);
        free(e->reason);
        *e = (mq_entry){0};
    }
    m->count = kept;
    MQ_TRY(mq_import_check_twice(err, job, job->plan->source));
cleanup:
    return status;
}

mq_status mq_import_digest_more(mq_err *err, mq_import_job *job, const char *hex) {
    char both[2 * MQ_HEX_SIZE];
    if (!job->annotations[0]) {
        memcpy(job->annotations, hex, MQ_HEX_SIZE);
        return MQ_OK;
    }
    memcpy(both, job->annotations, MQ_HEX_SIZE - 1);
    memcpy(both + MQ_HEX_SIZE - 1, hex, MQ_HEX_SIZE);
    return mq_sha256_hex(err, both, strlen(both), job->annotations);
}
