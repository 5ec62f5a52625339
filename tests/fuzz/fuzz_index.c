/* fuzz_index.c: a data set's index, every row of it. Its checksums are put right before it is read, since
 * random bytes seldom have right ones. */
#include "fuzz/fuzz.h"

#include "base/crc32c.h"
#include "data/bytes.h"
#include "data/shards.h"

#include <string.h>

enum { HEADER = 40, ROWS_SUM = 28, HEAD_SUM = 32, MOST = 1 << 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    mq_index index;
    uint8_t bytes[MOST];
    char digest[MQ_HEX_SIZE];
    if (size > MOST) return 0;
    memcpy(bytes, data, size);
    if (size >= HEADER && data[size - 1] % 8) { /* one in eight stays wrong */
        mq_write_u32(bytes + ROWS_SUM, mq_crc32c(bytes + HEADER, size - HEADER));
        mq_write_u32(bytes + HEAD_SUM, mq_crc32c(bytes, HEAD_SUM));
    }
    fuzz_require(mq_sha256_hex(&err, bytes, size, digest) == MQ_OK, "no digest");
    fuzz_file file = fuzz_file_open(bytes, size);
    if (fuzz_judge(mq_index_read(&err, file.path, digest, &index), &err)) {
        uint64_t sum = 0;
        for (size_t i = 0; i < index.count; i++) sum += mq_index_get(&index, i).length;
        fuzz_require(sum <= UINT64_MAX && index.count <= size / 56, "rows that are not there");
    }
    mq_index_free(&index);
    fuzz_file_close(&file);
    return 0;
}
