/* arena.h: a folder for fuzzers whose readers take or make files by name; gone at the end. In memory, so that
 * no disk is waited for. */
#ifndef FUZZ_ARENA_H
#define FUZZ_ARENA_H

#include "fuzz/fuzz.h"

#include "base/file.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);

static char arena[] = "/dev/shm/marque-fuzz-XXXXXX";

static void leave_arena(void) {
    mq_err err = {0};
    if (mq_remove_folder(&err, arena) != MQ_OK) fprintf(stderr, "%s\n", err.text);
}

/* For LLVMFuzzerInitialize. */
static void make_arena(void) {
    fuzz_require(mkdtemp(arena) != NULL && atexit(leave_arena) == 0, "no folder to work in");
}

#endif
