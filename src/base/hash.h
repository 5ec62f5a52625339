/* hash.h: XXH3's 128 bits (the xxHash specification), which tell contents apart at the pace of memory. For
 * what marque itself wrote and for keys of its caches: nobody gains by forging these. Files of others are
 * known by SHA-256 (base/digest.h). */
#ifndef MQ_HASH_H
#define MQ_HASH_H

#include "base/status.h"

enum { MQ_HASH_HEX_SIZE = 33 };

typedef struct mq_hash mq_hash;

/* Starts a hash; *hash is the caller's until mq_hash_end. */
MQ_MUST_USE mq_status mq_hash_begin(mq_err *err, mq_hash **hash);
void mq_hash_add(mq_hash *hash, const void *data, size_t size);

/* Writes the hash as 32 lower-case hex digits and NUL, most significant first, and frees *hash. NULL hex only
 * frees. */
void mq_hash_end(mq_hash **hash, char hex[MQ_HASH_HEX_SIZE]);

/* The same of bytes that are all there. */
void mq_hash_of(const void *data, size_t size, char hex[MQ_HASH_HEX_SIZE]);

#endif
