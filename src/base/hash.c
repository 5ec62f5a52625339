/* hash.c: all of libxxhash. Called by bundles, checkpoints and wherever tensors are recognised. Owns the
 * state of a hash. */
#include "base/hash.h"
#include "base/digest.h"
#include "base/mem.h"

#include <xxhash.h>

struct mq_hash {
    XXH3_state_t *state;
};

mq_status mq_hash_begin(mq_err *err, mq_hash **hash) {
    mq_status status = MQ_OK;
    mq_hash *h = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *h, "a hash", &h));
    h->state = XXH3_createState();
    MQ_REQUIRE(h->state, err, MQ_NO_MEMORY, "no memory for a hash");
    XXH3_128bits_reset(h->state);
    *hash = h;
    h = NULL;
cleanup:
    mq_hash_end(&h, NULL);
    return status;
}

void mq_hash_add(mq_hash *hash, const void *data, size_t size) {
    XXH3_128bits_update(hash->state, data, size); /* fails for no state and NULL with a size only */
}

static void write_hex(XXH128_hash_t sum, char hex[MQ_HASH_HEX_SIZE]) {
    XXH128_canonical_t bytes;
    XXH128_canonicalFromHash(&bytes, sum);
    mq_hex(bytes.digest, sizeof bytes.digest, hex);
}

void mq_hash_of(const void *data, size_t size, char hex[MQ_HASH_HEX_SIZE]) {
    write_hex(XXH3_128bits(data, size), hex);
}

void mq_hash_end(mq_hash **hash, char hex[MQ_HASH_HEX_SIZE]) {
    mq_hash *h = *hash;
    if (!h) return;
    if (hex) write_hex(XXH3_128bits_digest(h->state), hex);
    XXH3_freeState(h->state);
    free(h);
    *hash = NULL;
}
