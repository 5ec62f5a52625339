/* shared.c: which pictures of one data set another has, too. Called by evaluate.c. Owns the digests of the
 * other part while it looks. Invariant: pictures are the same where their bytes are, whatever their names. */
#include "data/shared.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef uint8_t digest[MQ_SHA256_SIZE];

static int by_bytes(const void *a, const void *b) {
    return memcmp(a, b, sizeof(digest));
}

mq_status mq_shared_count(mq_err *err, const mq_dataset *dataset, mq_split split, const mq_dataset *other,
                          mq_split other_split, size_t *count) {
    mq_status status = MQ_OK;
    const size_t known = mq_dataset_count(other, other_split);
    digest *digests = NULL, one;
    *count = 0;
    if (!known) return MQ_OK;
    MQ_TRY(mq_calloc(err, known, sizeof *digests, "digests", &digests));
    for (size_t i = 0; i < known; i++) mq_dataset_sha256(other, other_split, i, digests[i]);
    qsort(digests, known, sizeof *digests, by_bytes);
    for (size_t i = 0; i < mq_dataset_count(dataset, split); i++) {
        mq_dataset_sha256(dataset, split, i, one);
        *count += bsearch(one, digests, known, sizeof *digests, by_bytes) != NULL;
    }
cleanup:
    free(digests);
    return status;
}
