/* names.c: lists of names. Called by whatever looks into folders. Owns nothing. Invariant: a folder's names
 * come in one order, whatever its file system does, and all of them or an error. */
#include "base/names.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <string.h>

mq_status mq_names_add(mq_err *err, mq_names *names, const char *name) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_grow(err, &names->items, &names->capacity, names->count + 1, sizeof *names->items));
    MQ_TRY(mq_strdup(err, name, &names->items[names->count]));
    names->count++;
cleanup:
    return status;
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void mq_names_sort(mq_names *names) {
    if (names->count) qsort(names->items, names->count, sizeof *names->items, by_bytes);
}

void mq_names_free(mq_names *names) {
    for (size_t i = 0; i < names->count; i++) free(names->items[i]);
    free(names->items);
    *names = (mq_names){0};
}

mq_status mq_names_in(mq_err *err, const char *folder, mq_names *names) {
    mq_status status = MQ_OK;
    DIR *dir = opendir(folder);
    MQ_REQUIRE(dir, err, errno == ENOENT ? MQ_NO_INPUT : mq_status_of_errno(errno, MQ_IO), "%s: %s", folder,
               strerror(errno));
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        MQ_REQUIRE(entry || !errno, err, MQ_IO, "%s: %s", folder, strerror(errno));
        if (!entry) break;
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            MQ_TRY(mq_names_add(err, names, entry->d_name));
    }
    mq_names_sort(names);
cleanup:
    if (dir) closedir(dir);
    return status;
}

bool mq_name_is_litter(const char *name) {
    static const char *const litter[] = {"__MACOSX", "Thumbs.db", "ehthumbs.db", "desktop.ini", "Icon\r"};
    for (size_t i = 0; i < sizeof litter / sizeof *litter; i++)
        if (strcmp(name, litter[i]) == 0) return true;
    return name[0] == '.';
}
