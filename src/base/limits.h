/* limits.h: what this process may take of the machine. */
#ifndef MQ_LIMITS_H
#define MQ_LIMITS_H

#include "base/status.h"

/* Bytes of memory that can still be had without swapping: what the kernel calls available (proc(5),
 * MemAvailable), what control groups leave (cgroup.h), and of the address space's (RLIMIT_AS), whichever is
 * least. UINT64_MAX when nothing is known. */
uint64_t mq_memory_available(void);

/* Whether a sanitizer watches: it reserves far more address space than it uses, and reads /proc at the end.
 */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MQ_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MQ_SANITIZED 1
#endif
#endif
#ifndef MQ_SANITIZED
#define MQ_SANITIZED 0
#endif

typedef struct {
    const char *program; /* for messages; static */
    uint64_t memory;     /* bytes of address space; not held under sanitizers, which reserve far more */
    uint64_t seconds;    /* of processor time */
    uint64_t file_size;  /* bytes that a file may grow to; 0: nothing can be written */
    uint64_t files;      /* open at a time */
} mq_process_limits;

/* Closes all files but the three streams: those that whoever started this process has left open. For
 * children, first of all. */
void mq_close_others(void);

/* Limits this process for good, never above what it was given, lets it leave no core, and ends it with its
 * parent. For children (child.h), before they look at a byte. */
MQ_MUST_USE mq_status mq_limit_process(mq_err *err, const mq_process_limits *limits);

#endif
