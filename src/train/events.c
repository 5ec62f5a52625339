/* events.c: TensorBoard's event files. Called by the records of a run. Owns the
 * open file. Invariant: the file holds whole records only, in the order of their
 * times, and its name sorts behind those of all earlier files of its folder,
 * since TensorBoard reads files in that order. */
#include "train/events.h"
#include "base/append.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/names.h"
#include "data/bytes.h"
#include "data/protobuf.h"
#include "data/tfrecord.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

static const char PREFIX[] = "events.out.tfevents.";
static const char VERSION[] = "brain.Event:2";
enum { SECONDS_DIGITS = 10, HOST_SIZE = 64, PENDING_MAX = 1 << 20, TAG_MAX = 1 << 10 };
/* Fields of Event, Summary and Summary.Value. */
enum { EVENT_WALL = 1, EVENT_STEP = 2, EVENT_VERSION = 3, EVENT_SUMMARY = 5, EVENT_SESSION = 7 };
enum { SUMMARY_VALUE = 1, VALUE_TAG = 1, VALUE_TENSOR = 8, VALUE_METADATA = 9 };
/* SessionLog: status START. */
static const uint8_t START[] = {0x08, 1};
/* SummaryMetadata: plugin_data, plugin_name "scalars". */
static const uint8_t METADATA[] = {0x0a, 9, 0x0a, 7, 's', 'c', 'a', 'l', 'a', 'r', 's'};
/* TensorProto: dtype float, an empty shape, four bytes of content, which follow. */
static const uint8_t TENSOR[] = {0x08, 1, 0x12, 0, 0x22, 4};
enum { TENSOR_SIZE = sizeof TENSOR + 4 };

struct mq_events {
    mq_appender *file;
    mq_wall_clock clock;
    double wall;    /* time of the last event */
    mq_buf record;  /* the one being made, with its frame */
    mq_buf pending; /* sealed records that the next flush writes */
};

/* Called for each event file of a folder; path is borrowed. */
typedef mq_status (*visit_fn)(mq_err *err, const char *path, const char *name, void *user);

static mq_status each_file(mq_err *err, const char *folder, visit_fn visit, void *user) {
    mq_status status = MQ_OK;
    mq_names names = {0};
    char *path = NULL;
    if (!mq_folder_exists(folder)) return MQ_OK;
    MQ_TRY(mq_names_in(err, folder, &names));
    for (size_t i = 0; i < names.count; i++) {
        if (strncmp(names.items[i], PREFIX, sizeof PREFIX - 1) != 0) continue;
        free(path);
        path = NULL;
        MQ_TRY(mq_path_join(err, folder, names.items[i], &path));
        MQ_TRY(visit(err, path, names.items[i], user));
    }
cleanup:
    mq_names_free(&names);
    free(path);
    return status;
}

/* Raises *user, seconds, above those in the name. Names without ten digits are not ours. */
static mq_status raise_seconds(mq_err *err, const char *path, const char *name, void *user) {
    (void)err, (void)path;
    unsigned long long *seconds = user;
    const char *digits = name + sizeof PREFIX - 1;
    if (strspn(digits, "0123456789") == SECONDS_DIGITS && digits[SECONDS_DIGITS] == '.') {
        const unsigned long long found = strtoull(digits, NULL, 10);
        if (found >= *seconds) *seconds = found + 1;
    }
    return MQ_OK;
}

/* FOLDER/events.out.tfevents.SECONDS.HOST.PID.0. The seconds run ahead of the clock where it stands still or
 * has gone back, so that the name is new and the last one. */
static mq_status make_name(mq_err *err, const char *folder, double now, char **path) {
    mq_status status = MQ_OK;
    unsigned long long seconds = now > 0 ? (unsigned long long)now : 0;
    char host[HOST_SIZE] = "";
    MQ_TRY(each_file(err, folder, raise_seconds, &seconds));
    if (gethostname(host, sizeof host - 1) != 0 || !host[0]) strcpy(host, "localhost");
    for (char *p = host; *p; p++)
        if (*p == '/' || *p <= ' ' || *p > '~') *p = '_';
    MQ_TRY(mq_format(err, path, "%s/%s%010llu.%s.%ld.0", folder, PREFIX, seconds, host, (long)getpid()));
cleanup:
    return status;
}

/* Begins an event of step: room for the frame's head, then time and step, which is left out when it is 0. */
static mq_status begin_event(mq_err *err, mq_events *e, uint64_t step) {
    mq_status status = MQ_OK;
    static const uint8_t head[MQ_TFRECORD_HEADER];
    e->wall = fmax(e->wall, e->clock());
    mq_buf_clear(&e->record);
    MQ_TRY(mq_buf_add(err, &e->record, head, sizeof head));
    MQ_TRY(mq_field_double(err, &e->record, EVENT_WALL, e->wall));
    if (step) MQ_TRY(mq_field_varint(err, &e->record, EVENT_STEP, step));
cleanup:
    return status;
}

static mq_status end_event(mq_err *err, mq_events *e) {
    mq_status status = MQ_OK;
    MQ_TRY(mq_tfrecord_seal(err, &e->record));
    MQ_TRY(mq_buf_add(err, &e->pending, e->record.data, e->record.size));
cleanup:
    return status;
}

static mq_status begin_file(mq_err *err, mq_events *e, uint64_t first_step) {
    mq_status status = MQ_OK;
    MQ_TRY(begin_event(err, e, 0));
    MQ_TRY(mq_field_bytes(err, &e->record, EVENT_VERSION, VERSION, strlen(VERSION)));
    MQ_TRY(end_event(err, e));
    MQ_TRY(begin_event(err, e, first_step));
    MQ_TRY(mq_field_bytes(err, &e->record, EVENT_SESSION, START, sizeof START));
    MQ_TRY(end_event(err, e));
    MQ_TRY(mq_events_flush(err, e));
cleanup:
    return status;
}

mq_status mq_events_open(mq_err *err, const char *folder, uint64_t first_step, mq_wall_clock clock,
                         mq_events **events) {
    mq_status status = MQ_OK;
    mq_events *e = NULL;
    char *path = NULL;
    MQ_TRY(mq_make_folder(err, folder));
    MQ_TRY(mq_calloc(err, 1, sizeof *e, "an event file", &e));
    e->clock = clock ? clock : mq_wall_seconds;
    e->record = e->pending = mq_buf_init(PENDING_MAX);
    MQ_TRY(make_name(err, folder, e->clock(), &path));
    MQ_TRY(mq_appender_open(err, path, true, &e->file));
    MQ_TRY(begin_file(err, e, first_step));
    *events = e;
    e = NULL;
cleanup:
    if (e && e->file) unlink(path);
    mq_events_free(&e);
    free(path);
    return status;
}

mq_status mq_events_scalar(mq_err *err, mq_events *events, const char *tag, uint64_t step, double value) {
    mq_status status = MQ_OK;
    mq_buf *record = &events->record;
    const size_t length = strlen(tag);
    MQ_REQUIRE(length <= TAG_MAX, err, MQ_INTERNAL, "a tag of %zu bytes for TensorBoard", length);
    const size_t size = mq_field_size(length) + mq_field_size(TENSOR_SIZE) + mq_field_size(sizeof METADATA);
    const float number = (float)value;
    uint8_t tensor[TENSOR_SIZE];
    uint32_t bits;
    memcpy(tensor, TENSOR, sizeof TENSOR);
    memcpy(&bits, &number, sizeof bits);
    mq_write_u32(tensor + sizeof TENSOR, bits);
    MQ_TRY(begin_event(err, events, step));
    MQ_TRY(mq_field_head(err, record, EVENT_SUMMARY, mq_field_size(size)));
    MQ_TRY(mq_field_head(err, record, SUMMARY_VALUE, size));
    MQ_TRY(mq_field_bytes(err, record, VALUE_TAG, tag, length));
    MQ_TRY(mq_field_bytes(err, record, VALUE_TENSOR, tensor, sizeof tensor));
    MQ_TRY(mq_field_bytes(err, record, VALUE_METADATA, METADATA, sizeof METADATA));
    MQ_TRY(end_event(err, events));
cleanup:
    return status;
}

mq_status mq_events_flush(mq_err *err, mq_events *events) {
    const mq_status status = mq_appender_add(err, events->file, events->pending.data, events->pending.size);
    mq_buf_clear(&events->pending);
    return status;
}

void mq_events_free(mq_events **events) {
    mq_events *e = *events;
    if (!e) return;
    mq_appender_free(&e->file);
    mq_buf_free(&e->record);
    mq_buf_free(&e->pending);
    free(e);
    *events = NULL;
}

/* Where a run goes on. */
typedef struct {
    uint64_t steps, epochs;
} progress;

/* Reads a Summary: whether its values count epochs in their step. */
static bool counts_epochs(mq_bytes summary) {
    mq_field value, member;
    static const size_t length = sizeof MQ_EVENTS_EPOCH - 1;
    for (mq_fields in = mq_fields_of(summary); in.at < in.end;) {
        if (!mq_field_next(&in, &value)) return false;
        if (value.number != SUMMARY_VALUE || value.wire != MQ_WIRE_BYTES) continue;
        for (mq_fields parts = mq_fields_of(value.content); parts.at < parts.end;) {
            if (!mq_field_next(&parts, &member)) return false;
            if (member.number == VALUE_TAG && member.wire == MQ_WIRE_BYTES)
                return member.content.size >= length &&
                       memcmp(member.content.data, MQ_EVENTS_EPOCH, length) == 0;
        }
    }
    return false;
}

/* Whether the run trains and writes this event again. One that cannot be read stays. */
static bool lies_behind(mq_bytes event, const progress *at) {
    uint64_t step = 0;
    mq_bytes summary = {0};
    mq_field field;
    for (mq_fields in = mq_fields_of(event); in.at < in.end;) {
        if (!mq_field_next(&in, &field)) return false;
        if (field.number == EVENT_STEP && field.wire == MQ_WIRE_VARINT) step = field.value;
        if (field.number == EVENT_SUMMARY && field.wire == MQ_WIRE_BYTES) summary = field.content;
    }
    return summary.size && counts_epochs(summary) ? step >= at->epochs : step > at->steps;
}

/* Cuts one file. What is no event file, or damaged, says so by its length of sound records; so the reader's
 * errors tell nothing more. */
static mq_status cut_file(mq_err *err, const char *path, const char *name, void *user) {
    (void)name;
    mq_status status = MQ_OK;
    mq_tfrecord *reader = NULL;
    mq_appender *file = NULL;
    mq_err damage = {0};
    mq_bytes event = {0};
    uint64_t sound = 0;
    if (mq_tfrecord_open(&damage, path, &reader) != MQ_OK) return MQ_OK;
    while (mq_tfrecord_next(&damage, reader, &event.data, &event.size) == MQ_OK && event.data &&
           !lies_behind(event, user))
        sound = mq_tfrecord_offset(reader);
    mq_tfrecord_free(&reader);
    if (sound == 0) return MQ_OK;
    MQ_TRY(mq_appender_open(err, path, false, &file));
    if (sound < mq_appender_size(file)) MQ_TRY(mq_appender_cut(err, file, sound));
cleanup:
    mq_appender_free(&file);
    return status;
}

mq_status mq_events_cut(mq_err *err, const char *folder, uint64_t steps, uint64_t epochs) {
    progress at = {steps, epochs};
    return each_file(err, folder, cut_file, &at);
}
