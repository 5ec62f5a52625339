/* file.c: files written whole and most reading of files.
 * Invariant: under a final name there is always either the old content or the
 * whole new one; a crash leaves at most a file named *.tmp-PID behind. */
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

mq_status mq_file_read(mq_err *err, const char *path, mq_buf *buf) {
    mq_status status = MQ_OK;
    struct stat st;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    MQ_REQUIRE(fd >= 0, err, mq_status_of_errno(errno, MQ_NO_INPUT), "%s: %s", path, strerror(errno));
    MQ_REQUIRE(fstat(fd, &st) == 0 && S_ISREG(st.st_mode), err, MQ_NO_INPUT, "%s: not a regular file", path);
    MQ_REQUIRE((uint64_t)st.st_size <= buf->limit - buf->size, err, MQ_BAD_DATA,
               "%s: %llu bytes, more than the %zu marque takes", path, (unsigned long long)st.st_size,
               buf->limit);
    MQ_TRY(mq_buf_reserve(err, buf, (size_t)st.st_size));
    MQ_TRY(mq_file_pread(err, fd, path, buf->data + buf->size, (size_t)st.st_size, 0));
    buf->size += (size_t)st.st_size;
    buf->data[buf->size] = 0;
cleanup:
    if (fd >= 0) close(fd);
    return status;
}

mq_status mq_stdin_read(mq_err *err, mq_buf *buf, bool (*stop)(void *user), void *user) {
    enum { STEP = 1 << 16, ASKED_MS = 200 };
    struct pollfd in = {.fd = STDIN_FILENO, .events = POLLIN};
    for (;;) {
        if (stop && stop(user)) return mq_fail(err, MQ_INTERRUPTED, "stopped while standard input was read");
        if (poll(&in, 1, ASKED_MS) <= 0) continue; /* a signal, or who writes takes long */
        const mq_status status = mq_buf_reserve(err, buf, STEP);
        if (status != MQ_OK) return status;
        const ssize_t n = read(STDIN_FILENO, buf->data + buf->size, STEP);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return mq_fail(err, MQ_IO, "standard input: %s", strerror(errno));
        buf->size += (size_t)n;
        buf->data[buf->size] = 0;
        if (n == 0) return MQ_OK;
    }
}

mq_status mq_file_pread(mq_err *err, int fd, const char *path, void *data, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (n > 0) {
            done += (size_t)n;
        } else if (n == 0) {
            return mq_fail(err, MQ_BAD_DATA, "%s: ends at byte %llu, %zu bytes too early", path,
                           (unsigned long long)(offset + done), size - done);
        } else if (errno != EINTR) {
            return mq_fail(err, MQ_IO, "%s: %s", path, strerror(errno));
        }
    }
    return MQ_OK;
}

struct mq_writer {
    int fd;
    char *path;
    char *temporary;
};

void mq_writer_abort(mq_writer **writer) {
    mq_writer *w = *writer;
    if (!w) return;
    if (w->fd >= 0) {
        close(w->fd);
        unlink(w->temporary);
    }
    free(w->path);
    free(w->temporary);
    free(w);
    *writer = NULL;
}

mq_status mq_writer_open(mq_err *err, const char *path, mq_writer **writer) {
    mq_status status = MQ_OK;
    mq_writer *w = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *w, path, &w));
    w->fd = -1;
    struct stat there;
    /* The file that is written takes the place of what stands there, which must be no device or pipe. */
    MQ_REQUIRE(stat(path, &there) != 0 || S_ISREG(there.st_mode), err, MQ_CANNOT_CREATE,
               "%s: cannot be written: it is %s", path,
               S_ISDIR(there.st_mode) ? "a folder" : "a device or a pipe, and no file");
    MQ_TRY(mq_strdup(err, path, &w->path));
    MQ_TRY(mq_format(err, &w->temporary, "%s.tmp-%ld", path, (long)getpid()));
    /* In a folder of somebody else's making the name may be taken, by a link that leads anywhere. */
    unlink(w->temporary);
    w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    MQ_REQUIRE(w->fd >= 0, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE), "%s: cannot be written: %s",
               path, strerror(errno));
    *writer = w;
    w = NULL;
cleanup:
    mq_writer_abort(&w);
    return status;
}

mq_status mq_writer_add(mq_err *err, mq_writer *writer, const void *data, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(writer->fd, (const char *)data + done, size - done);
        if (n >= 0) {
            done += (size_t)n;
        } else if (errno != EINTR) {
            return mq_fail(err, MQ_IO, "%s: cannot be written: %s", writer->path, strerror(errno));
        }
    }
    return MQ_OK;
}

/* A rename is safe against power loss only once its folder is on disk. */
static int sync_folder_of(const char *path) {
    char *copy = strdup(path);
    if (!copy) return -1;
    char *slash = strrchr(copy, '/');
    if (slash) slash[slash == copy] = 0;
    const int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0) return -1;
    const int failed = fsync(fd);
    close(fd);
    return failed;
}

mq_status mq_writer_commit(mq_err *err, mq_writer **writer) {
    mq_status status = MQ_OK;
    mq_writer *w = *writer;
    MQ_REQUIRE(fsync(w->fd) == 0, err, MQ_IO, "%s: cannot be written to disk: %s", w->path, strerror(errno));
    const int closed = close(w->fd);
    w->fd = -1;
    if (closed != 0 || rename(w->temporary, w->path) != 0) {
        const int error = errno;
        unlink(w->temporary);
        MQ_REQUIRE(false, err, MQ_IO, "%s: cannot be written: %s", w->path, strerror(error));
    }
    MQ_REQUIRE(sync_folder_of(w->path) == 0, err, MQ_IO, "%s: its folder cannot be written to disk: %s",
               w->path, strerror(errno));
cleanup:
    mq_writer_abort(writer);
    return status;
}

mq_status mq_file_write(mq_err *err, const char *path, const void *data, size_t size) {
    mq_status status = MQ_OK;
    mq_writer *w = NULL;
    MQ_TRY(mq_writer_open(err, path, &w));
    MQ_TRY(mq_writer_add(err, w, data, size));
    MQ_TRY(mq_writer_commit(err, &w));
cleanup:
    mq_writer_abort(&w);
    return status;
}

mq_status mq_file_write_in(mq_err *err, const char *folder, const char *name, const void *data, size_t size) {
    mq_status status = MQ_OK;
    char *path = NULL;
    MQ_TRY(mq_path_join(err, folder, name, &path));
    MQ_TRY(mq_file_write(err, path, data, size));
cleanup:
    free(path);
    return status;
}

/* NAME.tmp-PID, as mq_writer_open makes it. */
static bool is_temporary(const char *name) {
    const char *mark = strrchr(name, '.');
    if (!mark || mark == name || strncmp(mark, ".tmp-", 5) != 0) return false;
    return mark[5] && strspn(mark + 5, "0123456789") == strlen(mark + 5);
}

void mq_remove_temporaries(const char *folder) {
    DIR *dir = opendir(folder);
    if (!dir) return;
    for (const struct dirent *entry; (entry = readdir(dir));)
        if (is_temporary(entry->d_name)) unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
}

mq_status mq_path_join(mq_err *err, const char *folder, const char *name, char **path) {
    const size_t n = strlen(folder);
    return mq_format(err, path, "%s%s%s", folder, n && folder[n - 1] == '/' ? "" : "/", name);
}

void mq_path_tidy(char *path) {
    const bool absolute = path[0] == '/';
    char *out = path;
    for (const char *in = path; *in;) {
        in += strspn(in, "/");
        const size_t length = strcspn(in, "/");
        if (absolute && length == 2 && in[0] == '.' && in[1] == '.') {
            while (out > path && *--out != '/') continue;
        } else if (length && !(length == 1 && in[0] == '.')) {
            if (absolute || out > path) *out++ = '/';
            memmove(out, in, length);
            out += length;
        }
        in += length;
    }
    *out = 0;
}

struct mq_lock {
    int fd;
};

/* Whether an open file is the one that path names now: its holder may have removed it as we opened it. Of
 * what is no file there is nothing to be found out. */
static bool lies_at(int fd, const char *path) {
    struct stat open, named;
    if (fstat(fd, &open) != 0 || !S_ISREG(open.st_mode)) return true;
    return stat(path, &named) == 0 && open.st_dev == named.st_dev && open.st_ino == named.st_ino;
}

mq_status mq_lock_try(mq_err *err, const char *folder, bool *busy, mq_lock **lock) {
    mq_status status = MQ_OK;
    *busy = false;
    char *path = NULL, text[32] = "";
    mq_lock *l = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *l, "a lock", &l));
    l->fd = -1;
    MQ_TRY(mq_path_join(err, folder, ".lock", &path));
    do {
        if (l->fd >= 0) close(l->fd);
        l->fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        MQ_REQUIRE(l->fd >= 0, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE), "%s: cannot be written: %s",
                   path, strerror(errno));
        const bool locked = flock(l->fd, LOCK_EX | LOCK_NB) == 0;
        MQ_REQUIRE(locked || errno == EWOULDBLOCK, err, mq_status_of_errno(errno, MQ_CANNOT_CREATE),
                   "%s: cannot be locked: %s", path, strerror(errno));
        if (!locked) {
            const ssize_t n = pread(l->fd, text, sizeof text - 1, 0);
            text[n > 0 ? strcspn(text, "\n") : 0] = 0;
            *busy = true;
            MQ_REQUIRE(false, err, MQ_CANNOT_CREATE,
                       "%s: in use by process %s; wait for it or choose another folder", folder,
                       text[0] ? text : "(unknown)");
        }
    } while (!lies_at(l->fd, path));
    const int n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    MQ_REQUIRE(ftruncate(l->fd, 0) == 0 && pwrite(l->fd, text, (size_t)n, 0) == n, err, MQ_IO,
               "%s: cannot be written: %s", path, strerror(errno));
    *lock = l;
    l = NULL;
cleanup:
    mq_lock_free(&l);
    free(path);
    return status;
}

mq_status mq_lock_folder(mq_err *err, const char *folder, mq_lock **lock) {
    bool busy;
    return mq_lock_try(err, folder, &busy, lock);
}

mq_status mq_lock_wait(mq_err *err, const char *folder, bool (*stop)(void *user), void *user,
                       mq_lock **lock) {
    const struct timespec moment = {.tv_nsec = 100000000};
    for (bool told = false;; told = true) {
        mq_err why = {0};
        bool busy;
        const mq_status status = mq_lock_try(&why, folder, &busy, lock);
        if (status == MQ_OK) return MQ_OK;
        if (!busy) return mq_fail(err, status, "%s", why.text);
        if (stop && stop(user))
            return mq_fail(err, MQ_INTERRUPTED, "stopped while another process was waited for");
        if (!told) mq_note("%s: in use by another process; waiting for it", folder);
        nanosleep(&moment, NULL);
    }
}

void mq_lock_free(mq_lock **lock) {
    if (!*lock) return;
    if ((*lock)->fd >= 0) close((*lock)->fd);
    free(*lock);
    *lock = NULL;
}

mq_status mq_unpacked_check(mq_err *err, const char *path, uint64_t bytes, uint64_t most, uint64_t room) {
    if (bytes > most)
        return mq_fail(
            err, MQ_BAD_DATA,
            "%s: would grow to more than %.1f MB, a hundred times its size: no pictures do so, refused", path,
            (double)most / 1e6);
    if (bytes > room)
        return mq_fail(
            err, MQ_IO,
            "%s: unpacked, it takes more than half of the disk's %.1f free MB; make room or choose "
            "another place",
            path, 2 * (double)room / 1e6);
    return MQ_OK;
}
