/* test_import.c: a small import read back picture by picture, with damage,
 * interruption and every number of workers. Tests run in the project's folder. */
#include "unit/unit.h"

#include "base/digest.h"
#include "base/file.h"
#include "data/dataset.h"
#include "data/import.h"
#include "unit/temporary.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[PLACE];

/* root/name; valid until the fourth call after. */
static const char *at(const char *name) {
    static char paths[4][PLACE + 400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

/* Twelve classes' worth of what tests/golden/pixels holds: all JPEGs to class a, all WebPs to class
 * "b\n\xff". */
static int make_source(void **state) {
    (void)state;
    mq_err err = {0};
    if (!temporary_folder(root)) return 1;
    assert_ok(err, mq_make_folder(&err, at("src/a/deep")));
    assert_ok(err, mq_make_folder(&err, at("src/b\n\xff")));
    DIR *dir = opendir("tests/golden/pixels");
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        char from[300], to[300];
        const char *end = strrchr(e->d_name, '.');
        if (!end || (strcmp(end, ".jpg") != 0 && strcmp(end, ".png") != 0)) continue;
        snprintf(from, sizeof from, "tests/golden/pixels/%s", e->d_name);
        snprintf(to, sizeof to, "src/%s/%s", end[1] == 'j' ? "a/deep" : "b\n\xff", e->d_name);
        mq_buf file = mq_buf_init(1 << 20);
        assert_ok(err, mq_file_read(&err, from, &file));
        assert_ok(err, mq_file_write(&err, at(to), file.data, file.size));
        mq_buf_free(&file);
    }
    closedir(dir);
    assert_ok(err, mq_file_write(&err, at("src/a/page.jpg"), "<html>no</html>", 15));
    assert_ok(err, mq_file_write(&err, at("src/a/Thumbs.db"), "x", 1));
    return mkfifo(at("src/a/pipe.jpg"), 0600);
}

static int remove_source(void **state) {
    (void)state;
    mq_err err = {0};
    return mq_remove_folder(&err, root) != MQ_OK;
}

static mq_import_plan plan_for(const char *output) {
    return (mq_import_plan){.size = sizeof(mq_import_plan),
                            .source = at("src"),
                            .output = output,
                            .test = 0.3,
                            .val = 0.1,
                            .seed = 123,
                            .shard_mb = 1,
                            .workers = 2};
}

static mq_buf read_whole(const char *path) {
    mq_err err = {0};
    mq_buf file = mq_buf_init(1 << 24);
    assert_ok(err, mq_file_read(&err, path, &file));
    return file;
}

static void test_round_trip(void **state) {
    (void)state;
    mq_err err = {0};
    mq_import_report report;
    mq_dataset *d = NULL;
    mq_buf record = mq_buf_init((size_t)1 << 28);
    const mq_import_plan plan = plan_for(at("one.mq"));
    assert_ok(err, mq_import(&err, &plan, &report));
    assert_ok(err, mq_dataset_open(&err, at("one.mq"), &d));
    assert_int_equal(mq_dataset_classes(d), 2);
    assert_string_equal(mq_dataset_class(d, 0), "a");
    assert_string_equal(mq_dataset_class(d, 1), "b\n\xff");
    assert_false(mq_dataset_has_boxes(d));
    size_t pictures = 0;
    for (mq_split s = MQ_TRAIN; s < MQ_SPLITS; s++) {
        assert_int_equal(mq_dataset_count(d, s), report.count[s]);
        for (size_t i = 0; i < mq_dataset_count(d, s); i++, pictures++) {
            mq_sample sample;
            assert_ok(err, mq_dataset_read(&err, d, s, i, &record, &sample));
            char name[300];
            snprintf(name, sizeof name, "src/%s", sample.name);
            mq_buf original = read_whole(at(name));
            assert_int_equal(sample.size, original.size);
            assert_memory_equal(sample.bytes, original.data, original.size);
            assert_int_equal(sample.label, sample.name[0] == 'b');
            assert_int_equal(sample.label, mq_dataset_label(d, s, i));
            assert_false(sample.has_box);
            mq_buf_free(&original);
        }
    }
    assert_int_equal(pictures, report.pictures);
    assert_true(report.count[MQ_VAL] >= 2 && report.count[MQ_TEST] >= 4);
    mq_buf quarantine = read_whole(at("one.mq/quarantine.csv"));
    assert_non_null(strstr((char *)quarantine.data, "a/page.jpg,\"looks like HTML"));
    assert_non_null(strstr((char *)quarantine.data, "a/pipe.jpg,\"a named pipe, not a file\"\n"));
    assert_null(strstr((char *)quarantine.data, "Thumbs"));
    mq_buf_free(&quarantine);
    mq_buf_free(&record);
    mq_dataset_free(&d);
    mq_import_report_free(&report);
}

static void assert_same_file(const char *a, const char *b) {
    mq_buf x = read_whole(a), y = read_whole(b);
    if (x.size != y.size || memcmp(x.data, y.data, x.size) != 0) fail_msg("%s and %s differ", a, b);
    mq_buf_free(&x);
    mq_buf_free(&y);
}

static void assert_same_folder(const char *a, const char *b) {
    DIR *dir = opendir(a);
    size_t files = 0;
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir));) {
        char x[600], y[600];
        if (e->d_name[0] == '.') continue;
        snprintf(x, sizeof x, "%s/%s", a, e->d_name);
        snprintf(y, sizeof y, "%s/%s", b, e->d_name);
        assert_same_file(x, y);
        files++;
    }
    closedir(dir);
    assert_int_equal(files, 9); /* three shards, three indexes, two lists, dataset.json */
}

/* The same bytes whatever the number of workers, and again by an update that adds nothing. */
static void test_workers(void **state) {
    (void)state;
    for (size_t workers = 1; workers <= 5; workers += 2) {
        mq_err err = {0};
        mq_import_report report;
        mq_import_plan plan = plan_for(at("more.mq"));
        plan.workers = workers;
        plan.update = workers > 1;
        assert_ok(err, mq_import(&err, &plan, &report));
        assert_same_folder(at("one.mq"), at("more.mq"));
        if (plan.update) assert_int_equal(report.kept, report.pictures);
        mq_import_report_free(&report);
    }
}

/* Flips or cuts the only shard of train; open or read must say so. */
static void test_damage(void **state) {
    (void)state;
    static const char shard[] = "more.mq/train-00000-of-00001.tfrecord";
    mq_err err = {0};
    mq_dataset *d = NULL;
    mq_sample sample;
    mq_buf record = mq_buf_init((size_t)1 << 28), whole = read_whole(at(shard));
    whole.data[whole.size / 2] ^= 4;
    assert_ok(err, mq_file_write(&err, at(shard), whole.data, whole.size));
    assert_ok(err, mq_dataset_open(&err, at("more.mq"), &d));
    size_t bad = 0;
    for (size_t i = 0; i < mq_dataset_count(d, MQ_TRAIN); i++) {
        err = (mq_err){0};
        if (mq_dataset_read(&err, d, MQ_TRAIN, i, &record, &sample) == MQ_OK) continue;
        assert_int_equal(err.code, MQ_BAD_DATA);
        char words[64];
        snprintf(words, sizeof words, "record %zu at byte ", i);
        assert_non_null(strstr(err.text, words));
        assert_non_null(strstr(err.text, "train-00000-of-00001.tfrecord"));
        bad++;
    }
    assert_int_equal(bad, 1);
    mq_dataset_free(&d);
    err = (mq_err){0};
    assert_ok(err, mq_file_write(&err, at(shard), whole.data, whole.size - 1));
    assert_int_equal(mq_dataset_open(&err, at("more.mq"), &d), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "import the pictures again"));
    err = (mq_err){0};
    whole.data[whole.size / 2] ^= 4;
    assert_ok(err, mq_file_write(&err, at(shard), whole.data, whole.size));
    mq_buf index = read_whole(at("more.mq/val.idx"));
    for (size_t i = 0; i < index.size; i += 7) {
        index.data[i] ^= 1;
        err = (mq_err){0};
        assert_ok(err, mq_file_write(&err, at("more.mq/val.idx"), index.data, index.size));
        assert_int_equal(mq_dataset_open(&err, at("more.mq"), &d), MQ_BAD_DATA);
        assert_non_null(strstr(err.text, "val.idx"));
        index.data[i] ^= 1;
    }
    mq_buf_free(&index);
    mq_buf_free(&whole);
    mq_buf_free(&record);
}

/* Boxes come back to the pixel (tests/golden/make_mat.py, boxed.mat). */
static void test_boxes(void **state) {
    (void)state;
    static const struct {
        const char *name;
        mq_box box;
    } wanted[] = {{"a/deep/rgb-444.jpg", {7, 3, 8, 36}},
                  {"a/deep/rgb-422.jpg", {7, 3, 29, 36}},
                  {"a/deep/rgb-420.jpg", {7, 3, 38, 36}},
                  {"a/deep/rgb-progressive.jpg", {7, 3, 45, 36}}};
    mq_err err = {0};
    mq_import_report report;
    mq_dataset *d = NULL;
    mq_recipe recipe = mq_recipe_default(299, MQ_RANGE_TF);
    mq_buf record = mq_buf_init((size_t)1 << 28);
    mq_import_plan plan = plan_for(at("boxed.mq"));
    plan.annotations = "tests/golden/mat/boxed.mat";
    plan.margin = 0.125;
    plan.test = plan.val = 0;
    assert_ok(err, mq_import(&err, &plan, &report));
    assert_int_equal(report.boxes, 4);
    assert_ok(err, mq_dataset_open(&err, at("boxed.mq"), &d));
    assert_true(mq_dataset_has_boxes(d));
    mq_dataset_recipe(d, &recipe);
    assert_true(recipe.crop && recipe.margin == 0.125);
    assert_int_equal(mq_dataset_count(d, MQ_TRAIN), 4);
    size_t found = 0;
    for (size_t i = 0; i < 4; i++) {
        mq_sample s;
        assert_ok(err, mq_dataset_read(&err, d, MQ_TRAIN, i, &record, &s));
        assert_true(s.has_box);
        for (size_t k = 0; k < 4; k++) {
            if (strcmp(s.name, wanted[k].name) != 0) continue;
            assert_memory_equal(&s.box, &wanted[k].box, sizeof s.box);
            assert_int_equal(s.label, k % 2);
            found++;
        }
    }
    assert_int_equal(found, 4);
    mq_dataset_free(&d);
    mq_buf_free(&record);
    mq_import_report_free(&report);
}

static bool stop_after(void *user) {
    return --*(int *)user < 0;
}

static bool is_there(const char *path) {
    struct stat st;
    return lstat(path, &st) == 0;
}

/* Stopped at any question, nothing is left; an update that is stopped leaves the data set as it was. */
static void test_stop(void **state) {
    (void)state;
    for (int update = 0; update <= 1; update++) {
        mq_status status = MQ_INTERRUPTED;
        for (int steps = 0; status == MQ_INTERRUPTED; steps += 9) {
            int left = steps;
            mq_err err = {0};
            mq_import_report report;
            mq_import_plan plan = plan_for(at(update ? "stopped.mq" : "fresh.mq"));
            plan.update = update;
            plan.stop = stop_after;
            plan.user = &left;
            status = mq_import(&err, &plan, &report);
            mq_import_report_free(&report);
            if (status == MQ_INTERRUPTED && !update) assert_false(is_there(at("fresh.mq")));
            if (status == MQ_INTERRUPTED && update) assert_false(is_there(at("stopped.mq/.import.tmp")));
            if (status == MQ_INTERRUPTED && update) assert_same_folder(at("one.mq"), at("stopped.mq"));
            assert_true(steps < 1000);
        }
        assert_int_equal(status, MQ_OK);
        if (!update) assert_int_equal(rename(at("fresh.mq"), at("stopped.mq")), 0);
    }
}

static mq_status open_folder(const char *name, mq_err *err) {
    mq_dataset *d = NULL;
    *err = (mq_err){0};
    const mq_status status = mq_dataset_open(err, at(name), &d);
    mq_dataset_free(&d);
    return status;
}

static void test_no_dataset(void **state) {
    (void)state;
    mq_err err;
    assert_int_equal(open_folder("nothing", &err), MQ_NO_INPUT);
    assert_int_equal(open_folder("src", &err), MQ_USAGE);
    assert_non_null(strstr(err.text, "marque import "));
    assert_ok(err, mq_make_folder(&err, at("cut.mq/.import.tmp")));
    assert_int_equal(open_folder("cut.mq", &err), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "cut off"));
    mq_import_report report; /* what is left of an import that was killed is done over */
    const mq_import_plan plan = plan_for(at("cut.mq"));
    err = (mq_err){0};
    assert_ok(err, mq_import(&err, &plan, &report));
    mq_import_report_free(&report);
    assert_same_folder(at("one.mq"), at("cut.mq"));
    assert_false(is_there(at("cut.mq/.import.tmp")));
}

/* Killed between the removal of the old files and the last move: an update ends the exchange and goes on. */
static void test_exchange(void **state) {
    (void)state;
    static const char *const moved[] = {"dataset.json", "train.idx", "test-00000-of-00001.tfrecord"};
    mq_err err = {0};
    mq_import_report report;
    assert_ok(err, mq_make_folder(&err, at("stopped.mq/.import.tmp")));
    for (size_t i = 0; i < 3; i++) {
        char from[100], to[100];
        snprintf(from, sizeof from, "stopped.mq/%s", moved[i]);
        snprintf(to, sizeof to, "stopped.mq/.import.tmp/%s", moved[i]);
        assert_int_equal(rename(at(from), at(to)), 0);
    }
    assert_int_equal(open_folder("stopped.mq", &err), MQ_BAD_DATA);
    err = (mq_err){0};
    mq_import_plan plan = plan_for(at("stopped.mq"));
    plan.update = true;
    assert_ok(err, mq_import(&err, &plan, &report));
    assert_int_equal(report.kept, report.pictures);
    mq_import_report_free(&report);
    assert_same_folder(at("one.mq"), at("stopped.mq"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_workers),    cmocka_unit_test(test_damage),
        cmocka_unit_test(test_stop),       cmocka_unit_test(test_no_dataset), cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_boxes),
    };
    return cmocka_run_group_tests(tests, make_source, remove_source);
}
