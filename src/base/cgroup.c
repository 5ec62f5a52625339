/* cgroup.c: reads the control groups' limits. Called by limits.c and par.c. Owns
 * nothing. Invariant: what cannot be read does not limit. */
#include "base/cgroup.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { PATH_SIZE = 4096 };
static const char ROOT[] = "/sys/fs/cgroup", OWN[] = "/proc/self/cgroup";

/* The rest of the first line of FOLDER/FILE that begins with name; false: there is none. */
static bool read_line(const char *folder, const char *file, const char *name, char line[PATH_SIZE]) {
    char path[PATH_SIZE];
    const size_t skip = strlen(name);
    const int n = snprintf(path, sizeof path, "%s%s%s", folder, *file ? "/" : "", file);
    FILE *in = n > 0 && (size_t)n < sizeof path ? fopen(path, "re") : NULL;
    bool found = false;
    while (in && !found && fgets(line, PATH_SIZE, in)) found = strncmp(line, name, skip) == 0;
    if (in) fclose(in);
    if (found) memmove(line, line + skip, strlen(line + skip) + 1);
    return found;
}

static uint64_t read_number(const char *folder, const char *file, const char *name) {
    char line[PATH_SIZE];
    uint64_t number;
    return read_line(folder, file, name, line) && sscanf(line, "%" SCNu64, &number) == 1 ? number
                                                                                         : UINT64_MAX;
}

uint64_t mq_cgroup_memory_of(const char *folder) {
    static const char *const lists[] = {"active_file ", "inactive_file "};
    const uint64_t most = read_number(folder, "memory.max", "");
    uint64_t used = read_number(folder, "memory.current", "");
    if (most == UINT64_MAX || used == UINT64_MAX) return UINT64_MAX;
    for (size_t i = 0; i < 2; i++) {
        const uint64_t file = read_number(folder, "memory.stat", lists[i]);
        if (file != UINT64_MAX) used -= file < used ? file : used;
    }
    return used < most ? most - used : 0;
}

/* "QUOTA PERIOD" in microseconds, or "max PERIOD". */
uint64_t mq_cgroup_processors_of(const char *folder) {
    char line[PATH_SIZE];
    uint64_t quota, period;
    if (!read_line(folder, "cpu.max", "", line)) return UINT64_MAX;
    if (sscanf(line, "%" SCNu64 " %" SCNu64, &quota, &period) != 2 || !quota || !period) return UINT64_MAX;
    return quota / period + (quota % period != 0);
}

uint64_t mq_cgroup_least(const char *root, const char *file, uint64_t (*ask)(const char *folder)) {
    char group[PATH_SIZE], folder[PATH_SIZE];
    struct stat st;
    if (!read_line(file, "", "0::", group)) group[0] = 0;
    group[strcspn(group, "\n")] = 0;
    int n = snprintf(folder, sizeof folder, "%s%s", root, group);
    if (n < 0 || (size_t)n >= sizeof folder || strstr(group, "/..") || stat(folder, &st) != 0)
        n = snprintf(folder, sizeof folder, "%s", root);
    const size_t top = strlen(root);
    uint64_t least = ask(folder);
    for (size_t end = (size_t)n; end-- > top;) {
        if (folder[end] != '/') continue;
        folder[end] = 0;
        const uint64_t value = ask(folder);
        if (value < least) least = value;
    }
    return least;
}

uint64_t mq_cgroup_memory(void) {
    return mq_cgroup_least(ROOT, OWN, mq_cgroup_memory_of);
}

uint64_t mq_cgroup_processors(void) {
    return mq_cgroup_least(ROOT, OWN, mq_cgroup_processors_of);
}
