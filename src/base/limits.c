/* limits.c: reads the limits the kernel tells, before long work is planned, and
 * sets those of children. Owns nothing. Invariant: what cannot be read does not
 * limit; a limit that cannot be set is an error. */
#include "base/limits.h"
#include "base/cgroup.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { FILES_USUAL = 1024 };

/* The number of kB behind name at the start of a line, in bytes; UINT64_MAX: none. */
static uint64_t read_field(const char *path, const char *name) {
    FILE *file = fopen(path, "re");
    uint64_t value = UINT64_MAX, number;
    char line[256];
    while (file && value == UINT64_MAX && fgets(line, sizeof line, file))
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), "%" SCNu64, &number) == 1)
            value = number * 1024;
    if (file) fclose(file);
    return value;
}

/* What is left of limit when used is taken; an unknown limit leaves everything. */
static uint64_t rest(uint64_t limit, uint64_t used) {
    if (limit == UINT64_MAX || used == UINT64_MAX) return UINT64_MAX;
    return used < limit ? limit - used : 0;
}

uint64_t mq_memory_available(void) {
    uint64_t least = read_field("/proc/meminfo", "MemAvailable:");
    const uint64_t group = mq_cgroup_memory();
    if (group < least) least = group;
    struct rlimit space;
    if (getrlimit(RLIMIT_AS, &space) == 0 && space.rlim_cur != RLIM_INFINITY) {
        const uint64_t left = rest(space.rlim_cur, read_field("/proc/self/status", "VmSize:"));
        if (left < least) least = left;
    }
    return least;
}

/* Never above what the process was given already. */
static mq_status limit_one(mq_err *err, const char *program, int resource, uint64_t value) {
    struct rlimit limit;
    if (getrlimit((__rlimit_resource_t)resource, &limit) == 0) {
        if (limit.rlim_max < value) value = limit.rlim_max;
        limit = (struct rlimit){value, value};
        if (setrlimit((__rlimit_resource_t)resource, &limit) == 0) return MQ_OK;
    }
    return mq_fail(err, MQ_INTERNAL, "%s cannot limit itself: %s", program, strerror(errno));
}

void mq_close_others(void) {
#ifdef SYS_close_range
    if (syscall(SYS_close_range, 3U, ~0U, 0U) == 0) return;
#endif
    for (int fd = 3; fd < FILES_USUAL; fd++) close(fd); /* before Linux 5.9 */
}

mq_status mq_limit_process(mq_err *err, const mq_process_limits *limits) {
    mq_status status = MQ_OK;
    const char *program = limits->program;
    MQ_REQUIRE(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0, err, MQ_INTERNAL, "%s cannot end with marque: %s",
               program, strerror(errno));
    if (!MQ_SANITIZED) MQ_TRY(limit_one(err, program, RLIMIT_AS, limits->memory));
    MQ_TRY(limit_one(err, program, RLIMIT_CPU, limits->seconds));
    MQ_TRY(limit_one(err, program, RLIMIT_FSIZE, limits->file_size));
    MQ_TRY(limit_one(err, program, RLIMIT_NOFILE, limits->files));
    MQ_TRY(limit_one(err, program, RLIMIT_CORE, 0));
cleanup:
    return status;
}
