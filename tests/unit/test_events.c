/* test_events.c: what a run records while it trains: TensorBoard's event files,
 * byte for byte TensorFlow's (tests/golden/make_events.py), its log, and both
 * when the disk is full, the clock goes back or a crash has torn them. */
#include "unit/unit.h"

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "data/protobuf.h"
#include "data/tfrecord.h"
#include "train/events.h"
#include "train/journal.h"
#include "train/records.h"
#include "unit/temporary.h"

#include <dirent.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define GOLDEN "tests/golden/events/tensorflow.tfevents"
enum { BYTES_LIMIT = 1 << 20, TEXT = 8192 };

static char folder[PLACE];

static int make_folder(void **state) {
    (void)state;
    return temporary_folder(folder) ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    mq_err err = {0};
    return mq_remove_folder(&err, folder) == MQ_OK ? 0 : -1;
}

/* folder/NAME, good until the next call. */
static const char *in_folder(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* The clock of the test: what it says next. */
static double times[8];
static size_t ticks;

static double test_clock(void) {
    return times[ticks++];
}

static void set_clock(const double *list, size_t count) {
    memcpy(times, list, count * sizeof *list);
    ticks = 0;
}

/* Names of the event files in where, sorted; at most 8. */
static size_t event_files(const char *where, char names[8][256]) {
    size_t count = 0;
    DIR *dir = opendir(where);
    if (!dir) return 0;
    for (const struct dirent *entry; (entry = readdir(dir));) {
        if (!strstr(entry->d_name, "tfevents")) continue;
        assert_true(count < 8);
        size_t at = count++;
        for (; at > 0 && strcmp(entry->d_name, names[at - 1]) < 0; at--) strcpy(names[at], names[at - 1]);
        strcpy(names[at], entry->d_name);
    }
    closedir(dir);
    return count;
}

static const char *only_file(void) {
    char names[8][256];
    assert_int_equal(event_files(folder, names), 1);
    return in_folder(names[0]);
}

static mq_buf bytes_of(const char *path) {
    mq_err err = {0};
    mq_buf buf = mq_buf_init(BYTES_LIMIT);
    assert_ok(err, mq_file_read(&err, path, &buf));
    return buf;
}

static void save(const char *path, const void *data, size_t size) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void assert_text(const char *path, const char *wanted) {
    mq_buf found = bytes_of(path);
    assert_string_equal(found.size ? (char *)found.data : "", wanted);
    mq_buf_free(&found);
}

static mq_bytes field_in(mq_bytes message, uint64_t number) {
    mq_field field;
    for (mq_fields in = mq_fields_of(message); in.at < in.end;) {
        assert_true(mq_field_next(&in, &field));
        if (field.number == number) return field.wire == MQ_WIRE_BYTES ? field.content : (mq_bytes){0};
    }
    return (mq_bytes){0};
}

/* Appends the events of a file to text: "tag@step=value ", "start@step ". Wants whole records and rising
 * times. */
static void list_events(const char *path, char text[TEXT]) {
    mq_err err = {0};
    mq_tfrecord *reader = NULL;
    mq_bytes event;
    double last = 0;
    assert_ok(err, mq_tfrecord_open(&err, path, &reader));
    for (;;) {
        assert_ok(err, mq_tfrecord_next(&err, reader, &event.data, &event.size));
        if (!event.data) break;
        mq_field field;
        unsigned long long step = 0;
        for (mq_fields in = mq_fields_of(event); in.at < in.end;) {
            assert_true(mq_field_next(&in, &field));
            if (field.number == 2) step = field.value;
            if (field.number == 1) {
                double wall;
                memcpy(&wall, &field.value, sizeof wall);
                assert_true(wall >= last);
                last = wall;
            }
        }
        const mq_bytes value = field_in(field_in(event, 5), 1);
        char *at = text + strlen(text);
        if (field_in(event, 7).size) sprintf(at, "start@%llu ", step);
        if (!value.size) continue;
        const mq_bytes tag = field_in(value, 1), content = field_in(field_in(value, 8), 4);
        float number;
        assert_int_equal(content.size, sizeof number);
        memcpy(&number, content.data, sizeof number);
        sprintf(at, "%.*s@%llu=%g ", (int)tag.size, (const char *)tag.data, step, (double)number);
    }
    mq_tfrecord_free(&reader);
}

/* The events of all files of a folder, in TensorBoard's order. */
static const char *all_events(const char *where) {
    static char text[TEXT];
    char names[8][256], path[512];
    const size_t count = event_files(where, names);
    text[0] = 0;
    for (size_t i = 0; i < count; i++) {
        snprintf(path, sizeof path, "%s/%s", where, names[i]);
        list_events(path, text);
    }
    return text;
}

/* The clock stands still, goes back by an hour and goes on; the times in the file never go back. */
static void test_as_tensorflow(void **state) {
    (void)state;
    mq_err err = {0};
    mq_events *events = NULL;
    set_clock((const double[]){1.7e9, 1.7e9, 1.7e9, 1.7e9 + 0.25, 1.7e9 - 3600, 1.7e9 + 2}, 6);
    assert_ok(err, mq_events_open(&err, folder, 1, test_clock, &events));
    assert_ok(err, mq_events_scalar(&err, events, "epoch_loss", 0, 1.5));
    assert_ok(err, mq_events_scalar(&err, events, "batch_loss", 300, NAN));
    assert_ok(err, mq_events_scalar(&err, events, "learning_rate", 1ULL << 40, 1e-3));
    assert_ok(err, mq_events_flush(&err, events));
    mq_buf ours = bytes_of(only_file()), theirs = bytes_of(GOLDEN);
    assert_int_equal(ours.size, theirs.size);
    assert_memory_equal(ours.data, theirs.data, theirs.size);
    mq_events_free(&events);
    assert_null(events);
    mq_buf_free(&ours);
    mq_buf_free(&theirs);
}

/* Files whose names would collide, or sort wrongly, or that come from the future. */
static void test_names(void **state) {
    (void)state;
    mq_err err = {0};
    char names[8][256], host[64] = "", wanted[256];
    gethostname(host, sizeof host - 1);
    save(in_folder("events.out.tfevents.junk"), "", 0);
    save(in_folder("events.out.tfevents.99999999999.x.1.0"), "", 0);
    for (size_t i = 0; i < 3; i++) {
        mq_events *events = NULL;
        set_clock((const double[]){1.7e9 - (double)i, 1, 1}, 3);
        assert_ok(err, mq_events_open(&err, folder, i, test_clock, &events));
        mq_events_free(&events);
    }
    assert_int_equal(event_files(folder, names), 5);
    for (size_t i = 0; i < 3; i++) {
        snprintf(wanted, sizeof wanted, "events.out.tfevents.%zu.%s.%ld.0", 1700000000 + i, host,
                 (long)getpid());
        assert_string_equal(names[i], wanted);
    }
    /* One clock before 1970, in a folder that is not there. */
    mq_events *events = NULL;
    set_clock((const double[]){-5, 1, 1}, 3);
    assert_ok(err, mq_events_open(&err, in_folder("a/b"), 0, test_clock, &events));
    mq_events_free(&events);
    assert_int_equal(event_files(in_folder("a/b"), names), 1);
    assert_non_null(strstr(names[0], "tfevents.0000000000."));
}

static void add(mq_events *events, const char *tag, uint64_t step) {
    mq_err err = {0};
    assert_ok(err, mq_events_scalar(&err, events, tag, step, (double)step / 2));
    assert_ok(err, mq_events_flush(&err, events));
}

/* Two epochs of three steps each, recorded every step. */
static void write_run(void) {
    mq_err err = {0};
    mq_events *events = NULL;
    assert_ok(err, mq_events_open(&err, folder, 1, NULL, &events));
    for (uint64_t step = 1; step <= 6; step++) {
        add(events, "batch_loss", step);
        if (step % 3 == 0) add(events, "epoch_loss", step / 3 - 1);
    }
    mq_events_free(&events);
}

static void test_cut(void **state) {
    (void)state;
    mq_err err = {0};
    assert_ok(err, mq_events_cut(&err, in_folder("nothing"), 0, 0));
    write_run();
    assert_ok(err, mq_events_cut(&err, folder, 6, 2));
    assert_string_equal(all_events(folder),
                        "start@1 batch_loss@1=0.5 batch_loss@2=1 batch_loss@3=1.5 epoch_loss@0=0 "
                        "batch_loss@4=2 batch_loss@5=2.5 batch_loss@6=3 epoch_loss@1=0.5 ");
    /* In the middle of the second epoch. */
    assert_ok(err, mq_events_cut(&err, folder, 4, 1));
    assert_string_equal(all_events(folder), "start@1 batch_loss@1=0.5 batch_loss@2=1 batch_loss@3=1.5 "
                                            "epoch_loss@0=0 batch_loss@4=2 ");
    /* Three steps done but the first epoch not yet validated: its record is written again. */
    assert_ok(err, mq_events_cut(&err, folder, 3, 0));
    assert_string_equal(all_events(folder), "start@1 batch_loss@1=0.5 batch_loss@2=1 batch_loss@3=1.5 ");
    /* From the beginning. */
    assert_ok(err, mq_events_cut(&err, folder, 0, 0));
    assert_string_equal(all_events(folder), "");
}

/* Cut at each byte, a file keeps its whole records, and a second one goes on where they end. */
static void test_torn(void **state) {
    (void)state;
    mq_err err = {0};
    write_run();
    char path[512];
    snprintf(path, sizeof path, "%s", only_file());
    mq_buf whole = bytes_of(path);
    for (size_t size = 1; size <= whole.size; size++) {
        save(path, whole.data, size);
        assert_ok(err, mq_events_cut(&err, folder, 100, 100));
        mq_buf kept = bytes_of(path);
        assert_memory_equal(kept.data, whole.data, kept.size);
        if (size >= 40)
            all_events(folder); /* asserts whole records; less than the first one is no file of ours */
        assert_true(size - kept.size < 80);
        mq_buf_free(&kept);
    }
    mq_buf_free(&whole);
}

static void test_foreign(void **state) {
    (void)state;
    mq_err err = {0};
    const char *text = "events.out.tfevents.txt", *link = "events.out.tfevents.1.link.1.0";
    char target[512];
    save(in_folder(text), "dear diary", 10);
    assert_ok(err, mq_events_cut(&err, folder, 0, 0));
    assert_text(in_folder(text), "dear diary");
    assert_int_equal(unlink(in_folder(text)), 0);
    assert_int_equal(mkdir(in_folder("events.out.tfevents.folder"), 0777), 0);
    assert_ok(err, mq_events_cut(&err, folder, 0, 0));
    assert_int_equal(rmdir(in_folder("events.out.tfevents.folder")), 0);
    write_run();
    snprintf(target, sizeof target, "%s", only_file());
    char moved[512];
    snprintf(moved, sizeof moved, "%s", in_folder("elsewhere"));
    assert_int_equal(rename(target, moved), 0);
    assert_int_equal(symlink(moved, in_folder(link)), 0);
    mq_buf before = bytes_of(moved);
    assert_int_equal(mq_events_cut(&err, folder, 0, 0), MQ_CANNOT_CREATE);
    mq_buf after = bytes_of(moved);
    assert_int_equal(before.size, after.size);
    mq_buf_free(&before);
    mq_buf_free(&after);
}

/* No file of this process may grow beyond size; 0: as before. */
static void limit_files(size_t size) {
    static struct rlimit before;
    if (size) {
        assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
        const struct rlimit limit = {size, before.rlim_max};
        signal(SIGXFSZ, SIG_IGN);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    } else {
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    }
}

static void test_full_disk(void **state) {
    (void)state;
    mq_err err = {0};
    mq_events *events = NULL;
    assert_ok(err, mq_events_open(&err, folder, 1, NULL, &events));
    add(events, "batch_loss", 10);
    limit_files(200); /* room for half of the next record */
    assert_ok(err, mq_events_scalar(&err, events, "batch_loss", 20, 1));
    assert_int_equal(mq_events_flush(&err, events), MQ_IO);
    assert_non_null(strstr(err.text, "cannot be written"));
    assert_string_equal(all_events(folder), "start@1 batch_loss@10=5 ");
    limit_files(0);
    add(events, "batch_loss", 30);
    assert_string_equal(all_events(folder), "start@1 batch_loss@10=5 batch_loss@30=15 ");
    mq_events_free(&events);
    /* A file that cannot even be begun is not left behind. */
    char names[8][256];
    limit_files(30);
    err = (mq_err){0};
    assert_int_equal(mq_events_open(&err, in_folder("full"), 1, NULL, &events), MQ_IO);
    limit_files(0);
    assert_int_equal(event_files(in_folder("full"), names), 0);
}

/* What the log holds after it was opened over content and "next" was added; without times. */
static void assert_mended(const char *content, size_t size, const char *wanted) {
    mq_err err = {0};
    mq_journal *journal = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("log.jsonl"));
    save(path, content, size);
    assert_ok(err, mq_journal_open(&err, path, &journal));
    assert_ok(err, mq_journal_add(&err, journal, "next", NULL));
    mq_journal_free(&journal);
    mq_buf found = bytes_of(path);
    char *line = strstr((char *)found.data, "{\"time\": \"2");
    assert_non_null(line);
    assert_non_null(strstr(line, "Z\", \"event\": \"next\"}\n"));
    *line = 0;
    assert_string_equal((char *)found.data, wanted);
    mq_buf_free(&found);
}

static void test_journal(void **state) {
    (void)state;
    mq_err err = {0};
    mq_journal *journal = NULL;
    mq_json *members = NULL, *line = NULL;
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("log.jsonl"));
    assert_ok(err, mq_journal_open(&err, path, &journal));
    assert_ok(err, mq_json_pack(&err, &members, "{s:i, s:s}", "step", 7, "text", "two\nlines"));
    const time_t before = (time_t)mq_wall_seconds(); /* the journal's clock: time() may be a tick behind it */
    assert_ok(err, mq_journal_add(&err, journal, "warning", members));
    mq_journal_free(&journal);
    mq_buf found = bytes_of(path);
    assert_int_equal(found.data[found.size - 1], '\n');
    assert_null(memchr(found.data, '\n', found.size - 1));
    assert_ok(err, mq_json_parse(&err, path, found.data, found.size, &line));
    assert_string_equal(mq_json_string(mq_json_get(line, "event")), "warning");
    assert_string_equal(mq_json_string(mq_json_get(line, "text")), "two\nlines");
    assert_int_equal(mq_json_int(mq_json_get(line, "step")), 7);
    struct tm utc = {0};
    const char *rest = strptime(mq_json_string(mq_json_get(line, "time")), "%Y-%m-%dT%H:%M:%S", &utc);
    assert_non_null(rest);
    assert_true(rest[0] == '.' && strlen(rest) == 5 && rest[4] == 'Z');
    assert_true(timegm(&utc) >= before && timegm(&utc) <= (time_t)mq_wall_seconds());
    mq_json_free(&line);
    mq_buf_free(&found);
}

static void test_torn_journal(void **state) {
    (void)state;
    assert_mended("", 0, "");
    assert_mended("{\"a\": 1}\n", 9, "{\"a\": 1}\n");
    assert_mended("{\"a\": 1}\n{\"b\": ", 15, "{\"a\": 1}\n");
    assert_mended("{\"a\": 1}\n{\"b\": 2}", 17, "{\"a\": 1}\n{\"b\": 2}\n");
    assert_mended("{\"a\": 1}\n\0\0\0\0", 13, "{\"a\": 1}\n");
    assert_mended("torn", 4, "");
    assert_mended("{\"a\": 1}\n12", 11, "{\"a\": 1}\n");
    /* Long lines before the end are no matter, a long last line is not ours. */
    mq_err err = {0};
    mq_journal *journal = NULL;
    const size_t size = (2u << 20) + 20;
    char *text = malloc(size);
    assert_non_null(text);
    memset(text, 'x', size);
    char path[512];
    snprintf(path, sizeof path, "%s", in_folder("log.jsonl"));
    save(path, text, size);
    assert_int_equal(mq_journal_open(&err, path, &journal), MQ_BAD_DATA);
    assert_non_null(strstr(err.text, "log.jsonl: not a log of marque"));
    text[size - 4] = '\n';
    save(path, text, size);
    err = (mq_err){0};
    assert_ok(err, mq_journal_open(&err, path, &journal));
    mq_journal_free(&journal);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, size - 3);
    free(text);
}

static int warnings;

static void count_warnings(void *user, mq_log_level level, const char *text) {
    (void)user, (void)text;
    warnings += level == MQ_LOG_WARNING;
}

/* Lines of RUN/log.jsonl as "event@step " in text. */
static const char *all_lines(const char *path) {
    static char text[TEXT];
    mq_err err = {0};
    mq_buf found = bytes_of(path);
    text[0] = 0;
    for (char *line = strtok((char *)found.data, "\n"); line; line = strtok(NULL, "\n")) {
        mq_json *json = NULL;
        assert_ok(err, mq_json_parse(&err, path, line, strlen(line), &json));
        sprintf(text + strlen(text), "%s@%lld ", mq_json_string(mq_json_get(json, "event")),
                mq_json_int(mq_json_get(json, "step")));
        mq_json_free(&json);
    }
    mq_buf_free(&found);
    return text;
}

static const mq_run_row ROW = {.epoch = 1,
                               .stage = "head",
                               .train_loss = 2,
                               .train_top1 = 0.5,
                               .val_loss = 3,
                               .val_top1 = 0.25,
                               .val_top5 = 0.75,
                               .val_auc = 0.875,
                               .val_mae = 0.125,
                               .lr = 0.0625,
                               .img_s = 100};
static const mq_stage STAGE = {.thaw = "head", .epochs = 2, .lr = 0.0625};

/* A new run of four steps, recorded every second one, that is stopped. */
static void first_run(mq_run **run) {
    mq_err err = {0};
    mq_records *records = NULL;
    assert_ok(err, mq_run_create(&err, in_folder("run"), NULL, "data", "net", run));
    assert_ok(err, mq_records_open(&err, *run, false, 2, &records));
    mq_records_begin(records, 0, 0);
    mq_records_stage(records, 1, &STAGE);
    for (uint64_t step = 1; step <= 3; step++) mq_records_step(records, step, 4, 0.5, 0.0625, 100);
    mq_records_epoch(records, &ROW, true);
    mq_records_event(records, "checkpoint", NULL);
    mq_records_step(records, 4, 1, 0.75, 0.0625, 100);
    mq_records_warning(records, "a \xff byte");
    mq_records_skipped(records, MQ_VAL, 3, "a \xff byte");
    mq_fail(&err, MQ_INTERRUPTED, "stopped");
    mq_records_close(&records, MQ_INTERRUPTED, &err);
    assert_null(records);
}

static void test_records(void **state) {
    (void)state;
    mq_err err = {0};
    mq_run *run = NULL;
    mq_records *records = NULL;
    mq_log_set(count_warnings, NULL);
    warnings = 0;
    first_run(&run);
    assert_string_equal(all_events(in_folder("run/train")),
                        "start@1 batch_loss@2=4 batch_accuracy@2=0.5 learning_rate@2=0.0625 "
                        "images_per_second@2=100 epoch_loss@0=2 epoch_accuracy@0=0.5 "
                        "epoch_learning_rate@0=0.0625 epoch_images_per_second@0=100 "
                        "batch_loss@4=1 batch_accuracy@4=0.75 learning_rate@4=0.0625 "
                        "images_per_second@4=100 ");
    assert_string_equal(all_events(in_folder("run/validation")),
                        "start@1 epoch_loss@0=3 epoch_accuracy@0=0.25 epoch_top5@0=0.75 epoch_auc@0=0.875 "
                        "epoch_mae@0=0.125 evaluation_loss_vs_iterations@3=3 "
                        "evaluation_accuracy_vs_iterations@3=0.25 ");
    assert_string_equal(
        all_lines(in_folder("run/log.jsonl")),
        "start@0 stage@0 step@2 epoch@3 best@3 checkpoint@3 step@4 warning@4 skipped@4 stop@4 ");
    /* Resumed from the checkpoint: what lies behind it is written again, in new files, without validation. */
    assert_ok(err, mq_records_open(&err, run, true, 0, &records));
    mq_records_begin(records, 3, 1);
    mq_records_step(records, 4, 1, 0.75, 0.0625, 100);
    mq_run_row row = ROW;
    row.epoch = 2;
    row.val_loss = row.val_top1 = row.val_top5 = NAN;
    mq_records_epoch(records, &row, false);
    mq_records_close(&records, MQ_OK, &err);
    assert_string_equal(all_events(in_folder("run/train")),
                        "start@1 batch_loss@2=4 batch_accuracy@2=0.5 learning_rate@2=0.0625 "
                        "images_per_second@2=100 epoch_loss@0=2 epoch_accuracy@0=0.5 "
                        "epoch_learning_rate@0=0.0625 epoch_images_per_second@0=100 start@4 "
                        "epoch_loss@1=2 epoch_accuracy@1=0.5 epoch_learning_rate@1=0.0625 "
                        "epoch_images_per_second@1=100 ");
    assert_non_null(strstr(all_events(in_folder("run/validation")), "vs_iterations@3=0.25 "));
    assert_null(strstr(all_events(in_folder("run/validation")), "epoch_loss@1"));
    assert_string_equal(
        all_lines(in_folder("run/log.jsonl")),
        "start@0 stage@0 step@2 epoch@3 best@3 checkpoint@3 step@4 warning@4 skipped@4 stop@4 "
        "resume@3 epoch@4 end@4 ");
    assert_int_equal(warnings, 0);
    mq_run_free(&run);
    mq_log_set(NULL, NULL);
}

/* Whatever cannot be written, training hears nothing of it, and the user once. */
static void test_records_fail(void **state) {
    (void)state;
    mq_err err = {0};
    mq_run *run = NULL;
    mq_records *records = NULL;
    mq_log_set(count_warnings, NULL);
    warnings = 0;
    assert_ok(err, mq_run_create(&err, in_folder("run"), NULL, "data", "net", &run));
    save(in_folder("run/train"), "in the way", 10);
    assert_ok(err, mq_records_open(&err, run, false, 1, &records));
    mq_records_begin(records, 0, 0);
    for (uint64_t step = 1; step <= 3; step++) mq_records_step(records, step, NAN, 0.5, 0.0625, 100);
    mq_records_epoch(records, &ROW, true);
    assert_int_equal(warnings, 1);
    assert_string_equal(all_lines(in_folder("run/log.jsonl")),
                        "start@0 warning@1 step@1 step@2 step@3 epoch@3 best@3 ");
    /* What was in the way goes: the curves begin. */
    assert_int_equal(unlink(in_folder("run/train")), 0);
    mq_records_step(records, 4, 1, 0.5, 0.0625, 100);
    assert_non_null(strstr(all_events(in_folder("run/train")), "start@1 batch_loss@4=1 "));
    mq_records_close(&records, MQ_OK, &err);
    /* A log that cannot be opened; and no records at all. */
    assert_int_equal(unlink(in_folder("run/log.jsonl")), 0);
    assert_int_equal(mkdir(in_folder("run/log.jsonl"), 0777), 0);
    assert_ok(err, mq_records_open(&err, run, true, 1, &records));
    mq_records_begin(records, 0, 0);
    mq_records_warning(records, "again");
    mq_records_close(&records, MQ_OK, &err);
    assert_int_equal(warnings, 2);
    mq_records_begin(NULL, 0, 0);
    mq_records_step(NULL, 1, 1, 1, 1, 1);
    mq_records_epoch(NULL, &ROW, true);
    mq_records_stage(NULL, 1, &STAGE);
    mq_records_event(NULL, "none", NULL);
    mq_records_close(&records, MQ_OK, &err);
    mq_run_free(&run);
    mq_log_set(NULL, NULL);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_as_tensorflow), IN_FOLDER(test_names),        IN_FOLDER(test_cut),
        IN_FOLDER(test_torn),          IN_FOLDER(test_foreign),      IN_FOLDER(test_full_disk),
        IN_FOLDER(test_journal),       IN_FOLDER(test_torn_journal), IN_FOLDER(test_records),
        IN_FOLDER(test_records_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
