/* import_unlisted.c: pictures that lie among those of a list and that it does not
 * name. Called by import.c after reading annotations. Owns the names while it
 * compares. Invariant: it changes nothing but one count of the report. */
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <stdlib.h>
#include <string.h>

const char *const mq_import_endings[] = {".jpg", ".jpeg", ".png",  ".webp", ".bmp",  ".gif",
                                         ".tif", ".tiff", ".heic", ".heif", ".avif", NULL};

/* Bytes before the last slash: the folder of a file below the source. */
static size_t folder_length(const char *file) {
    const char *slash = strrchr(file, '/');
    return slash ? (size_t)(slash - file) : 0;
}

/* By folder, so that the files of one follow each other, then by name. */
static int compare_files(const void *a, const void *b) {
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    const size_t m = folder_length(x), n = folder_length(y);
    const int by_folder = memcmp(x, y, m < n ? m : n);
    if (by_folder) return by_folder;
    return m != n ? (m < n ? -1 : 1) : strcmp(x + m, y + n);
}

static bool is_picture(const char *name) {
    for (size_t i = 0; mq_import_endings[i]; i++)
        if (name[0] != '.' && mq_text_ends_alike(name, mq_import_endings[i])) return true;
    return false;
}

/* Counts the pictures of a folder that are none of files[0..count), which lie in it. */
static mq_status look_in(mq_err *err, const mq_import_job *job, const char **files, size_t count) {
    mq_status status = MQ_OK;
    const int length = (int)folder_length(files[0]);
    mq_err ignored = {0};
    mq_names names = {0};
    char *folder = NULL, *path = NULL, *name = NULL;
    MQ_TRY(mq_format(err, &folder, "%.*s", length, files[0]));
    MQ_TRY(mq_path_join(err, job->root, folder, &path));
    if (mq_names_in(&ignored, path, &names) != MQ_OK) goto cleanup; /* files can be read in it all the same */
    for (size_t i = 0; i < names.count; i++) {
        if (!is_picture(names.items[i])) continue;
        free(name);
        name = NULL;
        MQ_TRY(mq_format(err, &name, "%s%s%s", folder, length ? "/" : "", names.items[i]));
        job->report->unlisted += !bsearch(&name, files, count, sizeof *files, compare_files);
    }
cleanup:
    mq_names_free(&names);
    free(folder);
    free(path);
    free(name);
    return status;
}

mq_status mq_import_count_unlisted(mq_err *err, mq_import_job *job) {
    mq_status status = MQ_OK;
    const mq_manifest *m = &job->manifest;
    const char **files = NULL;
    MQ_TRY(mq_calloc(err, m->count, sizeof *files, "names", &files));
    for (size_t i = 0; i < m->count; i++) files[i] = mq_entry_file(&m->entries[i]);
    if (m->count) qsort(files, m->count, sizeof *files, compare_files);
    for (size_t begin = 0, end; begin < m->count; begin = end) {
        const size_t length = folder_length(files[begin]);
        for (end = begin + 1; end < m->count && folder_length(files[end]) == length &&
                              memcmp(files[end], files[begin], length) == 0;)
            end++;
        MQ_TRY(mq_import_go_on(err, job));
        MQ_TRY(look_in(err, job, files + begin, end - begin));
    }
cleanup:
    free(files);
    return status;
}
