/* fuzz_members.c: archives as marque-unpack takes them, into a folder of their own, which is looked through
 * afterwards: regular files and folders only, no more bytes than may be, and beside the folder nothing at
 * all. The checksums of tar's headers are put right after each change, since random bytes seldom have right
 * ones. */
#include "fuzz/arena.h"

#include "unpack/members.h"

#include <fcntl.h>
#include <ftw.h>
#include <string.h>

enum { MOST = 1 << 20, BLOCK = 512, SUM = 148, MAGIC = 257 };

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

/* ARENA/in is unpacked into; ARENA holds nothing else. */
static char inside[sizeof arena + 3];

int LLVMFuzzerInitialize(int *argc, char ***argv) {
    (void)argc;
    (void)argv;
    make_arena();
    snprintf(inside, sizeof inside, "%s/in", arena);
    fuzz_require(freopen("/dev/null", "w", stdout) != NULL, "stdout, where members are told, stays");
    return 0;
}

/* The sum of a header's bytes, its own place counted as blanks (POSIX.1, ustar). */
static void seal(uint8_t *header) {
    unsigned sum = 0;
    memset(header + SUM, ' ', 8);
    for (size_t i = 0; i < BLOCK; i++) sum += header[i];
    snprintf((char *)header + SUM, 8, "%06o", sum);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, max);
    for (size_t at = 0; seed % 8 && at + BLOCK <= size; at += BLOCK) /* one in eight stays wrong */
        if (memcmp(data + at + MAGIC, "ustar", 5) == 0) seal(data + at);
    return size;
}

static uint64_t found; /* bytes of the files that nftw has shown */

static int judge_file(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)path;
    fuzz_require(kind == FTW_F || kind == FTW_D, "neither a file nor a folder that can be read");
    fuzz_require(S_ISDIR(st->st_mode) || (S_ISREG(st->st_mode) && st->st_nlink == 1),
                 "a file of another kind, or with two names");
    fuzz_require(!(st->st_mode & 07077), "a file that others may use");
    fuzz_require(where->level > 1 || strcmp(path + where->base, "in") == 0 || where->level == 0,
                 "a file beside the folder");
    if (S_ISREG(st->st_mode)) found += (uint64_t)st->st_size;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    mq_err err = {0};
    fuzz_file file = fuzz_file_open(data, size);
    fuzz_require(lseek(file.fd, 0, SEEK_SET) == 0 && mkdir(inside, 0700) == 0, "no empty folder");
    const mq_unpacking u = {.path = "a",
                            .archive = file.fd,
                            .folder = open(inside, O_PATH | O_DIRECTORY | O_CLOEXEC),
                            .most = MOST,
                            .room = (uint64_t)1 << 40};
    fuzz_require(u.folder >= 0, "no empty folder");
    fuzz_judge(mq_unpack(&err, &u), &err);
    found = 0;
    fuzz_require(nftw(arena, judge_file, 8, FTW_PHYS) == 0, "a folder that cannot be read");
    fuzz_require(found <= MOST, "more bytes than may be");
    err = (mq_err){0};
    fuzz_require(mq_remove_folder(&err, inside) == MQ_OK, "what was unpacked stays");
    close(u.folder);
    fuzz_file_close(&file);
    return 0;
}
