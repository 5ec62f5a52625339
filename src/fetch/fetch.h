/* fetch.h: one file from the network, whole and checked, or not at all. */
#ifndef MQ_FETCH_H
#define MQ_FETCH_H

#include "base/digest.h"

typedef struct {
    const char *digest;  /* hex the file must have; 32 digits are MD5, 64 SHA-256; NULL: unknown */
    uint64_t bytes;      /* about how large it is; 0: unknown */
    uint64_t bytes_max;  /* larger is refused */
    const char *ca_file; /* certificates to trust instead of the system's; NULL: the system's */
    /* Called now and then; total is 0 while unknown. NULL: never. */
    void (*progress)(void *user, uint64_t done, uint64_t total);
    /* True asks to stop: MQ_INTERRUPTED. NULL: never. */
    bool (*stop)(void *user);
    void *user;
} mq_fetch_options;

/* url without what may be secret in it, the user's name and password and the query, for messages and for
 * keeping; *shown is the caller's, for free(). */
MQ_MUST_USE mq_status mq_fetch_shown(mq_err *err, const char *url, char **shown);

/* Downloads url to path: https only (http from this very computer), redirects to https only. What came so far
 * stays in path.part and goes on there next time if the server's file is still the same (its ETag, kept in
 * path.part.etag). Under path itself there is never anything but a complete file of the right digest.
 * Network out of reach, or the server refuses: MQ_UNAVAILABLE; another content: MQ_BAD_DATA. */
MQ_MUST_USE mq_status mq_fetch(mq_err *err, const char *url, const char *path,
                               const mq_fetch_options *options);

#endif
