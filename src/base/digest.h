/* digest.h: SHA-256 (FIPS 180-4) and MD5 (RFC 1321, only to know Keras' published files). */
#ifndef MQ_DIGEST_H
#define MQ_DIGEST_H

#include "base/status.h"

enum { MQ_SHA256_SIZE = 32, MQ_HEX_SIZE = 65 };

typedef enum { MQ_SHA256, MQ_MD5 } mq_digest_kind;

typedef struct mq_digest mq_digest;

/* Starts a digest; *digest is the caller's until mq_digest_end. */
MQ_MUST_USE mq_status mq_digest_begin(mq_err *err, mq_digest_kind kind, mq_digest **digest);
void mq_digest_add(mq_digest *digest, const void *data, size_t size);

/* Writes the digest as lower-case hex (64 or 32 digits and NUL) and frees *digest. NULL hex only frees. */
void mq_digest_end(mq_digest **digest, char hex[MQ_HEX_SIZE]);

/* The SHA-256 of a block. */
MQ_MUST_USE mq_status mq_sha256(mq_err *err, const void *data, size_t size, uint8_t sum[MQ_SHA256_SIZE]);
MQ_MUST_USE mq_status mq_sha256_hex(mq_err *err, const void *data, size_t size, char hex[MQ_HEX_SIZE]);

/* The digest of a whole file. */
MQ_MUST_USE mq_status mq_digest_file(mq_err *err, mq_digest_kind kind, const char *path,
                                     char hex[MQ_HEX_SIZE]);

/* count bytes as 2 x count lower-case hex digits and NUL. */
void mq_hex(const uint8_t *bytes, size_t count, char *hex);

#endif
