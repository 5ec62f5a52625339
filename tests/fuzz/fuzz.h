/* fuzz.h: what the fuzzers share. Each is a program of libFuzzer's, built by the preset "fuzz" and run by
 * tests/fuzz/fuzz.py. A reader must answer any bytes with MQ_OK or one of the codes for bad input, and say
 * why. */
#ifndef FUZZ_H
#define FUZZ_H

#include "base/status.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Ends the run as a find: libFuzzer keeps the input. */
static inline void fuzz_require(bool holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "broken: %s\n", what);
    abort();
}

/* The status of a reader that was given bytes from outside. */
static inline bool fuzz_judge(mq_status status, const mq_err *err) {
    fuzz_require(status == MQ_OK || status == MQ_BAD_DATA || status == MQ_UNAVAILABLE ||
                     status == MQ_NO_MEMORY,
                 "a code that is not about the input");
    fuzz_require((status == MQ_OK) == (err->code == MQ_OK), "status and error differ");
    fuzz_require(status == MQ_OK || err->text[0], "an error without words");
    return status == MQ_OK;
}

/* A file with these bytes, for readers that take a path. */
typedef struct {
    int fd;
    char path[64];
} fuzz_file;

static inline fuzz_file fuzz_file_open(const uint8_t *data, size_t size) {
    fuzz_file file = {.fd = memfd_create("fuzz", MFD_CLOEXEC)};
    fuzz_require(file.fd >= 0 && write(file.fd, data, size) == (ssize_t)size, "no file in memory");
    snprintf(file.path, sizeof file.path, "/proc/self/fd/%d", file.fd);
    return file;
}

static inline void fuzz_file_close(fuzz_file *file) {
    close(file->fd);
}

#endif
