/* main.c: marque-unpack, a process of its own for archives of others.
 *
 *   marque-unpack ARCHIVE FOLDER > PROGRESS
 *
 * marque starts it and looks through the folder afterwards as through any
 * other. On failure it writes one sentence on stderr and exits with its
 * mq_status. Invariant: whatever the archive makes it do, it takes no more than
 * its share of memory, time and disk, and where the kernel knows Landlock it
 * can write nowhere but below the folder. */
#include "base/file.h"
#include "base/limits.h"
#include "base/text.h"
#include "unpack/gzip.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RATIO_MAX = 100,
    FLOOR = 64 << 20, /* bytes that any archive may unpack to, however small it is */
    SECONDS = 120, /* of processor time, and one more for each MB: the slowest of the methods needs a tenth */
    FILES = 16,
};

/* From here on this process can open nothing, and make files and folders below folder only. A kernel without
 * Landlock (before 5.13, or switched off) leaves it at the other limits. */
static mq_status confine(mq_err *err, int folder) {
    mq_status status = MQ_OK;
    /* the rights of Landlock's first version, which every kernel that has it knows */
    const struct landlock_ruleset_attr all = {.handled_access_fs = (LANDLOCK_ACCESS_FS_MAKE_SYM << 1) - 1};
    const struct landlock_path_beneath_attr here = {.allowed_access = LANDLOCK_ACCESS_FS_MAKE_REG |
                                                                      LANDLOCK_ACCESS_FS_MAKE_DIR |
                                                                      LANDLOCK_ACCESS_FS_WRITE_FILE,
                                                    .parent_fd = folder};
    const int rules = (int)syscall(SYS_landlock_create_ruleset, &all, sizeof all, 0);
    if (rules < 0) return MQ_OK;
    MQ_REQUIRE(syscall(SYS_landlock_add_rule, rules, LANDLOCK_RULE_PATH_BENEATH, &here, 0) == 0 &&
                   prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
                   syscall(SYS_landlock_restrict_self, rules, 0) == 0,
               err, MQ_INTERNAL, "marque-unpack cannot shut itself in: %s", strerror(errno));
cleanup:
    close(rules);
    return status;
}

/* The whole life of the process between its arguments and its exit code. */
static mq_status run(mq_err *err, const char *path, const char *folder) {
    mq_status status = MQ_OK;
    struct stat st;
    mq_unpacking u = {.path = path, .archive = -1, .folder = -1, .room = mq_disk_free(folder) / 2};
    mq_close_others();
    u.archive = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    MQ_REQUIRE(u.archive >= 0 && fstat(u.archive, &st) == 0, err, MQ_NO_INPUT, "%s: %s", path,
               strerror(errno));
    MQ_REQUIRE(S_ISREG(st.st_mode), err, MQ_NO_INPUT, "%s: not a regular file", path);
    u.folder = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    MQ_REQUIRE(u.folder >= 0, err, MQ_CANNOT_CREATE, "%s: %s", folder, strerror(errno));
    const uint64_t size = (uint64_t)st.st_size;
    u.most = size > FLOOR / RATIO_MAX ? size * RATIO_MAX : FLOOR;
    const mq_process_limits limits = {.program = "marque-unpack",
                                      .memory = (uint64_t)1 << 30,
                                      .seconds = SECONDS + size / 1000000,
                                      .file_size = u.most,
                                      .files = FILES};
    MQ_TRY(mq_limit_process(err, &limits));
    if (!MQ_SANITIZED) MQ_TRY(confine(err, u.folder));
    MQ_TRY(mq_unpack(err, &u));
    MQ_TRY(mq_gzip_check(err, &u));
cleanup:
    return status;
}

int main(int argc, char **argv) {
    mq_err err = {0};
    char safe[sizeof err.text];
    setlocale(LC_CTYPE, "C.UTF-8"); /* libarchive turns names into the locale's bytes */
    if (argc != 3) {
        fputs("usage: marque-unpack ARCHIVE FOLDER (marque starts it)\n", stderr);
        return MQ_USAGE;
    }
    const mq_status status = run(&err, argv[1], argv[2]);
    if (status != MQ_OK) fprintf(stderr, "%s\n", mq_text_safe(err.text, safe, sizeof safe));
    return (int)status;
}
