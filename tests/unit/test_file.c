/* test_file.c: what marque promises about files: the old content or the whole
 * new one under a final name, no waiting for a FIFO, one holder of a folder. */
#include "unit/unit.h"

#include "base/cgroup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/mem.h"
#include "base/names.h"
#include "unit/temporary.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct {
    char folder[PLACE];
    char path[PLACE + 8];
} place;

static int make_place(void **state) {
    static place here;
    if (!temporary_folder(here.folder)) return -1;
    snprintf(here.path, sizeof here.path, "%s/file", here.folder);
    *state = &here;
    return 0;
}

static int remove_place(void **state) {
    mq_err err = {0};
    return mq_remove_folder(&err, ((place *)*state)->folder) == MQ_OK ? 0 : -1;
}

static void assert_content(const char *path, const char *content) {
    mq_err err = {0};
    mq_buf text = mq_buf_init(100);
    assert_ok(err, mq_file_read(&err, path, &text));
    assert_string_equal((char *)text.data, content);
    mq_buf_free(&text);
}

static void test_abort_keeps_the_old(void **state) {
    const place *here = *state;
    mq_err err = {0};
    mq_writer *writer = NULL;
    assert_ok(err, mq_file_write(&err, here->path, "old", 3));
    assert_ok(err, mq_writer_open(&err, here->path, &writer));
    assert_ok(err, mq_writer_add(&err, writer, "new content", 11));
    assert_content(here->path, "old");
    mq_writer_abort(&writer);
    assert_null(writer);
    assert_content(here->path, "old");
}

static void test_commit_replaces(void **state) {
    const place *here = *state;
    mq_err err = {0};
    mq_writer *writer = NULL;
    assert_ok(err, mq_file_write(&err, here->path, "a long old content", 18));
    assert_ok(err, mq_writer_open(&err, here->path, &writer));
    assert_ok(err, mq_writer_add(&err, writer, "ne", 2));
    assert_ok(err, mq_writer_add(&err, writer, "w", 1));
    assert_ok(err, mq_writer_commit(&err, &writer));
    assert_content(here->path, "new");
    assert_int_equal(rmdir(here->folder), -1);
    assert_int_equal(unlink(here->path), 0);
    assert_int_equal(rmdir(here->folder), 0); /* nothing else was left in it */
    assert_int_equal(mkdir(here->folder, 0777), 0);
}

static void test_special_files(void **state) {
    const place *here = *state;
    mq_err err = {0};
    mq_buf text = mq_buf_init(100);
    assert_int_equal(mkfifo(here->path, 0666), 0);
    alarm(2); /* ends the program should the FIFO be waited for */
    assert_int_equal(mq_file_read(&err, here->path, &text), MQ_NO_INPUT);
    alarm(0);
    assert_non_null(strstr(err.text, "not a regular file"));
    err = (mq_err){0};
    assert_int_equal(mq_file_read(&err, here->folder, &text), MQ_NO_INPUT);
    err = (mq_err){0};
    assert_int_equal(mq_file_read(&err, "/nowhere/file", &text), MQ_NO_INPUT);
    assert_non_null(strstr(err.text, "/nowhere/file: No such file"));
    mq_buf_free(&text);
}

static void test_short_file(void **state) {
    const place *here = *state;
    mq_err err = {0};
    char data[8];
    assert_ok(err, mq_file_write(&err, here->path, "12345", 5));
    FILE *file = fopen(here->path, "rb");
    assert_non_null(file);
    assert_ok(err, mq_file_pread(&err, fileno(file), here->path, data, 3, 2));
    assert_memory_equal(data, "345", 3);
    assert_int_equal(mq_file_pread(&err, fileno(file), here->path, data, 4, 2), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "ends at byte 5, 1 bytes too early"));
    fclose(file);
}

static void test_lock_names_its_holder(void **state) {
    const place *here = *state;
    mq_err err = {0};
    mq_lock *first = NULL, *second = NULL;
    char holder[32];
    snprintf(holder, sizeof holder, "process %ld;", (long)getpid());
    assert_ok(err, mq_lock_folder(&err, here->folder, &first));
    assert_int_equal(mq_lock_folder(&err, here->folder, &second), MQ_CANNOT_CREATE);
    assert_non_null(strstr(err.text, holder));
    mq_lock_free(&first);
    err = (mq_err){0};
    assert_ok(err, mq_lock_folder(&err, here->folder, &second));
    mq_lock_free(&second);
}

static void test_paths(void **state) {
    (void)state;
    mq_err err = {0};
    char *path = NULL;
    assert_ok(err, mq_path_join(&err, "a/", "b", &path));
    assert_string_equal(path, "a/b");
    free(path);
    assert_ok(err, mq_path_join(&err, "a", "b", &path));
    assert_string_equal(path, "a/b");
    free(path);
    static const char *const tidy[][2] = {
        {"a", "a"},       {"./a//b/./c/", "a/b/c"}, {"//a/../b/./c", "/b/c"},
        {"../a", "../a"}, {"a/../b", "a/../b"},     {"/..", ""},
        {"./", ""},       {"..a/.b", "..a/.b"}};
    for (size_t i = 0; i < sizeof tidy / sizeof *tidy; i++) {
        char text[16];
        snprintf(text, sizeof text, "%s", tidy[i][0]);
        mq_path_tidy(text);
        assert_string_equal(text, tidy[i][1]);
    }
    assert_int_equal(mq_make_folder(&err, "/proc/marque/x"), MQ_CANNOT_CREATE);
}

/* In a folder of somebody else's making links stand where files of ours are to be: none is written through.
 */
static void test_planted_links(void **state) {
    const place *here = *state;
    char victim[PLACE + 16], planted[PLACE + 48];
    mq_err err = {0}, refused = {0};
    mq_lock *lock = NULL;
    snprintf(victim, sizeof victim, "%s/victim", here->folder);
    assert_ok(err, mq_file_write(&err, victim, "mine", 4));
    snprintf(planted, sizeof planted, "%s/.lock", here->folder);
    assert_int_equal(symlink(victim, planted), 0);
    assert_int_equal(mq_lock_folder(&refused, here->folder, &lock), MQ_CANNOT_CREATE);
    snprintf(planted, sizeof planted, "%s.tmp-%ld", here->path, (long)getpid());
    assert_int_equal(symlink(victim, planted), 0);
    assert_ok(err, mq_file_write(&err, here->path, "new", 3));
    assert_content(here->path, "new");
    assert_content(victim, "mine");
}

/* A file that cannot be opened for want of descriptors is no missing one: pictures would be left out. */
static void test_no_descriptors(void **state) {
    const place *here = *state;
    struct rlimit before;
    mq_err err = {0};
    mq_buf text = mq_buf_init(100);
    assert_ok(err, mq_file_write(&err, here->path, "old", 3));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max}), 0);
    const mq_status status = mq_file_read(&err, here->path, &text);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(status, MQ_NO_MEMORY);
    mq_buf_free(&text);
}

/* A child looks at files from outside with its three streams alone. */
static void test_limited_process(void **state) {
    (void)state;
    const mq_process_limits limits = {
        .program = "a child", .memory = 1 << 30, .seconds = 10, .file_size = 0, .files = 16};
    int ended = 0;
    const pid_t pid = fork();
    if (pid == 0) {
        mq_err err = {0};
        const int file = open("/dev/null", O_RDONLY);
        mq_close_others();
        const bool limited = mq_limit_process(&err, &limits) == MQ_OK;
        _exit(limited && file > 2 && fcntl(file, F_GETFD) < 0 && fcntl(1, F_GETFD) >= 0 ? 0 : 1);
    }
    assert_true(waitpid(pid, &ended, 0) == pid);
    assert_int_equal(ended, 0);
}

static void put_file(const char *folder, const char *name, const char *text) {
    char path[PLACE + 32];
    mq_err err = {0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(err, mq_file_write(&err, path, text, strlen(text)));
}

/* Of a control group with a limit, its pages of files are free; without a limit nothing is known. */
static void test_group(void **state) {
    const char *folder = ((const place *)*state)->folder;
    assert_true(mq_cgroup_memory_of(folder) == UINT64_MAX && mq_cgroup_processors_of(folder) == UINT64_MAX);
    put_file(folder, "memory.max", "1000\n");
    assert_true(mq_cgroup_memory_of(folder) == UINT64_MAX);
    put_file(folder, "memory.current", "900\n");
    put_file(folder, "memory.stat", "anon 5\nactive_file 300\ninactive_file 200\n");
    assert_true(mq_cgroup_memory_of(folder) == 600);
    put_file(folder, "memory.current", "2000\n");
    assert_true(mq_cgroup_memory_of(folder) == 0);
    put_file(folder, "memory.max", "max\n");
    assert_true(mq_cgroup_memory_of(folder) == UINT64_MAX);
    put_file(folder, "cpu.max", "150000 100000\n");
    assert_true(mq_cgroup_processors_of(folder) == 2);
    put_file(folder, "cpu.max", "max 100000\n");
    assert_true(mq_cgroup_processors_of(folder) == UINT64_MAX);
}

/* Every group from the process's own to the root holds; without its own the root alone. */
static void test_groups_above(void **state) {
    const char *root = ((const place *)*state)->folder;
    char inner[PLACE + 8], own[PLACE + 8];
    mq_err err = {0};
    snprintf(inner, sizeof inner, "%s/a/b", root);
    snprintf(own, sizeof own, "%s/own", root);
    assert_ok(err, mq_make_folder(&err, inner));
    put_file(root, "cpu.max", "800000 100000\n");
    put_file(root, "a/cpu.max", "300000 100000\n");
    put_file(root, "a/b/cpu.max", "500000 100000\n");
    assert_true(mq_cgroup_least(root, own, mq_cgroup_processors_of) == 8);
    put_file(root, "own", "12:cpu:/a\n0::/a/b\n");
    assert_true(mq_cgroup_least(root, own, mq_cgroup_processors_of) == 3);
    put_file(root, "a/b/cpu.max", "200000 100000\n");
    assert_true(mq_cgroup_least(root, own, mq_cgroup_processors_of) == 2);
    put_file(root, "own", "0::/\n");
    assert_true(mq_cgroup_least(root, own, mq_cgroup_processors_of) == 8);
    put_file(root, "own", "0::/not/shown/here\n");
    assert_true(mq_cgroup_least(root, own, mq_cgroup_processors_of) == 8);
}

/* What stands in the way of a folder is told, not what was seen while looking for the reason. */
static void test_folder_says_why(void **state) {
    const place *here = *state;
    mq_err err = {0};
    assert_int_equal(symlink("nowhere", here->path), 0);
    assert_int_equal(mq_make_folder(&err, here->path), MQ_CANNOT_CREATE);
    assert_non_null(strstr(err.text, "the folder cannot be made: File exists"));
}

/* All names of a folder in one order, behind those that were there; or a reason. */
static void test_names(void **state) {
    const char *folder = ((const place *)*state)->folder;
    static const char *const wanted[] = {"first", ".hidden", "B", "Thumbs.db", "a", "b", "x"};
    char path[PLACE + 8];
    mq_err err = {0};
    mq_names names = {0};
    for (size_t i = 7; i-- > 2;) put_file(folder, wanted[i], "");
    put_file(folder, ".hidden", "");
    assert_ok(err, mq_names_add(&err, &names, "first"));
    assert_ok(err, mq_names_in(&err, folder, &names));
    assert_int_equal(names.count, 7);
    mq_names_sort(&names);
    for (size_t i = 0; i < 6; i++) assert_true(strcmp(names.items[i], names.items[i + 1]) < 0);
    mq_names_free(&names);
    assert_true(!names.items && !names.count);
    assert_ok(err, mq_names_in(&err, folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        assert_string_equal(names.items[i], wanted[i + 1]);
        assert_true(mq_name_is_litter(names.items[i]) == (i == 0 || i == 2));
    }
    mq_names_free(&names);
    snprintf(path, sizeof path, "%s/no", folder);
    assert_int_equal(mq_names_in(&err, path, &names), MQ_NO_INPUT);
    err = (mq_err){0};
    snprintf(path, sizeof path, "%s/a", folder);
    assert_int_equal(mq_names_in(&err, path, &names), MQ_IO);
    assert_non_null(strstr(err.text, "Not a directory"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_abort_keeps_the_old, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_commit_replaces, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_special_files, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_short_file, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_lock_names_its_holder, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_folder_says_why, make_place, remove_place),
        cmocka_unit_test(test_limited_process),
        cmocka_unit_test_setup_teardown(test_planted_links, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_no_descriptors, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_group, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_groups_above, make_place, remove_place),
        cmocka_unit_test_setup_teardown(test_names, make_place, remove_place),
        cmocka_unit_test(test_paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
