/* status.h: how every function of marque says that it failed.
 *
 * A function that can fail takes an mq_err first and returns mq_status. The
 * first error wins: what is said at the bottom, where the file and the row
 * are known, is what the user reads. Nothing here allocates or prints. */
#ifndef MQ_STATUS_H
#define MQ_STATUS_H

#include "marque.h"

/* Records code and sentence unless err already holds one; returns err->code. */
mq_status mq_fail(mq_err *err, mq_status code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* The code for a failed system call on an existing or wanted file, by errno: 66, 71, 73 or 74. */
mq_status mq_status_of_errno(int error, mq_status otherwise);

/* Leaves the function, through its cleanup label, with the status of a failed call. */
#define MQ_TRY(call)                                                                                         \
    do {                                                                                                     \
        status = (call);                                                                                     \
        if (status != MQ_OK) goto cleanup;                                                                   \
    } while (0)

/* The same for a condition; the sentence follows as for printf. */
#define MQ_REQUIRE(cond, err, code, ...)                                                                     \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            status = mq_fail((err), (code), __VA_ARGS__);                                                    \
            goto cleanup;                                                                                    \
        }                                                                                                    \
    } while (0)

#endif
