/* journal.c: a run's log.jsonl. Called by the records of a run. Owns the open
 * file. Invariant: the file is a row of whole lines, each a JSON object. */
#include "train/journal.h"
#include "base/append.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { LINE_MAX_BYTES = 1 << 20, TIME_SIZE = 40 };

struct mq_journal {
    mq_appender *file;
};

void mq_journal_free(mq_journal **journal) {
    if (!*journal) return;
    mq_appender_free(&(*journal)->file);
    free(*journal);
    *journal = NULL;
}

/* The length of what stands behind the last newline, as tail, which is at most a line's greatest length. */
static size_t tail_of(const mq_buf *end) {
    size_t tail = 0;
    while (tail < end->size && end->data[end->size - 1 - tail] != '\n') tail++;
    return tail;
}

/* A line and its newline are written at once, so an end without newline is torn, or was made by an editor. */
static mq_status mend_end(mq_err *err, mq_appender *file, const char *path) {
    mq_status status = MQ_OK;
    const uint64_t size = mq_appender_size(file);
    mq_buf end = mq_buf_init(LINE_MAX_BYTES);
    mq_json *line = NULL;
    mq_err torn = {0};
    const size_t wanted = size < LINE_MAX_BYTES ? (size_t)size : LINE_MAX_BYTES;
    MQ_TRY(mq_buf_reserve(err, &end, wanted));
    MQ_TRY(mq_appender_read(err, file, end.data, wanted, size - wanted));
    end.size = wanted;
    const size_t tail = tail_of(&end);
    if (tail == 0) goto cleanup;
    MQ_REQUIRE(tail < LINE_MAX_BYTES, err, MQ_BAD_DATA,
               "%s: not a log of marque: its last line has more than %d bytes", path, LINE_MAX_BYTES);
    const mq_status parsed = mq_json_parse(&torn, path, end.data + end.size - tail, tail, &line);
    MQ_REQUIRE(parsed == MQ_OK || parsed == MQ_BAD_DATA, err, parsed, "%s", torn.text);
    if (parsed == MQ_OK && mq_json_is_object(line)) {
        MQ_TRY(mq_appender_add(err, file, "\n", 1));
    } else {
        MQ_TRY(mq_appender_cut(err, file, size - tail));
    }
cleanup:
    mq_json_free(&line);
    mq_buf_free(&end);
    return status;
}

mq_status mq_journal_open(mq_err *err, const char *path, mq_journal **journal) {
    mq_status status = MQ_OK;
    mq_journal *j = NULL;
    MQ_TRY(mq_calloc(err, 1, sizeof *j, "a log", &j));
    MQ_TRY(mq_appender_open(err, path, false, &j->file));
    MQ_TRY(mend_end(err, j->file, path));
    *journal = j;
    j = NULL;
cleanup:
    mq_journal_free(&j);
    return status;
}

/* The present time as 2026-10-07T08:14:44.123Z. */
static void tell_time(char text[TIME_SIZE]) {
    const double now = floor(mq_wall_seconds() * 1000);
    const time_t seconds = (time_t)(now / 1000);
    struct tm utc;
    char day[TIME_SIZE - 8] = "";
    if (gmtime_r(&seconds, &utc)) strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, TIME_SIZE, "%s.%03dZ", day, (int)fmod(now, 1000));
}

/* Puts a member of one object into *user, another, which then shares it. */
static mq_status copy_member(mq_err *err, void *user, const char *key, mq_json *value) {
    mq_json *shared = NULL;
    const mq_status status = mq_json_pack(err, &shared, "O", value);
    return status == MQ_OK ? mq_json_set(err, user, key, shared) : status;
}

mq_status mq_journal_add(mq_err *err, mq_journal *journal, const char *event, mq_json *members) {
    mq_status status = MQ_OK;
    mq_json *line = NULL;
    char *text = NULL, time[TIME_SIZE];
    mq_buf bytes = mq_buf_init(LINE_MAX_BYTES);
    tell_time(time);
    MQ_TRY(mq_json_pack(err, &line, "{s:s, s:s}", "time", time, "event", event));
    if (members) MQ_TRY(mq_json_each(err, members, copy_member, line));
    MQ_TRY(mq_json_dump(err, line, 0, &text));
    MQ_TRY(mq_buf_add_text(err, &bytes, text));
    MQ_TRY(mq_buf_add(err, &bytes, "\n", 1));
    MQ_TRY(mq_appender_add(err, journal->file, bytes.data, bytes.size));
cleanup:
    mq_json_free(&members);
    mq_json_free(&line);
    free(text);
    mq_buf_free(&bytes);
    return status;
}
