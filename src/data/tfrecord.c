/* tfrecord.c: the frame of a record, and one open TFRecord file with a buffer
 * for its current record. Called by the shards' writer and readers. Invariant:
 * nothing a file says is used before its checksum and the file's own size agree. */
#include "data/tfrecord.h"
#include "base/crc32c.h"
#include "base/file.h"
#include "base/mem.h"
#include "data/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HEADER = MQ_TFRECORD_HEADER, FOOTER = MQ_TFRECORD_FOOTER };

struct mq_tfrecord {
    int fd;
    char *path;
    uint64_t size;      /* of the file, bytes */
    uint64_t offset;    /* where the current record begins */
    uint64_t index;     /* its number, from 0 */
    const char *remedy; /* behind what is said of damage; static */
    mq_buf frame;       /* the current record */
};

/* TensorFlow masks checksums, so that a CRC of data holding CRCs stays sound. */
static uint32_t masked(uint32_t crc) {
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

mq_status mq_tfrecord_seal(mq_err *err, mq_buf *buf) {
    uint8_t footer[FOOTER];
    const size_t size = buf->size - HEADER;
    if (size > MQ_TFRECORD_MAX)
        return mq_fail(err, MQ_BAD_DATA, "a record of %zu bytes is more than marque writes (%d MB)", size,
                       MQ_TFRECORD_MAX >> 20);
    mq_write_u64(buf->data, size);
    mq_write_u32(buf->data + 8, masked(mq_crc32c(buf->data, 8)));
    mq_write_u32(footer, masked(mq_crc32c(buf->data + HEADER, size)));
    return mq_buf_add(err, buf, footer, FOOTER);
}

/* The length a header states, after its checksum and against what may follow it. */
static mq_status read_header(mq_err *err, const mq_tfrecord *at, const uint8_t header[HEADER],
                             size_t *length) {
    mq_status status = MQ_OK;
    const uint64_t stated = mq_read_u64(header);
    MQ_REQUIRE(mq_read_u32(header + 8) == masked(mq_crc32c(header, 8)), err, MQ_BAD_DATA,
               "%s: the length of record %" PRIu64 " at byte %" PRIu64 " fails its checksum%s", at->path,
               at->index, at->offset, at->remedy);
    MQ_REQUIRE(stated <= MQ_TFRECORD_MAX && stated <= at->size - at->offset - HEADER - FOOTER, err,
               MQ_BAD_DATA,
               "%s: record %" PRIu64 " at byte %" PRIu64 " says %" PRIu64
               " bytes, more than the file has left or marque takes (%d MB)",
               at->path, at->index, at->offset, stated, MQ_TFRECORD_MAX >> 20);
    *length = (size_t)stated;
cleanup:
    return status;
}

static mq_status check_data(mq_err *err, const mq_tfrecord *at, const uint8_t *frame, size_t length) {
    if (mq_read_u32(frame + HEADER + length) == masked(mq_crc32c(frame + HEADER, length))) return MQ_OK;
    return mq_fail(err, MQ_BAD_DATA, "%s: record %" PRIu64 " at byte %" PRIu64 " fails its checksum%s",
                   at->path, at->index, at->offset, at->remedy);
}

mq_status mq_tfrecord_check(mq_err *err, const char *path, uint64_t index, uint64_t offset,
                            const uint8_t *frame, size_t size) {
    mq_status status = MQ_OK;
    size_t length = 0;
    char *name = NULL;
    MQ_TRY(mq_strdup(err, path, &name));
    const mq_tfrecord at = {.path = name,
                            .size = offset + size,
                            .offset = offset,
                            .index = index,
                            .remedy = "; import the pictures again"};
    MQ_REQUIRE(size >= HEADER + FOOTER, err, MQ_BAD_DATA,
               "%s: record %" PRIu64 " at byte %" PRIu64 " is too short", path, index, offset);
    MQ_TRY(read_header(err, &at, frame, &length));
    MQ_REQUIRE(length == size - HEADER - FOOTER, err, MQ_BAD_DATA,
               "%s: record %" PRIu64 " at byte %" PRIu64 " is %zu bytes long where the index says %zu", path,
               index, offset, length, size - HEADER - FOOTER);
    MQ_TRY(check_data(err, &at, frame, length));
cleanup:
    free(name);
    return status;
}

mq_status mq_tfrecord_open(mq_err *err, const char *path, mq_tfrecord **reader) {
    mq_status status = MQ_OK;
    struct stat st;
    mq_tfrecord *r = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *r, path, &r));
    r->fd = -1;
    r->remedy = "";
    r->frame = mq_buf_init((size_t)MQ_TFRECORD_MAX + HEADER + FOOTER);
    MQ_TRY(mq_strdup(err, path, &r->path));
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MQ_REQUIRE(r->fd >= 0, err, MQ_NO_INPUT, "%s: %s", path, strerror(errno));
    MQ_REQUIRE(fstat(r->fd, &st) == 0 && S_ISREG(st.st_mode), err, MQ_NO_INPUT, "%s: not a regular file",
               path);
    r->size = (uint64_t)st.st_size;
    *reader = r;
    r = NULL;
cleanup:
    mq_tfrecord_free(&r);
    return status;
}

mq_status mq_tfrecord_next(mq_err *err, mq_tfrecord *r, const uint8_t **data, size_t *size) {
    mq_status status = MQ_OK;
    uint8_t header[HEADER];
    size_t length = 0;
    *data = NULL;
    *size = 0;
    if (r->offset == r->size) return MQ_OK;
    MQ_REQUIRE(r->size - r->offset >= HEADER + FOOTER, err, MQ_BAD_DATA,
               "%s: record %" PRIu64 " at byte %" PRIu64 " is cut off", r->path, r->index, r->offset);
    MQ_TRY(mq_file_pread(err, r->fd, r->path, header, HEADER, r->offset));
    MQ_TRY(read_header(err, r, header, &length));
    mq_buf_clear(&r->frame);
    MQ_TRY(mq_buf_reserve(err, &r->frame, HEADER + length + FOOTER));
    MQ_TRY(mq_file_pread(err, r->fd, r->path, r->frame.data, HEADER + length + FOOTER, r->offset));
    MQ_TRY(check_data(err, r, r->frame.data, length));
    r->offset += HEADER + length + FOOTER;
    r->index++;
    *data = r->frame.data + HEADER;
    *size = length;
cleanup:
    return status;
}

uint64_t mq_tfrecord_offset(const mq_tfrecord *reader) {
    return reader->offset;
}

void mq_tfrecord_free(mq_tfrecord **reader) {
    mq_tfrecord *r = *reader;
    if (!r) return;
    if (r->fd >= 0) close(r->fd);
    mq_buf_free(&r->frame);
    free(r->path);
    free(r);
    *reader = NULL;
}
