/* children.h: marque's children beside the test programs. marque looks for them in its own folder, and the
 * tests' folder is one below, so a test that needs one links it; tests that put others in their place have
 * the links to themselves. */
#ifndef MQ_TEST_CHILDREN_H
#define MQ_TEST_CHILDREN_H

#include "unit/unit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { CHILD_PATH = 4096 };

/* Where this program looks for the child of that name first. */
static inline void child_path(const char *name, char path[CHILD_PATH]) {
    const ssize_t n = readlink("/proc/self/exe", path, CHILD_PATH - 64);
    assert_true(n > 0);
    path[n] = 0;
    char *end = strrchr(path, '/') + 1;
    snprintf(end, 64, "%s", name);
}

/* Links it there, in place of what may be there. 0, as cmocka wants of a setup. */
static inline int link_child(const char *name) {
    char path[CHILD_PATH], target[80];
    child_path(name, path);
    snprintf(target, sizeof target, "../%s", name);
    unlink(path);
    return symlink(target, path);
}

/* The same, once no other program has the links; this one keeps them until it ends. */
static inline int take_child(const char *name) {
    char path[CHILD_PATH];
    child_path("", path);
    const int folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return folder < 0 || flock(folder, LOCK_EX) != 0 ? -1 : link_child(name);
}

#endif
