/* faults.h: records of the uneven data set that fail when they are read. A test that includes it has its own
 * pread, which stands before the C library's. */
#ifndef MQ_UNIT_FAULTS_H
#define MQ_UNIT_FAULTS_H

#include "unit/uneven.h"

#include "data/tfrecord.h"

#include <errno.h>
#include <sys/syscall.h>

enum { RECORDS = 64 };

/* What happens to a record when it is read. */
typedef enum {
    SOUND,
    ERROR,     /* EIO */
    STALE,     /* ESTALE */
    CUT,       /* the file ends before it */
    FLIPPED,   /* a wrong checksum */
    NO_PICTURE /* sound checksums around a picture that cannot be decoded */
} fault;

static fault faults[2][RECORDS];  /* of the training and the validation part; changed between passes alone */
static uint64_t ends[2][RECORDS]; /* where the records lie */

/* What becomes of a frame: its picture's bytes are garbage, under checksums that agree. */
static void spoil_picture(uint8_t *frame, size_t size) {
    mq_err err = {0};
    mq_buf sealed = mq_buf_init(1 << 20);
    const size_t data = size - MQ_TFRECORD_FOOTER;
    uint8_t *png = memmem(frame, size, "IHDR", 4);
    assert_non_null(png);
    png[4] ^= 0x55; /* the width, under PNG's own checksum */
    assert_ok(err, mq_buf_add(&err, &sealed, frame, data));
    assert_ok(err, mq_tfrecord_seal(&err, &sealed));
    assert_int_equal(sealed.size, size);
    memcpy(frame, sealed.data, size);
    mq_buf_free(&sealed);
}

static fault fault_at(int fd, uint64_t offset) {
    char link[64], path[256] = "";
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (syscall(SYS_readlink, link, path, sizeof path - 1) < 0) return SOUND;
    const char *name = strrchr(path, '/');
    const int part = !name                                   ? -1
                     : strncmp(name, "/train-0000", 11) == 0 ? 0
                     : strncmp(name, "/val-0000", 9) == 0    ? 1
                                                             : -1;
    for (size_t i = 0; part >= 0 && i < RECORDS; i++)
        if (offset < ends[part][i]) return faults[part][i];
    return SOUND;
}

ssize_t pread(int fd, void *data, size_t size, off_t offset) {
    const fault what = fault_at(fd, (uint64_t)offset);
    if (what == ERROR || what == STALE) {
        errno = what == ERROR ? EIO : ESTALE;
        return -1;
    }
    if (what == CUT) return 0;
    const ssize_t n = syscall(SYS_pread64, fd, data, size, offset);
    if (what == FLIPPED) ((uint8_t *)data)[size / 2] ^= 4;
    if (what == NO_PICTURE) spoil_picture(data, size);
    return n;
}

static void heal(void) {
    memset(faults, 0, sizeof faults);
}

/* Each test begins with sound records and an empty cache. */
static int begin(void **state) {
    const uneven *u = *state;
    mq_err err = {0};
    char cache[256];
    heal();
    for (int part = 0; part < 2; part++) {
        uint64_t end = 0;
        const size_t count = mq_dataset_count(u->dataset, (mq_split)part);
        assert_true(count < RECORDS);
        for (size_t i = 0; i < RECORDS; i++) {
            if (i < count) end += mq_dataset_bytes(u->dataset, (mq_split)part, i);
            ends[part][i] = i < count ? end : 0;
        }
    }
    snprintf(cache, sizeof cache, "%s/cache", u->folder);
    if (mq_folder_exists(cache)) assert_ok(err, mq_remove_folder(&err, cache));
    setenv("XDG_CACHE_HOME", cache, 1);
    return 0;
}

#endif
