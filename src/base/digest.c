/* digest.c: all of libcrypto. Called wherever content is recognised by its
 * digest: pictures, weights, lists, archives. */
#include "base/digest.h"
#include "base/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mq_digest {
    EVP_MD_CTX *ctx;
    bool broken; /* an update failed; the hex stays empty, which equals no digest */
};

mq_status mq_digest_begin(mq_err *err, mq_digest_kind kind, mq_digest **digest) {
    mq_status status = MQ_OK;
    mq_digest *d = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *d, "a digest", &d));
    d->ctx = EVP_MD_CTX_new();
    MQ_REQUIRE(d->ctx, err, MQ_NO_MEMORY, "no memory for a digest");
    MQ_REQUIRE(EVP_DigestInit_ex(d->ctx, kind == MQ_MD5 ? EVP_md5() : EVP_sha256(), NULL) == 1, err,
               MQ_INTERNAL, "libcrypto cannot start a digest");
    *digest = d;
    d = NULL;
cleanup:
    mq_digest_end(&d, NULL);
    return status;
}

void mq_digest_add(mq_digest *digest, const void *data, size_t size) {
    if (EVP_DigestUpdate(digest->ctx, data, size) != 1) digest->broken = true;
}

void mq_digest_end(mq_digest **digest, char hex[MQ_HEX_SIZE]) {
    mq_digest *d = *digest;
    if (hex) hex[0] = 0;
    if (!d) return;
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    if (hex && !d->broken && EVP_DigestFinal_ex(d->ctx, sum, &size) == 1 && size <= MQ_SHA256_SIZE)
        mq_hex(sum, size, hex);
    EVP_MD_CTX_free(d->ctx);
    free(d);
    *digest = NULL;
}

mq_status mq_sha256(mq_err *err, const void *data, size_t size, uint8_t sum[MQ_SHA256_SIZE]) {
    if (EVP_Digest(data, size, sum, NULL, EVP_sha256(), NULL) == 1) return MQ_OK;
    return mq_fail(err, MQ_INTERNAL, "libcrypto cannot compute SHA-256");
}

mq_status mq_sha256_hex(mq_err *err, const void *data, size_t size, char hex[MQ_HEX_SIZE]) {
    uint8_t sum[MQ_SHA256_SIZE];
    const mq_status status = mq_sha256(err, data, size, sum);
    if (status == MQ_OK) mq_hex(sum, sizeof sum, hex);
    return status;
}

mq_status mq_digest_file(mq_err *err, mq_digest_kind kind, const char *path, char hex[MQ_HEX_SIZE]) {
    mq_status status = MQ_OK;
    mq_digest *digest = NULL;
    uint8_t *block = NULL;
    const size_t block_size = (size_t)1 << 20;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not block us */
    FILE *file = fd >= 0 ? fdopen(fd, "rb") : NULL;
    MQ_REQUIRE(file, err, mq_status_of_errno(errno, MQ_NO_INPUT), "%s: %s", path, strerror(errno));
    MQ_TRY(mq_calloc(err, 1, block_size, "reading", &block));
    MQ_TRY(mq_digest_begin(err, kind, &digest));
    for (size_t n; (n = fread(block, 1, block_size, file)) > 0;) mq_digest_add(digest, block, n);
    MQ_REQUIRE(!ferror(file), err, MQ_IO, "%s: %s", path, strerror(errno));
    mq_digest_end(&digest, hex);
    MQ_REQUIRE(hex[0], err, MQ_INTERNAL, "%s: libcrypto cannot compute its digest", path);
cleanup:
    mq_digest_end(&digest, NULL);
    free(block);
    if (file)
        fclose(file);
    else if (fd >= 0)
        close(fd);
    return status;
}

void mq_hex(const uint8_t *bytes, size_t count, char *hex) {
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        hex[2 * i] = digits[bytes[i] >> 4];
        hex[2 * i + 1] = digits[bytes[i] & 15];
    }
    hex[2 * count] = 0;
}
