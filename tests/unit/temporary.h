/* temporary.h: places for what a test writes, below TMPDIR: whoever runs the tests empties that. */
#ifndef MQ_UNIT_TEMPORARY_H
#define MQ_UNIT_TEMPORARY_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { PLACE = 128 }; /* bytes of a path */

/* TMPDIR/marque-XXXXXX */
static inline void temporary_path(char place[PLACE]) {
    const char *folder = getenv("TMPDIR");
    const int length = snprintf(place, PLACE, "%s/marque-XXXXXX", folder ? folder : "/tmp");
    if (length < 0 || length >= PLACE) abort();
}

/* A fresh folder of the test's own; false: the system refuses. */
static inline bool temporary_folder(char place[PLACE]) {
    temporary_path(place);
    return mkdtemp(place);
}

/* An empty file. */
static inline bool temporary_file(char place[PLACE]) {
    temporary_path(place);
    const int fd = mkstemp(place);
    return fd >= 0 && close(fd) == 0;
}

#endif
