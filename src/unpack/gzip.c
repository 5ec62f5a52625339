/* gzip.c: all of zlib in marque-unpack. Called by main.c once the members lie in
 * the folder, which goes when this fails. Invariant: memory is one block. */
#include "unpack/gzip.h"
#include "base/file.h"
#include "base/mem.h"

#include <unistd.h>
#include <zlib.h>

enum { BLOCK = 1 << 20, BLOCKS_TOLD = 64 };

/* All streams to their ends, where zlib compares. */
static mq_status read_streams(mq_err *err, const mq_unpacking *u, gzFile file, uint8_t *block) {
    mq_status status = MQ_OK;
    uint64_t bytes = 0;
    int n = 0;
    for (size_t i = 1; (n = gzread(file, block, BLOCK)) > 0; i++) {
        bytes += (uint64_t)n;
        MQ_TRY(mq_unpacked_check(err, u->path, bytes, u->most, UINT64_MAX));
        if (i % BLOCKS_TOLD == 0) MQ_TRY(mq_unpack_tell(err));
    }
    (void)gzerror(file, &n); /* also an end that comes too soon */
    MQ_REQUIRE(n == Z_OK, err, MQ_BAD_DATA,
               "%s: cut short or damaged: its checksum does not fit; pack it again", u->path);
cleanup:
    return status;
}

mq_status mq_gzip_check(mq_err *err, const mq_unpacking *u) {
    mq_status status = MQ_OK;
    uint8_t *block = NULL;
    const int fd = lseek(u->archive, 0, SEEK_SET) == 0 ? dup(u->archive) : -1;
    gzFile file = fd >= 0 ? gzdopen(fd, "rb") : NULL;
    MQ_REQUIRE(file, err, MQ_IO, "%s: cannot be read once more", u->path);
    MQ_TRY(mq_calloc(err, 1, BLOCK, "a block", &block));
    if (!gzdirect(file)) MQ_TRY(read_streams(err, u, file, block));
cleanup:
    if (file)
        gzclose(file);
    else if (fd >= 0)
        close(fd);
    free(block);
    return status;
}
