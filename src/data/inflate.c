/* inflate.c: all of zlib. Called for compressed variables of MATLAB's files and for record files that are
 * compressed as a whole. Owns the stream and its blocks while it unpacks. Invariant: bytes are counted before
 * they are kept, so no bomb takes more memory or disk than its bounds say. */
#include "data/inflate.h"
#include "base/file.h"
#include "base/mem.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <zlib.h>

enum {
    EITHER = 15 +
             32, /* zlib's window of 32 KB, for streams of gzip or zlib, told apart by their first bytes */
    BLOCK = 1 << 18,
};

static mq_status damaged(mq_err *err, const char *name) {
    return mq_fail(err, MQ_BAD_DATA, "%s: its compressed data cannot be unpacked: cut short or damaged",
                   name);
}

static mq_status begin(mq_err *err, const char *name, z_stream *z) {
    if (inflateInit2(z, EITHER) == Z_OK) return MQ_OK;
    return mq_fail(err, MQ_NO_MEMORY, "%s: no memory to unpack it", name);
}

mq_status mq_inflate(mq_err *err, const char *name, const uint8_t *packed, size_t size, mq_buf *out) {
    mq_status status = MQ_OK;
    z_stream z = {.next_in = (uint8_t *)packed, .avail_in = (uInt)size};
    int result = Z_OK;
    MQ_REQUIRE(size <= UINT32_MAX, err, MQ_BAD_DATA, "%s: more than 4 GB of compressed data in one piece",
               name);
    MQ_TRY(begin(err, name, &z));
    while (result == Z_OK) {
        uint8_t block[65536];
        z.next_out = block;
        z.avail_out = sizeof block;
        result = inflate(&z, Z_NO_FLUSH);
        const size_t got = sizeof block - z.avail_out;
        MQ_REQUIRE(got <= out->limit - out->size, err, MQ_BAD_DATA, "%s: unpacks to more than %d MB", name,
                   MQ_INFLATE_MAX >> 20);
        MQ_TRY(mq_buf_add(err, out, block, got));
    }
    if (result != Z_STREAM_END) MQ_TRY(damaged(err, name));
cleanup:
    inflateEnd(&z);
    return status;
}

/* A file being unpacked. */
typedef struct {
    const mq_inflate_plan *plan;
    z_stream z;
    FILE *in;
    mq_writer *out;
    uint8_t *packed, *plain; /* BLOCK bytes each; owned, as all is but plan */
    uint64_t written;
    bool ended; /* the last stream is whole */
} unpacking;

/* The next bytes of the file; none left where there are no more. */
static mq_status fill(mq_err *err, unpacking *u) {
    u->z.next_in = u->packed;
    u->z.avail_in = (uInt)fread(u->packed, 1, BLOCK, u->in);
    if (!ferror(u->in)) return MQ_OK;
    return mq_fail(err, MQ_IO, "%s: %s", u->plan->from, strerror(errno));
}

/* Counts and writes what the last step made. */
static mq_status keep(mq_err *err, unpacking *u, size_t size) {
    mq_status status = MQ_OK;
    const mq_inflate_plan *plan = u->plan;
    u->written += size;
    MQ_TRY(mq_unpacked_check(err, plan->from, u->written, plan->most, plan->room));
    MQ_TRY(mq_writer_add(err, u->out, u->plain, size));
    MQ_TRY(plan->go_on(err, plan->user, u->written));
cleanup:
    return status;
}

/* Unpacks stream after stream, until the file ends behind a whole one. */
static mq_status unpack(mq_err *err, unpacking *u) {
    mq_status status = MQ_OK;
    for (bool pending = false;;) {
        if (!u->z.avail_in && !pending) MQ_TRY(fill(err, u));
        if (!u->z.avail_in && !pending) break;
        if (u->ended) inflateReset(&u->z);
        u->z.next_out = u->plain;
        u->z.avail_out = BLOCK;
        const int result = inflate(&u->z, Z_NO_FLUSH);
        if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR)
            MQ_TRY(damaged(err, u->plan->from));
        u->ended = result == Z_STREAM_END;
        pending = !u->z.avail_out && !u->ended; /* zlib may hold more than it had place for */
        MQ_TRY(keep(err, u, BLOCK - u->z.avail_out));
    }
    if (!u->ended) MQ_TRY(damaged(err, u->plan->from));
cleanup:
    return status;
}

mq_status mq_inflate_file(mq_err *err, const mq_inflate_plan *plan) {
    mq_status status = MQ_OK;
    unpacking u = {.plan = plan};
    MQ_TRY(begin(err, plan->from, &u.z));
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a block", &u.packed));
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a block", &u.plain));
    u.in = fopen(plan->from, "rbe");
    MQ_REQUIRE(u.in, err, MQ_NO_INPUT, "%s: %s", plan->from, strerror(errno));
    MQ_TRY(mq_writer_open(err, plan->to, &u.out));
    MQ_TRY(unpack(err, &u));
    MQ_TRY(mq_writer_commit(err, &u.out));
cleanup:
    mq_writer_abort(&u.out);
    if (u.in) fclose(u.in);
    free(u.packed);
    free(u.plain);
    inflateEnd(&u.z);
    return status;
}
