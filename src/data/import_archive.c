/* import_archive.c: a source that is a zip or tar. Called by import.c before it
 * looks for sources. Owns nothing: the folder it fills is the importer's, which
 * removes it. Invariant: what an archive holds is read as any folder of files
 * from outside is; that the files come from an archive shows in no name. */
#include "base/child.h"
#include "base/digest.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/text.h"
#include "data/import_parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

enum {
    TOLD_MAX = 64 << 20, /* bytes that marque-unpack may say: one for each member and more */
    USTAR = 257,         /* where the word stands in a tar's first header (POSIX.1, pax) */
};

bool mq_import_is_archive(const char *path) {
    static const char *const ends[] = {".zip", ".tar",     ".tar.gz", ".tgz",     ".tar.xz",
                                       ".txz", ".tar.zst", ".tzst",   ".tar.bz2", ".tbz2"};
    char head[USTAR + 5] = "";
    if (!mq_file_exists(path)) return false;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (mq_text_ends_alike(path, ends[i])) return true;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    const ssize_t n = fd >= 0 ? read(fd, head, sizeof head) : 0;
    if (fd >= 0) close(fd);
    return (n >= 4 && memcmp(head, "PK\3\4", 4) == 0) ||
           (n == (ssize_t)sizeof head && memcmp(head + USTAR, "ustar", 5) == 0);
}

/* Ctrl-C and progress while the child works. */
static mq_status go_on(mq_err *err, void *user, size_t written) {
    const mq_import_job *job = user;
    const mq_status status = mq_import_go_on(err, job);
    if (status == MQ_OK && job->plan->progress)
        job->plan->progress(job->plan->user, "files unpacked", written, 0);
    return status;
}

/* What lies at the top of an unpacked archive: the name of an entry that is alone, of a table that is alone;
 * NULL where there are others. Both are the caller's. */
static mq_status look_at_top(mq_err *err, const char *folder, char **sole, char **table) {
    mq_status status = MQ_OK;
    size_t entries = 0, tables = 0;
    mq_names names = {0};
    MQ_TRY(mq_names_in(err, folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        const char *name = names.items[i];
        if (name[0] == '.') continue; /* hidden ones are not unpacked */
        if (entries++ == 0) MQ_TRY(mq_strdup(err, name, sole));
        if (!mq_text_ends_alike(name, ".csv") && !mq_text_ends_alike(name, ".tsv")) continue;
        if (tables++ == 0) MQ_TRY(mq_strdup(err, name, table));
    }
cleanup:
    mq_names_free(&names);
    if (entries != 1) {
        free(*sole);
        *sole = NULL;
    }
    if (tables != 1) {
        free(*table);
        *table = NULL;
    }
    return status;
}

static bool is_list(const char *path) {
    mq_err ignored = {0};
    mq_csv *csv = NULL;
    const bool list = mq_csv_open(&ignored, path, &csv) == MQ_OK && mq_import_is_csv(csv);
    mq_csv_free(&csv);
    return list;
}

/* Most archives hold one folder that holds everything: it is passed through, so that the same pictures have
 * the same names and classes however they were packed. A table of pictures among them is what is meant. */
static mq_status find_source(mq_err *err, const char *folder, char **source) {
    mq_status status = MQ_OK;
    char *sole = NULL, *table = NULL, *path = NULL;
    MQ_TRY(mq_strdup(err, folder, source));
    while (mq_folder_exists(*source)) {
        MQ_TRY(look_at_top(err, *source, &sole, &table));
        const char *name = sole ? sole : table;
        if (!name) break;
        MQ_TRY(mq_path_join(err, *source, name, &path));
        if (!sole && !is_list(path)) break;
        free(*source);
        *source = path;
        path = NULL;
        free(sole);
        free(table);
        sole = table = NULL;
    }
cleanup:
    free(sole);
    free(table);
    free(path);
    return status;
}

mq_status mq_import_unpack(mq_err *err, mq_import_job *job, const char *folder) {
    mq_status status = MQ_OK;
    mq_buf told = mq_buf_init(TOLD_MAX);
    const char *path = job->plan->source;
    MQ_REQUIRE(!job->plan->root, err, MQ_USAGE,
               "--root is for lists, and %s is an archive; unpack it, or leave --root out", path);
    MQ_TRY(mq_digest_file(err, MQ_SHA256, path, job->archive));
    const mq_child_plan plan = {.size = sizeof plan,
                                .program = "marque-unpack",
                                .role = "unpacker",
                                .kind = "archive",
                                .purpose = "to unpack archives",
                                .file = path,
                                .args = {path, folder},
                                .go_on = go_on,
                                .user = job};
    MQ_TRY(mq_child_run(err, &plan, &told));
    MQ_TRY(find_source(err, folder, &job->unpacked));
cleanup:
    mq_buf_free(&told);
    return status;
}
