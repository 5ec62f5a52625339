/* limits.h: what this process may take of the machine. */
#ifndef MQ_LIMITS_H
#define MQ_LIMITS_H

#include <stdint.h>

/* Bytes of memory that can still be had without swapping: what the kernel calls available (proc(5),
 * MemAvailable), the rest of the control group's limit, and of the address space's (RLIMIT_AS), whichever is
 * least. UINT64_MAX when nothing is known. */
uint64_t mq_memory_available(void);

#endif
