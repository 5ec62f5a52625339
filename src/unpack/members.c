/* members.c: all of libarchive. Called by main.c. Owns the reader. Invariant: of
 * a member nothing but its name, its kind and its bytes is used: no owner, mode,
 * time or link, and bytes are counted before they are written. */
#include "unpack/members.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/text.h"
#include "unpack/place.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MEMBERS_MAX = 1000000,
    BLOCK = 1 << 16,
    TOLD = 64 << 20,
    SHOWN = 96,
    PLACED = 4096 /* bytes of the disk that a name takes */
};

/* Where the work is. */
typedef struct {
    const mq_unpacking *what;
    struct archive *reader;
    char *plain; /* MQ_PLACE_NAME bytes: the member's name, made plain */
    uint8_t *block;
    uint64_t members, bytes;
} work;

mq_status mq_unpack_tell(mq_err *err) {
    if (putchar('.') != EOF && fflush(stdout) == 0) return MQ_OK;
    return mq_fail(err, MQ_IO, "marque-unpack: its reader has gone");
}

static mq_status say_damaged(mq_err *err, const work *w) {
    char safe[SHOWN];
    const char *why = archive_error_string(w->reader);
    return mq_fail(
        err, MQ_BAD_DATA,
        "%s: cut short, damaged or no zip or tar (%s); pack it again, or import the unpacked folder",
        w->what->path, mq_text_safe(why ? why : "no reason told", safe, sizeof safe));
}

/* Files and folders; everything else could make a later member, or a reader, go elsewhere. */
static mq_status check_kind(mq_err *err, const work *w, struct archive_entry *entry) {
    mq_status status = MQ_OK;
    const char *path = w->what->path;
    const mode_t type = archive_entry_filetype(entry);
    char safe[SHOWN];
    mq_text_safe(w->plain, safe, sizeof safe);
    MQ_REQUIRE(!archive_entry_is_encrypted(entry), err, MQ_BAD_DATA,
               "%s: its member %s is encrypted; unpack it yourself and import the folder", path, safe);
    MQ_REQUIRE(type != AE_IFLNK && !archive_entry_hardlink(entry) && !archive_entry_symlink(entry), err,
               MQ_BAD_DATA, "%s: its member %s is a link; pack the files themselves (tar -h)", path, safe);
    MQ_REQUIRE(type == AE_IFREG || type == AE_IFDIR, err, MQ_BAD_DATA,
               "%s: its member %s is a device or pipe, not a file", path, safe);
cleanup:
    return status;
}

/* Counts bytes before they are written, and what new files and folders take with nothing in them. */
static mq_status count(mq_err *err, work *w, size_t size) {
    w->bytes += size;
    return mq_unpacked_check(err, w->what->path, w->bytes, w->what->most, w->what->room);
}

static mq_status write_all(mq_err *err, const work *w, int fd, size_t size) {
    for (size_t done = 0; done < size;) {
        const ssize_t n = write(fd, w->block + done, size - done);
        if (n >= 0)
            done += (size_t)n;
        else if (errno != EINTR)
            return mq_fail(err, MQ_IO, "%s: cannot be unpacked: %s", w->what->path, strerror(errno));
    }
    return MQ_OK;
}

/* The bytes of a file; the library compares sizes and checksums where the format has them. */
static mq_status copy_file(mq_err *err, work *w) {
    mq_status status = MQ_OK;
    int fd = -1;
    size_t made = 0;
    MQ_TRY(mq_place_file(err, w->what->path, w->what->folder, w->plain, &fd, &made));
    MQ_TRY(count(err, w, made * PLACED));
    for (uint64_t told = w->bytes;;) {
        const la_ssize_t n = archive_read_data(w->reader, w->block, BLOCK);
        if (n < 0) MQ_TRY(say_damaged(err, w));
        if (n == 0) break;
        MQ_TRY(count(err, w, (size_t)n));
        MQ_TRY(write_all(err, w, fd, (size_t)n));
        if (w->bytes - told < TOLD) continue;
        MQ_TRY(mq_unpack_tell(err));
        told = w->bytes;
    }
    MQ_TRY(mq_unpack_tell(err));
cleanup:
    if (fd >= 0) close(fd);
    return status;
}

/* One member: its name, its kind, its bytes. */
static mq_status take(mq_err *err, work *w, struct archive_entry *entry) {
    mq_status status = MQ_OK;
    const mq_unpacking *u = w->what;
    const char *name = archive_entry_pathname(entry);
    bool litter = false;
    size_t made = 0;
    MQ_REQUIRE(++w->members <= MEMBERS_MAX, err, MQ_BAD_DATA, "%s: has more than %d members", u->path,
               MEMBERS_MAX);
    MQ_REQUIRE(name, err, MQ_BAD_DATA, "%s: member %llu has a name that cannot be read", u->path,
               (unsigned long long)w->members);
    MQ_TRY(mq_place_name(err, u->path, name, w->plain, &litter));
    if (litter || !w->plain[0]) goto cleanup;
    MQ_TRY(check_kind(err, w, entry));
    if (archive_entry_filetype(entry) == AE_IFDIR) {
        MQ_TRY(mq_place_folder(err, u->path, u->folder, w->plain, &made));
        MQ_TRY(count(err, w, made * PLACED));
    } else {
        MQ_TRY(copy_file(err, w));
    }
cleanup:
    return status;
}

/* The formats people pack pictures with; whatever else the library knows stays shut. A zip is read by its
 * list of members at the end, so that one that was cut is seen. */
static bool open_reader(work *w) {
    struct archive *r = w->reader;
    return archive_read_support_filter_gzip(r) == ARCHIVE_OK &&
           archive_read_support_filter_bzip2(r) == ARCHIVE_OK &&
           archive_read_support_filter_xz(r) == ARCHIVE_OK &&
           archive_read_support_filter_zstd(r) == ARCHIVE_OK &&
           archive_read_support_format_tar(r) == ARCHIVE_OK &&
           archive_read_support_format_zip_seekable(r) == ARCHIVE_OK &&
           archive_read_open_fd(r, w->what->archive, BLOCK) == ARCHIVE_OK;
}

mq_status mq_unpack(mq_err *err, const mq_unpacking *u) {
    mq_status status = MQ_OK;
    work w = {.what = u, .reader = archive_read_new()};
    struct archive_entry *entry = NULL;
    MQ_REQUIRE(w.reader, err, MQ_NO_MEMORY, "%s: no memory to unpack it", u->path);
    MQ_TRY(mq_calloc(err, 1, MQ_PLACE_NAME, "a name", &w.plain));
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a block", &w.block));
    if (!open_reader(&w)) MQ_TRY(say_damaged(err, &w));
    for (;;) {
        const int got = archive_read_next_header(w.reader, &entry);
        if (got == ARCHIVE_EOF) break;
        if (got != ARCHIVE_OK && got != ARCHIVE_WARN) MQ_TRY(say_damaged(err, &w));
        MQ_TRY(take(err, &w, entry));
    }
cleanup:
    if (w.reader) archive_read_free(w.reader);
    free(w.plain);
    free(w.block);
    return status;
}
