/* folder.c: folders and paths (declared in file.h beside the files they hold). */
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <ftw.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool mq_file_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool mq_folder_exists(const char *path) {
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool mq_same_file(const char *one, const char *other) {
    struct stat a, b;
    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

mq_status mq_make_folder(mq_err *err, const char *path) {
    mq_status status = MQ_OK;
    char *copy = NULL;
    MQ_TRY(mq_strdup(err, path, &copy));
    for (char *p = copy + 1; p[-1]; p++) {
        if (*p != '/' && *p != 0) continue;
        const char end = *p;
        *p = 0;
        const bool made = mkdir(copy, 0777) == 0;
        const int error = errno; /* asking what is there changes it */
        MQ_REQUIRE(made || mq_folder_exists(copy), err, mq_status_of_errno(error, MQ_CANNOT_CREATE),
                   "%s: the folder cannot be made: %s", copy, strerror(error));
        *p = end;
        if (!end) break;
    }
cleanup:
    free(copy);
    return status;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *walk) {
    (void)st, (void)kind, (void)walk;
    return remove(path);
}

mq_status mq_remove_folder(mq_err *err, const char *path) {
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0 || errno == ENOENT) return MQ_OK;
    return mq_fail(err, MQ_IO, "%s: cannot be removed: %s", path, strerror(errno));
}

const char *mq_path_stem(const char *path, size_t *length) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    if (end - start > 3 && memcmp(path + end - 3, ".mq", 3) == 0) end -= 3;
    *length = end - start;
    return path + start;
}

uint64_t mq_disk_free(const char *path) {
    struct statvfs fs;
    if (statvfs(path, &fs) != 0) return UINT64_MAX;
    return (uint64_t)fs.f_bavail * fs.f_frsize;
}

mq_status mq_cache_folder(mq_err *err, char **path) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') return mq_path_join(err, cache, "marque", path);
    if (home && home[0] == '/') return mq_path_join(err, home, ".cache/marque", path);
    return mq_fail(err, MQ_CANNOT_CREATE,
                   "no folder for the cache: set HOME or XDG_CACHE_HOME to an absolute path");
}
