/* append.c: one open file that grows at its end. Called by the writers of a
 * run's log and of its event files. Invariant: after every call the file ends
 * with a whole piece, unless the file system refuses even to shorten it; the
 * next piece then overwrites what is torn. */
#include "base/append.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct mq_appender {
    int fd;
    char *path;
    uint64_t size; /* bytes of whole pieces */
};

void mq_appender_free(mq_appender **appender) {
    mq_appender *a = *appender;
    if (!a) return;
    if (a->fd >= 0) close(a->fd);
    free(a->path);
    free(a);
    *appender = NULL;
}

mq_status mq_appender_open(mq_err *err, const char *path, bool fresh, mq_appender **appender) {
    mq_status status = MQ_OK;
    struct stat st;
    mq_appender *a = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *a, path, &a));
    a->fd = -1;
    MQ_TRY(mq_strdup(err, path, &a->path));
    /* O_NONBLOCK: a FIFO without a reader fails instead of waiting for one. */
    a->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | (fresh ? O_EXCL : 0), 0666);
    MQ_REQUIRE(a->fd >= 0, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE), "%s: cannot be written: %s",
               path, strerror(errno));
    MQ_REQUIRE(fstat(a->fd, &st) == 0 && S_ISREG(st.st_mode), err, MQ_CANNOT_CREATE,
               "%s: cannot be written: not a regular file", path);
    a->size = (uint64_t)st.st_size;
    *appender = a;
    a = NULL;
cleanup:
    mq_appender_free(&a);
    return status;
}

uint64_t mq_appender_size(const mq_appender *appender) {
    return appender->size;
}

mq_status mq_appender_cut(mq_err *err, mq_appender *appender, uint64_t size) {
    if (ftruncate(appender->fd, (off_t)size) != 0)
        return mq_fail(err, MQ_IO, "%s: cannot be shortened: %s", appender->path, strerror(errno));
    appender->size = size;
    return MQ_OK;
}

mq_status mq_appender_add(mq_err *err, mq_appender *appender, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = pwrite(appender->fd, (const char *)data + done, size - done,
                                 (off_t)(appender->size + done));
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            const mq_status status = mq_fail(err, MQ_IO, "%s: cannot be written: %s", appender->path,
                                             strerror(errno));
            mq_err second = {0}; /* the first error is the one to tell */
            const mq_status cut = mq_appender_cut(&second, appender, appender->size);
            (void)cut;
            return status;
        }
    }
    appender->size += size;
    return MQ_OK;
}

mq_status mq_appender_read(mq_err *err, const mq_appender *appender, void *data, size_t size,
                           uint64_t offset) {
    return mq_file_pread(err, appender->fd, appender->path, data, size, offset);
}
