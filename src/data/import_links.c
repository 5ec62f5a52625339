/* import_links.c: which symbolic links an import follows (--follow). Called by
 * the readers of sources. Owns nothing. Invariant: what a link leads to is judged
 * by real paths, so a chain of links is judged by its end. */
#include "base/mem.h"
#include "data/import_parts.h"

#include <string.h>
#include <unistd.h>

static const char NONE[] = "a link (--follow inside takes those that stay in the source folder)",
                  OUTSIDE[] = "a link that leads out of the source folder (--follow all takes it)";

/* Whether a real path is the source's folder or lies below it. */
static bool is_inside(const mq_import_job *job, const char *real) {
    const size_t root = strlen(job->root);
    return strncmp(real, job->root, root) == 0 && (!real[root] || real[root] == '/' || root == 1);
}

const char *mq_import_follow(const mq_import_job *job, const char *path, struct stat *st, bool *inside) {
    if (job->plan->follow == MQ_FOLLOW_NONE) return NONE;
    char *target = realpath(path, NULL);
    const bool there = target && stat(target, st) == 0;
    *inside = there && is_inside(job, target);
    free(target);
    if (!there) return "a link that leads nowhere";
    return *inside || job->plan->follow == MQ_FOLLOW_ALL ? NULL : OUTSIDE;
}

/* Whether a link lies on the way from the source's folder to a file below it; path is both together. */
static bool through_link(const mq_import_job *job, char *path) {
    struct stat st;
    bool link = false;
    for (char *end = path + strlen(job->root) + 1; !link; end++) {
        end += strcspn(end, "/");
        const char was = *end;
        *end = 0;
        link = lstat(path, &st) == 0 && S_ISLNK(st.st_mode);
        *end = was;
        if (!was) break;
    }
    return link;
}

mq_status mq_import_judge_link(mq_err *err, const mq_import_job *job, mq_entry *entry) {
    mq_status status = MQ_OK;
    char *path = NULL, *real = NULL;
    if (job->plan->follow == MQ_FOLLOW_ALL) return MQ_OK;
    MQ_TRY(mq_path_join(err, job->root, mq_entry_file(entry), &path));
    if (job->plan->follow == MQ_FOLLOW_NONE) {
        if (through_link(job, path)) MQ_TRY(mq_manifest_leave_out(err, entry, NONE));
        goto cleanup;
    }
    real = realpath(path, NULL);
    if (real && !is_inside(job, real)) MQ_TRY(mq_manifest_leave_out(err, entry, OUTSIDE));
cleanup:
    free(real);
    free(path);
    return status;
}
