/* cgroup.h: what the control groups above this process leave it (Linux' cgroup v2, Documentation/admin-guide/
 * cgroup-v2.rst; limits of v1 are not looked at). A limit of any group on the way to the root holds. */
#ifndef MQ_CGROUP_H
#define MQ_CGROUP_H

#include <stdint.h>

/* Bytes of memory: what the groups' memory.max leave, where pages of files count as free, since the kernel
 * takes them back before it refuses memory. UINT64_MAX: no limit. */
uint64_t mq_cgroup_memory(void);

/* Processors that cpu.max allows, rounded up; UINT64_MAX: no limit. */
uint64_t mq_cgroup_processors(void);

/* The least of what ask says of a group's folder, UINT64_MAX where it says nothing: from the group that file
 * names ("0::/a/b", as /proc/self/cgroup) up to root, the folder that the groups lie in. Where root does not
 * show that group, as in a container, root alone is asked. */
uint64_t mq_cgroup_least(const char *root, const char *file, uint64_t (*ask)(const char *folder));

/* What one group leaves, by the files in its folder. */
uint64_t mq_cgroup_memory_of(const char *folder);
uint64_t mq_cgroup_processors_of(const char *folder);

#endif
