/* import_shards.c: which files are TFRecord shards, and whether all of a set are
 * there, and opens them. Called by import_tfrecord.c. Owns nothing. Invariant: files are
 * judged by their names; what is in them is the reader's to check. */
#include "data/import_shards.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/inflate.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* What compressed record files may grow to, as archives may (unpack/main.c). */
enum { RATIO_MAX = 100, FLOOR = 64 << 20 /* bytes, however small they are */ };

/* The digits of I-of-N in a shard's name: *number is I, *count N; *begin and *end bound them. */
static bool find_count(const char *name, size_t *begin, size_t *end, unsigned long *number,
                       unsigned long *count) {
    const char *of = strstr(name, "-of-"), *p = of;
    while (p > name && isdigit((unsigned char)p[-1])) p--;
    if (!of || p == of || of - p > 9 || !isdigit((unsigned char)of[4])) return false;
    char *stop = NULL;
    *number = strtoul(p, NULL, 10);
    *count = strtoul(of + 4, &stop, 10);
    *begin = (size_t)(p - name);
    *end = (size_t)(stop - name);
    return stop - of < 14;
}

/* x.tfrecord, x.tfrecords, x.tfrec, the same with -00000-of-00010 behind it or with .gz, and ImageNet's
 * train-00000-of-01024. */
static bool is_shard(const char *name) {
    size_t begin = 0, end = 0;
    unsigned long number, count;
    const char *p = strstr(name, ".tfrec");
    if (name[0] == '.') return false;
    const bool counted = find_count(name, &begin, &end, &number, &count);
    if (!p) return counted && name[end] == 0 && end - begin == strlen("00000-of-01024");
    p += strlen(".tfrec");
    if (strncmp(p, "ord", 3) == 0) p += 3;
    if (*p == 's') p++;
    if (*p == '-' && counted && begin == (size_t)(p + 1 - name)) p = name + end;
    return *p == 0 || strcmp(p, ".gz") == 0;
}

void mq_shard_list_free(mq_shard_list *list) {
    for (size_t i = 0; i < list->count; i++) free(list->names[i]);
    free(list->names);
}

static mq_status add_shard(mq_err *err, const mq_import_job *job, mq_shard_list *list, const char *name) {
    mq_status status = MQ_OK;
    char *path = NULL;
    struct stat st;
    MQ_TRY(mq_path_join(err, job->root, name, &path));
    if (stat(path, &st) != 0 || !S_ISREG(st.st_mode)) goto cleanup;
    MQ_TRY(mq_grow(err, &list->names, &list->capacity, list->count + 1, sizeof *list->names));
    MQ_TRY(mq_strdup(err, name, &list->names[list->count]));
    list->count++;
    list->bytes += (uint64_t)st.st_size;
cleanup:
    free(path);
    return status;
}

/* The shards of a source: itself, or those of the folder it is. */
mq_status mq_shard_list_find(mq_err *err, const mq_import_job *job, mq_shard_list *list) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    if (job->list) {
        const char *name = strrchr(job->list, '/') + 1;
        return is_shard(name) ? add_shard(err, job, list, name) : MQ_OK;
    }
    MQ_TRY(mq_names_in(err, job->root, &names));
    for (size_t i = 0; i < names.count; i++)
        if (is_shard(names.items[i])) MQ_TRY(add_shard(err, job, list, names.items[i]));
cleanup:
    mq_names_free(&names);
    return status;
}

static mq_status shard_missing(mq_err *err, const mq_import_job *job, unsigned long number, const char *where,
                               const char *name) {
    char safe[256];
    return mq_fail(err, MQ_NO_INPUT, "%s: shard %lu is missing %s %s; fetch it, or take --allow-missing",
                   job->plan->source, number, where, mq_text_safe(name, safe, sizeof safe));
}

/* A shard that was not fetched would be missed by nobody. Names are sorted, so the shards of one set follow
 * each other by their numbers. */
mq_status mq_shard_list_check(mq_err *err, const mq_import_job *job, const mq_shard_list *list) {
    unsigned long number, count, wanted = 0;
    size_t begin, end;
    const char *last = "";
    for (size_t i = 0; i < list->count; i++) {
        const char *name = list->names[i];
        if (!find_count(name, &begin, &end, &number, &count)) continue;
        if (number != wanted && wanted) return shard_missing(err, job, wanted, "behind", last);
        if (number != wanted) return shard_missing(err, job, wanted, "before", name);
        wanted = number + 1 < count ? number + 1 : 0;
        last = name;
    }
    return wanted ? shard_missing(err, job, wanted, "behind", last) : MQ_OK;
}

/* The parts are the source's own when it has one for training and another. */
bool mq_shard_list_splits(const mq_shard_list *list) {
    bool there[MQ_SPLITS] = {false};
    mq_split split;
    for (size_t i = 0; i < list->count; i++)
        if (mq_import_split_in(list->names[i], &split)) there[split] = true;
    return there[MQ_TRAIN] && (there[MQ_VAL] || there[MQ_TEST]);
}

/* Whether a file begins as gzip's and zlib's do, and not with a record as well, whose length may look so. */
static bool is_compressed(const char *path) {
    mq_err ignored = {0};
    mq_tfrecord *reader = NULL;
    const uint8_t *data = NULL;
    unsigned char head[2] = {0};
    size_t size = 0;
    FILE *file = fopen(path, "rbe");
    const bool read = file && fread(head, 1, 2, file) == 2;
    if (file) fclose(file);
    if (!read || !((head[0] == 0x1f && head[1] == 0x8b) ||
                   ((head[0] & 0x0f) == 8 && (head[0] << 8 | head[1]) % 31 == 0)))
        return false;
    mq_status status = mq_tfrecord_open(&ignored, path, &reader);
    if (status == MQ_OK) status = mq_tfrecord_next(&ignored, reader, &data, &size);
    mq_tfrecord_free(&reader);
    return status == MQ_BAD_DATA;
}

/* Ctrl-C and progress while a shard is unpacked. */
static mq_status go_on(mq_err *err, void *user, uint64_t written) {
    const mq_import_job *job = user;
    const mq_status status = mq_import_go_on(err, job);
    if (status == MQ_OK && job->plan->progress)
        job->plan->progress(job->plan->user, "MB of records unpacked", (size_t)(written / 1000000), 0);
    return status;
}

/* Unpacks a shard into *plain, the caller's. Its folder's name is hidden, so that no member of an archive has
 * it. */
static mq_status inflate_shard(mq_err *err, mq_import_job *job, const char *path, const char *name,
                               char **plain) {
    mq_status status = MQ_OK;
    const char *scratch = NULL;
    struct stat st;
    MQ_TRY(mq_import_scratch(err, job, &scratch));
    if (!job->inflated) MQ_TRY(mq_path_join(err, scratch, ".inflated", &job->inflated));
    MQ_TRY(mq_make_folder(err, job->inflated));
    MQ_TRY(mq_path_join(err, job->inflated, name, plain));
    MQ_REQUIRE(stat(path, &st) == 0, err, MQ_NO_INPUT, "%s: %s", path, strerror(errno));
    const uint64_t size = (uint64_t)st.st_size;
    const mq_inflate_plan plan = {.from = path,
                                  .to = *plain,
                                  .most = size > FLOOR / RATIO_MAX ? size * RATIO_MAX : FLOOR,
                                  .room = mq_disk_free(scratch) / 2,
                                  .go_on = go_on,
                                  .user = job};
    MQ_TRY(mq_inflate_file(err, &plan));
cleanup:
    return status;
}

mq_status mq_shard_open(mq_err *err, mq_import_job *job, const char *name, mq_tfrecord **reader,
                        char **path) {
    mq_status status = MQ_OK;
    char *plain = NULL;
    MQ_TRY(mq_path_join(err, job->root, name, path));
    if (is_compressed(*path)) MQ_TRY(inflate_shard(err, job, *path, name, &plain));
    MQ_TRY(mq_tfrecord_open(err, plain ? plain : *path, reader));
cleanup:
    free(plain);
    return status;
}
