/* place.c: names of members and the files they become. Called by members.c.
 * Owns nothing. Invariant: every file is new, regular and below the folder: names
 * are checked first, and the kernel is told to follow no link and to climb
 * nowhere, should a check be wrong. */
#include "unpack/place.h"
#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { SHOWN = 96 };

/* A part of a name, its text not ended. */
static bool is(const char *part, size_t length, const char *word) {
    return length == strlen(word) && memcmp(part, word, length) == 0;
}

mq_status mq_place_name(mq_err *err, const char *archive, const char *name, char *plain, bool *litter) {
    mq_status status = MQ_OK;
    size_t depth = 0, used = 0;
    char safe[SHOWN];
    mq_text_safe(name, safe, sizeof safe);
    *litter = false;
    MQ_REQUIRE(name[0] != '/', err, MQ_BAD_DATA,
               "%s: its member %s has an absolute name; refused, pack it with names of its own folder",
               archive, safe);
    for (const char *part = name; *part;) {
        const size_t length = strcspn(part, "/");
        MQ_REQUIRE(!is(part, length, ".."), err, MQ_BAD_DATA, "%s: its member %s leads out of the archive",
                   archive, safe);
        if (length && !is(part, length, ".")) {
            *litter |= part[0] == '.' || is(part, length, "__MACOSX");
            MQ_REQUIRE(length <= MQ_PLACE_PART && used + (used > 0) + length < MQ_PLACE_NAME, err,
                       MQ_BAD_DATA, "%s: the name of its member %s... is too long", archive, safe);
            MQ_REQUIRE(++depth <= MQ_PLACE_DEPTH, err, MQ_BAD_DATA,
                       "%s: its member %s lies below more than %d folders", archive, safe, MQ_PLACE_DEPTH);
            if (used) plain[used++] = '/';
            memcpy(plain + used, part, length);
            used += length;
        }
        part += length + (part[length] == '/');
    }
    plain[used] = 0;
cleanup:
    return status;
}

/* Opens below folder, through no link. Kernels before 5.6 do not know openat2: there the checks of the name
 * and the fresh folder, in which nobody makes links, must do. */
static int open_below(int folder, const char *name, int flags, mode_t mode) {
    const struct open_how how = {.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
                                 .mode = flags & O_CREAT ? mode : 0,
                                 .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS};
    const long fd = syscall(SYS_openat2, folder, name, &how, sizeof how);
    if (fd >= 0 || errno != ENOSYS) return (int)fd;
    return openat(folder, name, flags | O_CLOEXEC | O_NOFOLLOW, mode);
}

static mq_status say_failure(mq_err *err, const char *archive, const char *name) {
    char safe[SHOWN];
    mq_text_safe(name, safe, sizeof safe);
    if (errno == EEXIST || errno == ENOTDIR || errno == EISDIR)
        return mq_fail(err, MQ_BAD_DATA, "%s: has two members named %s", archive, safe);
    return mq_fail(err, mq_status_of_errno(errno, MQ_IO), "%s: its member %s cannot be unpacked: %s", archive,
                   safe, strerror(errno));
}

/* The folders that name lies in, up to its byte end; *made grows with each new one. */
static mq_status make_folders(mq_err *err, const char *archive, int folder, const char *name, size_t end,
                              size_t *made) {
    char part[MQ_PLACE_NAME];
    for (size_t at = 0; at < end; at++) {
        at += strcspn(name + at, "/");
        memcpy(part, name, at);
        part[at] = 0;
        const bool is_new = mkdirat(folder, part, 0700) == 0;
        *made += is_new;
        if (is_new) continue;
        struct stat st;
        const int why = errno;
        const bool there = why == EEXIST && fstatat(folder, part, &st, AT_SYMLINK_NOFOLLOW) == 0;
        if (there && S_ISDIR(st.st_mode)) continue;
        errno = why;
        return say_failure(err, archive, part);
    }
    return MQ_OK;
}

mq_status mq_place_folder(mq_err *err, const char *archive, int folder, const char *name, size_t *made) {
    return make_folders(err, archive, folder, name, strlen(name), made);
}

mq_status mq_place_file(mq_err *err, const char *archive, int folder, const char *name, int *fd,
                        size_t *made) {
    const char *slash = strrchr(name, '/');
    const mq_status status = make_folders(err, archive, folder, name, slash ? (size_t)(slash - name) : 0,
                                          made);
    if (status != MQ_OK) return status;
    *fd = open_below(folder, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (*fd < 0) return say_failure(err, archive, name);
    ++*made;
    return MQ_OK;
}
